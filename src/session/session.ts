// One session: its standing, its ledger and the decisions on them. Functions of (session, command, now) that change the
// session they are given, which has one owner. They know no storage: `write: true` in a decision means that it must be
// on disk before the answer leaves.
import { type LogName, sessionLog } from '../audit/chain.ts';
import { emptyTrail, loadTrail, tell, tellFolded, type Trail, type TrailImage, trailImageOf } from '../audit/trail.ts';
import type { Denial } from '../denial.ts';
import { MAX_TOKENS, SESSION_GRACE_MS, STREAM_LEASE_MS, TOO_BIG_IN_A_ROW_TRIPS } from '../limits.ts';
import { formatUsd, microUsd } from '../money.ts';
import type {
  Act,
  AdmissionRules,
  BreakerView,
  DenialReport,
  LimitsPatch,
  Revocation,
  SessionIdentity,
  SessionLimits,
  SessionStatus,
  SessionView,
  Standing,
  Trip,
  Warning,
} from '../rpc/session-rpc.ts';
import { sessionName } from '../rpc/session-name.ts';
import type { Amounts } from './amounts.ts';
import { leastUsefulOf } from './grant.ts';
import { type Ledger, availableOf, consumedOf, doubtOf, emptyLedger, leftOf } from './ledger.ts';
import { type LedgerImage, load as loadLedger } from './ledger-commit.ts';
import { limitsOf, tellCreated, tellDeniedAtEdge, timeOf } from './session-log.ts';
import { NO_VELOCITY, type Velocity, allowance, spentAllowance } from './velocity.ts';

export interface Session {
  identity: SessionIdentity;
  readonly createdAtMs: number;
  limits: SessionLimits;
  /** The policy's, as of the last admission. */
  rules: AdmissionRules;
  readonly ledger: Ledger;
  /** The session's log. */
  readonly trail: Trail;
  velocity: Velocity;
  /** When the warning of a dimension was given; null while below the threshold. */
  warned: { readonly spend: number | null; readonly tokens: number | null };
  warnings: readonly { readonly warning: Warning; readonly atMs: number }[];
  tooBigInARow: number;
  counts: { readonly admitted: number; readonly denied: number };
  breaker: BreakerView;
  revocation: Revocation | null;
  trip: Trip | null;
  /** The status that the control object has acknowledged; another one still has to reach it. */
  reported: SessionStatus;
  /** The longest lease given to a hold that is not a stream's; a longer one is written down before it is given. */
  longestLeaseMs: number;
  /** Idempotency keys touched by this incarnation, and which of them no commit carries yet. */
  readonly keys: Map<string, KeyRecord>;
  readonly changedKeys: Set<string>;
  keyCount: number;
  /** The row that ended the log, while no other has followed; 0 before. */
  closedSeq: number;
  /** Set once this is only the tombstone: entries, log and keys until then are in the archive. */
  archive: ArchiveRef | null;
  archiving: ArchiveTries;
}

/** Tries to archive a session. On disk, since hardly an incarnation lives from one to the next. */
interface ArchiveTries {
  readonly made: number;
  /** Before this there is no other try. */
  readonly notBeforeMs: number;
}

const NO_TRIES: ArchiveTries = { made: 0, notBeforeMs: 0 };

/** Where the archive of a session is, and what it has to be. */
export interface ArchiveRef {
  readonly where: 'r2' | 'object';
  readonly key: string;
  /** Of the gzip file, hex. */
  readonly sha256: string;
  readonly bytes: number;
  /** Of the log; later ones follow on the last of them. */
  readonly rows: number;
  readonly atMs: number;
  /** Whether the control object's log has the digest. */
  readonly told: boolean;
}

/** An idempotency key: `free` again after a void, a zero charge or a refusal. */
export interface KeyRecord {
  readonly state: 'running' | 'completed' | 'free';
  readonly digest: string;
}

/** What a commit writes of a session besides ledger entries and keys. */
export interface SessionImage {
  readonly version: 1;
  readonly identity: SessionIdentity;
  readonly createdAtMs: number;
  readonly limits: SessionLimits;
  readonly rules: AdmissionRules;
  readonly ledger: LedgerImage;
  /** Absent where a version without logs wrote it: the log begins with what comes next. */
  readonly trail?: TrailImage;
  readonly velocity: Velocity;
  readonly warned: Session['warned'];
  readonly warnings: Session['warnings'];
  readonly tooBigInARow: number;
  readonly counts: Session['counts'];
  readonly breaker: BreakerView;
  readonly revocation: Session['revocation'];
  readonly trip: Trip | null;
  readonly reported: SessionStatus;
  readonly longestLeaseMs: number;
  readonly keyCount: number;
  readonly closedSeq?: number;
  readonly archive?: ArchiveRef | null;
  readonly archiving?: ArchiveTries;
}

/** Something that people or other parts want to know of. */
export type SessionEvent =
  | { readonly event: 'warned'; readonly warning: Warning }
  | { readonly event: 'tripped'; readonly trip: Trip }
  | { readonly event: 'revoked'; readonly by: string; readonly reason: string }
  | ({ readonly event: 'created' | 'renewed' | 'limits-changed' | 'reset' } & Act)
  | { readonly event: 'ledger-frozen'; readonly receiptId: string }
  | { readonly event: 'archived'; readonly sha256: string };

export interface Decision<T> {
  readonly answer: T;
  /** True: commit before the answer leaves. */
  readonly write: boolean;
  readonly events: readonly SessionEvent[];
}

export function createSession(
  identity: SessionIdentity,
  { rules, act, deployment }: { readonly rules: AdmissionRules; readonly act: Act; readonly deployment: string },
  nowMs: number,
): Session {
  const session: Session = {
    identity,
    createdAtMs: nowMs,
    limits: identity.limits,
    rules,
    ledger: emptyLedger(amountsOf(identity.limits)),
    trail: emptyTrail(logOf(identity, deployment), nowMs),
    velocity: NO_VELOCITY,
    warned: { spend: null, tokens: null },
    warnings: [],
    tooBigInARow: 0,
    counts: { admitted: 0, denied: 0 },
    breaker: { state: 'closed', sinceMs: nowMs, reason: null },
    revocation: null,
    trip: null,
    reported: 'active',
    longestLeaseMs: STREAM_LEASE_MS,
    keys: new Map(),
    changedKeys: new Set(),
    keyCount: 0,
    closedSeq: 0,
    archive: null,
    archiving: NO_TRIES,
  };
  tellCreated(session.trail, identity, act, nowMs);
  return session;
}

function logOf({ issuer, sid }: SessionIdentity, deployment: string): LogName {
  return sessionLog(deployment, sessionName(issuer, sid));
}

/** A session's limits as the ledger counts them; an absent token limit is the largest number of tokens there is. */
function amountsOf(limits: SessionLimits): Amounts {
  return { microUsd: limits.spendMicroUsd, tokens: limits.tokens ?? MAX_TOKENS };
}

/** The last moment at which anything of this session may still settle. */
export function endOf(session: Session): number {
  return session.identity.expiresAtMs + SESSION_GRACE_MS;
}

// ------------------------------------------------------------------------------------------------- operators' commands

/** Changes limits at once, up or down (rule 9). A raised cap closes a breaker that the cap had opened; it revives nothing. */
export function changeLimits(session: Session, patch: LimitsPatch, act: Act, nowMs: number): Decision<null> {
  session.limits = { ...session.limits, ...patch };
  session.ledger.limit = amountsOf(session.limits);
  session.ledger.dirty = true;
  tell(session.trail, { event: 'limits-changed', limits: limitsOf(session.limits), ...act }, nowMs);
  const left = leftOf(session.ledger);
  const enough = leastUsefulOf(session.ledger.limit, session.rules.leastUsefulMicroUsd);
  const canGoOn = left.microUsd >= enough.microUsd && left.tokens >= enough.tokens;
  if (session.breaker.state === 'open' && isLimitReason(session.breaker.reason) && canGoOn) {
    session.breaker = { state: 'closed', sinceMs: nowMs, reason: null };
    session.tooBigInARow = 0;
  }
  rearmWarnings(session);
  return { answer: null, write: true, events: [{ event: 'limits-changed', ...act }, ...warn(session, nowMs)] };
}

/** Moves the session's end. Limits, spend and pins stay. */
export function renewEnd(session: Session, expiresAtMs: number, act: Act, nowMs: number): Decision<null> {
  session.ledger.dirty = true;
  if (expiresAtMs <= session.identity.expiresAtMs) {
    tell(session.trail, { event: 'credential-issued', until: timeOf(expiresAtMs), ...act }, nowMs);
    return { answer: null, write: true, events: [] };
  }
  session.identity = { ...session.identity, expiresAtMs };
  tell(session.trail, { event: 'renewed', expires_at: timeOf(expiresAtMs), ...act }, nowMs);
  return { answer: null, write: true, events: [{ event: 'renewed', ...act }] };
}

/** Revokes for good. Doing it again changes nothing but the log: the first reason stands. */
export function revoke(session: Session, act: Act, nowMs: number): Decision<null> {
  if (session.revocation !== null) {
    // An agent may stop itself as often as it likes, so repetitions are counted.
    const again = { event: 'revoked-again', ...act };
    tellFolded(session.trail, { key: `revoked-again ${act.by}`, first: again, repeated: again }, nowMs);
    session.ledger.dirty = true;
    return { answer: null, write: false, events: [] };
  }
  const { by, owner, reason } = act;
  session.revocation = { atMs: nowMs, reason, by, ...(owner === undefined ? {} : { owner }) };
  tell(session.trail, { event: 'revoked', ...act }, nowMs);
  session.ledger.dirty = true;
  return { answer: null, write: true, events: [{ event: 'revoked', ...act }] };
}

/** Closes an open breaker by hand, a frozen ledger's too. Revives no revoked session; of a closed one it is only told. */
export function reset(session: Session, act: Act, nowMs: number): Decision<null> {
  tell(session.trail, { event: 'reset', was: session.breaker.reason, ...act }, nowMs);
  if (session.breaker.state === 'closed') {
    session.ledger.dirty = true;
    return { answer: null, write: true, events: [] };
  }
  session.breaker = { state: 'closed', sinceMs: nowMs, reason: null };
  session.tooBigInARow = 0;
  session.ledger.dirty = true;
  return { answer: null, write: true, events: [{ event: 'reset', ...act }] };
}

/** Takes down what isolates refused by themselves: counted and told, and nothing else. */
export function noteDenials(session: Session, report: DenialReport, nowMs: number): Decision<null> {
  session.counts = { ...session.counts, denied: session.counts.denied + report.count };
  tellDeniedAtEdge(session.trail, report, nowMs);
  return { answer: null, write: false, events: [] };
}

// ------------------------------------------------------------------------------------------------------ warn and trip

/** Gives the warning of each dimension that has reached its threshold and was not warned of. */
export function warn(session: Session, nowMs: number): SessionEvent[] {
  const consumed = consumedOf(session.ledger);
  const { limit } = session.ledger;
  const events: SessionEvent[] = [];
  if (session.warned.spend === null && consumed.microUsd >= limit.microUsd * session.rules.warnAt) {
    events.push(giveWarning(session, 'spend-90', nowMs));
  }
  if (
    session.warned.tokens === null &&
    session.limits.tokens !== null &&
    consumed.tokens >= limit.tokens * session.rules.warnAt
  ) {
    events.push(giveWarning(session, 'tokens-90', nowMs));
  }
  return events;
}

/** Gives one warning, whatever has been consumed. */
export function giveWarning(session: Session, warning: Warning, nowMs: number): SessionEvent {
  const dimension = warning === 'spend-90' ? 'spend' : 'tokens';
  session.warned = { ...session.warned, [dimension]: nowMs };
  session.warnings = [...session.warnings, { warning, atMs: nowMs }].slice(-MAX_WARNINGS);
  session.ledger.dirty = true;
  tell(session.trail, { event: 'warned', warning }, nowMs);
  return { event: 'warned', warning };
}

/** A limit raised far enough makes the next crossing a new one. */
function rearmWarnings(session: Session): void {
  const consumed = consumedOf(session.ledger);
  const { limit } = session.ledger;
  session.warned = {
    spend: consumed.microUsd < limit.microUsd * session.rules.warnAt ? null : session.warned.spend,
    tokens: consumed.tokens < limit.tokens * session.rules.warnAt ? null : session.warned.tokens,
  };
}

/** The warnings that go with every request now. */
export function activeWarnings(session: Session): Warning[] {
  const active: Warning[] = [];
  if (session.warned.spend !== null) active.push('spend-90');
  if (session.warned.tokens !== null) active.push('tokens-90');
  return active;
}

const LIMIT_REASONS = { spend: 'spend-limit', tokens: 'token-limit' } as const;

function isLimitReason(reason: string | null): boolean {
  return reason === LIMIT_REASONS.spend || reason === LIMIT_REASONS.tokens;
}

/** 100 %: revokes the session, or opens its breaker where the policy says `pause`. */
export function tripOnLimit(session: Session, dimension: 'spend' | 'tokens', nowMs: number): SessionEvent[] {
  const { ledger } = session;
  const doubt = doubtOf(ledger);
  const reason = LIMIT_REASONS[dimension];
  const evidence =
    dimension === 'spend'
      ? {
          limit_usd: formatUsd(ledger.limit.microUsd),
          settled_usd: formatUsd(ledger.settled.microUsd),
          in_doubt_usd: formatUsd(doubt.microUsd),
        }
      : { limit_tokens: ledger.limit.tokens, settled_tokens: ledger.settled.tokens, in_doubt_tokens: doubt.tokens };
  const tooBig = session.tooBigInARow >= TOO_BIG_IN_A_ROW_TRIPS ? { too_big_in_a_row: session.tooBigInARow } : {};
  session.trip = { atMs: nowMs, reason, evidence: { ...evidence, ...tooBig } };
  ledger.dirty = true;
  tell(session.trail, { event: 'tripped', reason, evidence: session.trip.evidence }, nowMs);
  const tripped: SessionEvent = { event: 'tripped', trip: session.trip };
  if (session.rules.onLimit === 'pause') {
    session.breaker = { state: 'open', sinceMs: nowMs, reason };
    return [tripped];
  }
  return [tripped, ...revoke(session, { by: TRIPPED_BY, reason: `tripped: ${reason}` }, nowMs).events];
}

/** A ledger that cannot explain a receipt admits nothing until a person has looked and resets the breaker. */
export function freeze(session: Session, receiptId: string, nowMs: number): SessionEvent[] {
  session.breaker = { state: 'open', sinceMs: nowMs, reason: 'ledger-frozen' };
  session.trip = { atMs: nowMs, reason: 'ledger-frozen', evidence: { receipt: receiptId } };
  session.ledger.dirty = true;
  tell(session.trail, { event: 'ledger-frozen', receipt: receiptId }, nowMs);
  return [{ event: 'ledger-frozen', receiptId }];
}

// ------------------------------------------------------------------------------------------------------------- views

/** Who revokes when nobody did. */
const TRIPPED_BY = 'fusebox';

function tripEvidence({ trip }: Session): NonNullable<Denial['evidence']> {
  return trip === null ? {} : { trip: trip.reason, ...trip.evidence };
}

/** The denial that a session's state alone makes of any request; null while it admits. */
export function standingDenial(session: Session, nowMs: number): Denial | null {
  if (session.revocation !== null) {
    return {
      code: 'session-revoked',
      detail: `This session was revoked: ${session.revocation.reason}.`,
      evidence: {
        revoked_at: new Date(session.revocation.atMs).toISOString(),
        ...(session.revocation.by === TRIPPED_BY ? tripEvidence(session) : {}),
      },
    };
  }
  if (nowMs >= session.identity.expiresAtMs + EXPIRY_SKEW_MS) {
    return { code: 'credential-expired', detail: 'This session has ended.' };
  }
  if (session.breaker.state === 'open') {
    return {
      code: 'breaker-open',
      detail: `This session is paused (${session.breaker.reason ?? 'by an operator'}) until an operator lets it go on.`,
      evidence: session.trip?.reason === session.breaker.reason ? tripEvidence(session) : {},
    };
  }
  return null;
}

export function statusOf(session: Session, nowMs: number): SessionStatus {
  if (session.revocation !== null) return 'revoked';
  if (nowMs >= session.identity.expiresAtMs) return 'expired';
  if (session.breaker.state === 'open') return 'tripped';
  return session.warned.spend !== null || session.warned.tokens !== null ? 'warned' : 'active';
}

export function standingOf(session: Session, nowMs: number): Standing {
  const available = availableOf(session.ledger);
  const { spendMicroUsd, tokens, requestsPerMinute } = session.limits;
  const requests = requestsPerMinute === null ? null : allowance(session.velocity, requestsPerMinute, nowMs);
  return {
    spend: { limitMicroUsd: spendMicroUsd, availableMicroUsd: microUsd(Math.max(0, available.microUsd)) },
    tokens: tokens === null ? null : { limit: tokens, available: Math.max(0, available.tokens) },
    requests:
      requestsPerMinute === null || requests === null
        ? null
        : { limitPerMinute: requestsPerMinute, remaining: requests.remaining, resetSeconds: requests.resetSeconds },
  };
}

export function viewOf(session: Session, nowMs: number): SessionView {
  const { ledger } = session;
  const doubt = doubtOf(ledger);
  const available = availableOf(ledger);
  return {
    identity: session.identity,
    createdAtMs: session.createdAtMs,
    status: statusOf(session, nowMs),
    limits: session.limits,
    spend: {
      settledMicroUsd: microUsd(ledger.settled.microUsd),
      heldMicroUsd: microUsd(ledger.held.microUsd + doubt.microUsd),
      availableMicroUsd: microUsd(Math.max(0, available.microUsd)),
    },
    tokens: {
      settled: ledger.settled.tokens,
      held: ledger.held.tokens + doubt.tokens,
      available: session.limits.tokens === null ? null : Math.max(0, available.tokens),
    },
    requests: session.counts,
    breaker: session.breaker,
    warnings: session.warnings,
    revocation: session.revocation,
    trip: session.trip,
  };
}

// ------------------------------------------------------------------------------------------------------------- images

/** What to write of a session, once its ledger is committed and its log's lines are taken. */
export function imageOf(session: Session, ledger: LedgerImage): SessionImage {
  const { identity, createdAtMs, limits, rules, velocity, warned, warnings, tooBigInARow, counts } = session;
  const { breaker, revocation, trip, reported, longestLeaseMs, keyCount, closedSeq, archive, archiving } = session;
  return {
    version: 1,
    identity,
    createdAtMs,
    limits,
    rules,
    ledger,
    trail: trailImageOf(session.trail),
    velocity,
    warned,
    warnings,
    tooBigInARow,
    counts,
    breaker,
    revocation,
    trip,
    reported,
    longestLeaseMs,
    keyCount,
    closedSeq,
    archive,
    archiving,
  };
}

/** The session of a new incarnation. An unclean end (something in doubt) also leaves the velocity without allowance. */
export function loadSession(image: SessionImage, deployment: string, nowMs: number): Session {
  const { version: _version, ledger: ledgerImage, trail, ...rest } = image;
  const lastLeaseMs = Math.min(nowMs + image.longestLeaseMs, image.identity.expiresAtMs + SESSION_GRACE_MS);
  const ledger = loadLedger(ledgerImage, lastLeaseMs);
  const clean = !ledger.doubt.has(ledgerImage.generation);
  const perMinute = image.limits.requestsPerMinute;
  return {
    ...rest,
    ledger,
    trail: trail === undefined ? emptyTrail(logOf(image.identity, deployment), nowMs) : loadTrail(trail),
    velocity: clean || perMinute === null ? image.velocity : spentAllowance(perMinute, nowMs),
    keys: new Map(),
    changedKeys: new Set(),
    closedSeq: image.closedSeq ?? 0,
    archive: image.archive ?? null,
    archiving: image.archiving ?? NO_TRIES,
  };
}

/** Our own credentials need little leeway at their end (RFC 7519, section 4.1.4). */
const EXPIRY_SKEW_MS = 5_000;
const MAX_WARNINGS = 32;
