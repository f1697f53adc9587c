// What a session's log tells of each thing that happens: the one place where rows get their names and members. Amounts are
// whole micro-USD and tokens. Where rows are hashed and kept is audit/trail.ts's and the object's.
import type { AuditValue } from '../audit/canonical-json.ts';
import type { AuditEntry } from '../audit/chain.ts';
import { tell, tellFolded, type Trail } from '../audit/trail.ts';
import type { Denial, DenialCode } from '../denial.ts';
import type {
  Act,
  AdmitRequest,
  DenialReport,
  LedgerEntry,
  SessionIdentity,
  SessionLimits,
} from '../rpc/session-rpc.ts';
import type { Hold } from './ledger.ts';

/** Denials that are about money: each is a row of its own, however many there are. */
export const MONEY_CODES: ReadonlySet<DenialCode> = new Set([
  'spend-limit-exceeded',
  'token-limit-exceeded',
  'spend-held',
]);

export function tellCreated(trail: Trail, identity: SessionIdentity, act: Act, nowMs: number): void {
  const { agent, customer, segments, scopes, limits, expiresAtMs } = identity;
  const pins = { agent, customer, segments, scopes, limits: limitsOf(limits), expires_at: timeOf(expiresAtMs) };
  tell(trail, { event: 'created', ...pins, ...act }, nowMs);
}

export function tellAdmitted(trail: Trail, request: AdmitRequest, hold: Hold, nowMs: number): void {
  const { id, amounts, outputTokens } = hold;
  const held = { hold_micro_usd: amounts.microUsd, hold_tokens: amounts.tokens };
  tell(trail, { event: 'admitted', id, ...purposeOf(request), ...held }, nowMs);
  const asked = request.demand.output?.askedTokens;
  if (asked === undefined || outputTokens === null || outputTokens >= asked) return;
  tell(trail, { event: 'clamped', id, asked_tokens: asked, granted_tokens: outputTokens }, nowMs);
}

export function tellDenied(trail: Trail, request: AdmitRequest, denial: Denial, nowMs: number): void {
  const { code, evidence } = denial;
  const first: AuditEntry = { event: 'denied', code, id: request.id, ...purposeOf(request), ...evident(evidence) };
  if (MONEY_CODES.has(code)) return tell(trail, first, nowMs);
  const { route } = request.purpose;
  const repeated: AuditEntry = { event: 'denied-again', code, route };
  return tellFolded(trail, { key: `${code} ${route}`, first, repeated }, nowMs);
}

/** What isolates refused by themselves, without asking the session; none of it is about money. */
export function tellDeniedAtEdge(trail: Trail, report: DenialReport, nowMs: number): void {
  const { code, route, id, count, fromMs, toMs } = report;
  const first: AuditEntry = { event: 'denied', at_edge: true, code, id, route };
  const repeated: AuditEntry = { event: 'denied-again', at_edge: true, code, route };
  tellFolded(trail, { key: `edge ${code} ${route}`, first, repeated, counted: { count, fromMs, toMs } }, nowMs);
}

/** A running stream that the session can pay no more of. */
export function tellNotExtended(trail: Trail, id: string, denial: Denial, nowMs: number): void {
  tell(trail, { event: 'not-extended', code: denial.code, id, ...evident(denial.evidence) }, nowMs);
}

/** A hold that a crash had made the session forget is on the books again. */
export function tellClaimed(trail: Trail, hold: Hold, generation: number, nowMs: number): void {
  const { id, purpose, amounts } = hold;
  const held = { hold_micro_usd: amounts.microUsd, hold_tokens: amounts.tokens };
  tell(trail, { event: 'claimed', id, generation, route: purpose.route, model: purpose.model, ...held }, nowMs);
}

/** `settled`, `voided`, `expired`, or one of the two rows that no hold stands behind: `recovered`, `corrected`. */
export function tellEnded(trail: Trail, entry: LedgerEntry, nowMs: number): void {
  const { id, model, costMicroUsd, costTokens, estimated, reason, adjusts, flags } = entry;
  tell(
    trail,
    {
      event: endEventOf(entry),
      id,
      cost_micro_usd: costMicroUsd,
      cost_tokens: costTokens,
      reason,
      ...(model === null ? {} : { model }),
      ...(estimated ? { estimated } : {}),
      ...(adjusts === undefined ? {} : { adjusts }),
      ...(flags === undefined ? {} : { flags }),
    },
    nowMs,
  );
}

function endEventOf({ route, reason, adjusts, state }: LedgerEntry): string {
  if (adjusts !== undefined) return 'corrected';
  return route === '' && reason === 'recovered' ? 'recovered' : state;
}

export function limitsOf(limits: SessionLimits): { readonly [member: string]: AuditValue } {
  return {
    spend_micro_usd: limits.spendMicroUsd,
    tokens: limits.tokens,
    tokens_per_request: limits.tokensPerRequest,
    requests_per_minute: limits.requestsPerMinute,
  };
}

export const timeOf = (atMs: number): string => new Date(atMs).toISOString();

function purposeOf({ purpose }: AdmitRequest): { readonly [member: string]: AuditValue } {
  const { route, model, action } = purpose;
  return { route, action, ...(model === null ? {} : { model }) };
}

function evident(evidence: Denial['evidence']): { readonly evidence?: AuditValue } {
  return evidence === undefined ? {} : { evidence };
}
