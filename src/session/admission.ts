// What an agent's requests ask of their session: admit, extend, watch, settle, void, and what ends by itself.
// Functions of (session, command, now), like session.ts; a request's checks stand here in the order they are made.
import type { Denial } from '../denial.ts';
import { MAX_IDEMPOTENCY_KEYS, SPEND_HELD_RETRY_SECONDS, STREAM_LEASE_MS, TOO_BIG_IN_A_ROW_TRIPS } from '../limits.ts';
import { formatUsd, microUsd } from '../money.ts';
import type {
  AdmitAnswer,
  AdmitRequest,
  ExtendAnswer,
  ExtendRequest,
  LedgerEntry,
  Receipt,
  SettleAnswer,
  Settlement,
  WatchAnswer,
  WatchRequest,
} from '../rpc/session-rpc.ts';
import { type Amounts, NOTHING, minus, plus, within } from './amounts.ts';
import { type Dimension, leastUsefulOf, sizeGrant } from './grant.ts';
import {
  type Hold,
  availableOf,
  doubtOf,
  endedEntry,
  expire,
  extend as extendHold,
  leftOf,
  open,
  receiptOf,
  release,
  renew,
  settle as settleHold,
} from './ledger.ts';
import { claim, settleLate } from './lost-holds.ts';
import {
  type Decision,
  type KeyRecord,
  type Session,
  type SessionEvent,
  activeWarnings,
  endOf,
  freeze,
  giveWarning,
  standingDenial,
  standingOf,
  tripOnLimit,
  warn,
} from './session.ts';
import { MONEY_CODES, tellAdmitted, tellClaimed, tellDenied, tellEnded, tellNotExtended } from './session-log.ts';
import { allowance, counted } from './velocity.ts';

const LIMIT_CODES = { spend: 'spend-limit-exceeded', tokens: 'token-limit-exceeded' } as const;
const WARNINGS = { spend: 'spend-90', tokens: 'tokens-90' } as const;

/**
 * Admits a request or says why not. The credential has been verified; what it claims is compared with the session's
 * pins here. An id that was admitted before gets the same receipt.
 */
export function admit(session: Session, request: AdmitRequest, nowMs: number): Decision<AdmitAnswer> {
  const known = session.ledger.open.get(request.id);
  if (known !== undefined) return grantedAnswer(session, known, { write: false, events: [] }, nowMs);
  session.rules = request.rules;
  const decision = decide(session, request, nowMs);
  if (!decision.answer.admitted) tellDenied(session.trail, request, decision.answer.denial, nowMs);
  return decision;
}

function decide(session: Session, request: AdmitRequest, nowMs: number): Decision<AdmitAnswer> {
  const denial =
    endedDenial(session, request.id) ??
    standingDenial(session, nowMs) ??
    pinDenial(session, request) ??
    idempotencyDenial(session, request) ??
    velocityDenial(session, nowMs);
  if (denial !== null) return deny(session, denial, nowMs);

  const events = warn(session, nowMs);
  const leastUseful = leastUsefulOf(session.ledger.limit, session.rules.leastUsefulMicroUsd);
  const left = leftOf(session.ledger);
  const sized = sizeGrant({
    demand: request.demand,
    left,
    leastUseful,
    tokensPerRequest: session.limits.tokensPerRequest,
  });
  switch (sized.outcome) {
    case 'limit-reached':
      return denyAtLimit(session, sized.dimension, events, nowMs);
    case 'too-big':
      return denyTooBig(session, sized, events, nowMs);
    case 'over-request-cap':
      return deny(session, overRequestCap(sized.neededTokens, sized.capTokens), nowMs, events);
    case 'granted':
      return openHold(session, request, sized, events, nowMs);
  }
}

function openHold(
  session: Session,
  request: AdmitRequest,
  sized: { readonly hold: Amounts; readonly outputTokens: number | null },
  events: readonly SessionEvent[],
  nowMs: number,
): Decision<AdmitAnswer> {
  const hold: Hold = {
    id: request.id,
    openedAtMs: nowMs,
    purpose: request.purpose,
    outputTokens: sized.outputTokens,
    idempotency: request.idempotency,
    amounts: sized.hold,
    leaseUntilMs: Math.min(nowMs + request.leaseMs, endOf(session)),
    metered: NOTHING,
  };
  const opening = open(session.ledger, hold, nowMs);
  if (opening === 'refused') return deny(session, heldDenial(session, sized.hold), nowMs, events);

  session.velocity = counted(session.velocity, nowMs);
  session.counts = { ...session.counts, admitted: session.counts.admitted + 1 };
  session.tooBigInARow = 0;
  // Doubt lasts as long as the longest lease that may have been given, so a longer one is on disk before it is.
  const longerLease = request.leaseMs > session.longestLeaseMs;
  session.longestLeaseMs = Math.max(session.longestLeaseMs, request.leaseMs);
  if (request.idempotency !== null) beginKey(session, request.idempotency);
  tellAdmitted(session.trail, request, hold, nowMs);
  const write = opening === 'write' || longerLease || request.idempotency !== null || events.length > 0;
  return grantedAnswer(session, hold, { write, events }, nowMs);
}

function grantedAnswer(
  session: Session,
  hold: Hold,
  { write, events }: { write: boolean; events: readonly SessionEvent[] },
  nowMs: number,
): Decision<AdmitAnswer> {
  const answer: AdmitAnswer = {
    admitted: true,
    receipt: receiptOf(session.ledger, hold),
    outputTokens: hold.outputTokens,
    warnings: activeWarnings(session),
    standing: standingOf(session, nowMs),
  };
  return { answer, write, events };
}

/**
 * Raises a hold as its stream flows. What was lost of it in a crash comes out of doubt first; that, and what memory may
 * not grant, is written before the answer.
 */
export function extend(session: Session, request: ExtendRequest, nowMs: number): Decision<ExtendAnswer> {
  const standing = standingDenial(session, nowMs);
  if (standing !== null && standing.code !== 'credential-expired') return notExtended(standing);
  const found = claim(session.ledger, request.receipt, claimedLeaseMs(session, request.receipt, nowMs));
  if (found === null) return notExtended(lostHold());
  const { hold, claimed } = found;
  if (claimed) tellClaimed(session.trail, hold, request.receipt.generation, nowMs);
  const wanted = { microUsd: request.microUsd, tokens: request.tokens };
  const opening = extendHold(session.ledger, hold, wanted, nowMs);
  if (opening === 'refused') {
    const dimension = dimensionOver(session, minus(wanted, hold.amounts));
    const what = 'The answer was cut where the session can pay for no more of it.';
    const denial = limitDenial(session, dimension, what);
    tellNotExtended(session.trail, hold.id, denial, nowMs);
    return { ...notExtended(denial), write: true };
  }
  const events = warn(session, nowMs);
  return {
    answer: { extended: true, receipt: receiptOf(session.ledger, hold) },
    write: opening === 'write' || claimed,
    events,
  };
}

function notExtended(denial: Denial): Decision<ExtendAnswer> {
  return { answer: { extended: false, denial }, write: false, events: [] };
}

/** Renews a stream's lease, unless it has to be cut. `write`: the hold came out of doubt and must be on disk first. */
export function watch(session: Session, request: WatchRequest, nowMs: number): Decision<WatchAnswer> {
  const found = claim(session.ledger, request.receipt, claimedLeaseMs(session, request.receipt, nowMs));
  if (found === null) return { answer: { cut: true, denial: lostHold() }, write: false, events: [] };
  const { hold, claimed } = found;
  if (claimed) tellClaimed(session.trail, hold, request.receipt.generation, nowMs);
  renew(
    session.ledger,
    hold,
    { microUsd: request.meteredMicroUsd, tokens: request.meteredTokens },
    Math.min(nowMs + STREAM_LEASE_MS, endOf(session)),
  );
  const events = warn(session, nowMs);
  const denial = cutDenial(session, hold, nowMs);
  if (denial !== null) return { answer: { cut: true, denial }, write: claimed, events };
  return { answer: { cut: false, receipt: receiptOf(session.ledger, hold) }, write: claimed, events };
}

/** Why a running stream has to end now; null while it may go on. */
export function cutDenial(session: Session, hold: Hold, nowMs: number): Denial | null {
  const standing = standingDenial(session, nowMs);
  if (standing !== null && standing.code !== 'credential-expired') return standing;
  if (nowMs >= endOf(session)) return { code: 'credential-expired', detail: 'This session has ended.' };
  // After a lowered limit the oldest holds that still fit go on; the others are cut.
  let used = plus(session.ledger.settled, doubtOf(session.ledger));
  for (const other of session.ledger.open.values()) {
    used = plus(used, other.amounts);
    if (other.id === hold.id) break;
  }
  if (within(used, session.ledger.limit)) return null;
  const dimension = used.microUsd > session.ledger.limit.microUsd ? 'spend' : 'tokens';
  return limitDenial(session, dimension, 'The limit of this session was lowered.');
}

/** Ends a hold at what it cost. Again, or late, it answers what was charged first (rule 5). Acknowledge once it is durable. */
export function settle(session: Session, settlement: Settlement, nowMs: number): Decision<SettleAnswer> {
  const { receipt } = settlement;
  const charge = {
    amounts: { microUsd: settlement.costMicroUsd, tokens: settlement.tokens },
    usage: settlement.usage,
    estimated: settlement.estimated,
    reason: settlement.reason,
    model: settlement.model ?? null,
    flags: settlement.flags ?? [],
  };
  return conclude(session, receipt, nowMs, {
    end: (hold) => settleHold(session.ledger, hold, charge),
    endLate: () => settleLate(session.ledger, receipt, charge, nowMs),
  });
}

/** Gives a hold back whole: nothing was sent. Late, it corrects the charge to nothing. */
export function voidHold(session: Session, receipt: Receipt, reason: string, nowMs: number): Decision<SettleAnswer> {
  const nothing = { amounts: NOTHING, usage: null, estimated: false, reason, model: null, flags: [] };
  return conclude(session, receipt, nowMs, {
    end: (hold) => release(session.ledger, hold, reason),
    endLate: () => settleLate(session.ledger, receipt, nothing, nowMs),
  });
}

/** How a hold ends, whether it is on the books, in doubt, already ended, or beyond explanation. */
function conclude(
  session: Session,
  receipt: Receipt,
  nowMs: number,
  how: { end: (hold: Hold) => LedgerEntry; endLate: () => LedgerEntry | null },
): Decision<SettleAnswer> {
  const found = claim(session.ledger, receipt, claimedLeaseMs(session, receipt, nowMs));
  if (found?.claimed === true) tellClaimed(session.trail, found.hold, receipt.generation, nowMs);
  const hold = found?.hold ?? null;
  const told = session.ledger.pending.length;
  const entry = hold === null ? how.endLate() : how.end(hold);
  if (entry === null) {
    const events = freeze(session, receipt.id, nowMs);
    return { answer: { state: 'frozen', costMicroUsd: microUsd(0) }, write: true, events };
  }
  if (hold !== null) concludeKey(session, hold, entry.costMicroUsd > 0);
  // What had ended before is answered again, and told once.
  if (session.ledger.pending.length > told) tellEnded(session.trail, entry, nowMs);
  const answer: SettleAnswer = {
    state: entry.state === 'open' ? 'settled' : entry.state,
    costMicroUsd: entry.costMicroUsd,
  };
  return { answer, write: false, events: warn(session, nowMs) };
}

/** What ends by itself at `nowMs`: leases that passed, doubt that can no longer be alive. */
export function expireDue(session: Session, nowMs: number): Decision<number> {
  const holds = new Map(session.ledger.open);
  const ended = expire(session.ledger, nowMs);
  for (const entry of ended) {
    tellEnded(session.trail, entry, nowMs);
    const hold = holds.get(entry.id);
    if (hold !== undefined) concludeKey(session, hold, entry.costMicroUsd > 0);
  }
  return { answer: ended.length, write: ended.length > 0, events: warn(session, nowMs) };
}

// ----------------------------------------------------------------------------------------------------------- denials

function deny(
  session: Session,
  denial: Denial,
  nowMs: number,
  events: readonly SessionEvent[] = [],
  write = false,
): Decision<AdmitAnswer> {
  session.counts = { ...session.counts, denied: session.counts.denied + 1 };
  const answer: AdmitAnswer = {
    admitted: false,
    denial,
    standing: standingOf(session, nowMs),
    revocation: session.revocation === null ? null : standingDenial(session, nowMs),
  };
  // Rule 2: never refuse for want of money while something is unconfirmed. With nothing unconfirmed it costs no write.
  const aboutMoney = MONEY_CODES.has(denial.code);
  return { answer, events, write: write || (aboutMoney && session.ledger.dirty) };
}

function denyAtLimit(
  session: Session,
  dimension: Dimension,
  events: readonly SessionEvent[],
  nowMs: number,
): Decision<AdmitAnswer> {
  const tripped = tripOnLimit(session, dimension, nowMs);
  const detail =
    session.tooBigInARow >= TOO_BIG_IN_A_ROW_TRIPS
      ? `${session.tooBigInARow} requests in a row were too big for what is left: the session is stopped.`
      : `The ${dimension} limit of this session is reached.`;
  const denial = limitDenial(session, dimension, detail);
  return deny(session, denial, nowMs, [...events, ...tripped], true);
}

function denyTooBig(
  session: Session,
  { dimension, needed }: { readonly dimension: Dimension; readonly needed: Amounts },
  events: readonly SessionEvent[],
  nowMs: number,
): Decision<AdmitAnswer> {
  session.tooBigInARow += 1;
  session.ledger.dirty = true;
  const warned = activeWarnings(session).includes(WARNINGS[dimension])
    ? events
    : [...events, giveWarning(session, WARNINGS[dimension], nowMs)];
  if (session.tooBigInARow >= TOO_BIG_IN_A_ROW_TRIPS) return denyAtLimit(session, dimension, warned, nowMs);
  const what =
    dimension === 'spend' ? `at least ${formatUsd(needed.microUsd)} USD` : `at least ${needed.tokens} tokens`;
  const denial = limitDenial(session, dimension, `This request needs ${what}, which is more than is left.`);
  const hold = dimension === 'spend' ? { hold_usd: formatUsd(needed.microUsd) } : { hold_tokens: needed.tokens };
  return deny(session, { ...denial, evidence: { ...denial.evidence, ...hold } }, nowMs, warned);
}

function limitDenial(session: Session, dimension: Dimension, detail: string): Denial {
  const left = leftOf(session.ledger);
  const { limit } = session.ledger;
  const evidence =
    dimension === 'spend'
      ? { limit_usd: formatUsd(limit.microUsd), left_usd: formatUsd(Math.max(0, left.microUsd)) }
      : { limit_tokens: limit.tokens, left_tokens: Math.max(0, left.tokens) };
  return { code: LIMIT_CODES[dimension], detail, evidence };
}

function heldDenial(session: Session, hold: Amounts): Denial {
  const available = availableOf(session.ledger);
  return {
    code: 'spend-held',
    detail: 'Other requests of this session hold what this one needs; it fits once they have ended.',
    retryAfterSeconds: SPEND_HELD_RETRY_SECONDS,
    evidence: {
      hold_usd: formatUsd(hold.microUsd),
      available_usd: formatUsd(Math.max(0, available.microUsd)),
      hold_tokens: hold.tokens,
      ...(session.limits.tokens === null ? {} : { available_tokens: Math.max(0, available.tokens) }),
    },
  };
}

function overRequestCap(neededTokens: number, capTokens: number): Denial {
  return {
    code: 'token-limit-exceeded',
    detail: `This request needs at least ${neededTokens} tokens; one request of this session may use ${capTokens}.`,
    evidence: { needed_tokens: neededTokens, tokens_per_request: capTokens },
  };
}

function dimensionOver(session: Session, more: Amounts): Dimension {
  return more.microUsd > availableOf(session.ledger).microUsd ? 'spend' : 'tokens';
}

/** A hold that comes back from doubt lives as long as it may have been promised before the crash. */
function claimedLeaseMs(session: Session, { admittedAtMs }: Receipt, nowMs: number): number {
  return Math.min(Math.max(nowMs + STREAM_LEASE_MS, admittedAtMs + session.longestLeaseMs), endOf(session));
}

function lostHold(): Denial {
  return {
    code: 'enforcement-unavailable',
    detail: 'The hold of this request is no longer on the books of its session.',
  };
}

/** A request id is used once; its own redelivery finds the hold open. */
function endedDenial(session: Session, id: string): Denial | null {
  if (endedEntry(session.ledger, id) === null) return null;
  return { code: 'idempotency-completed', detail: 'This request has already ended.' };
}

/** Agent, customer and segment are pinned at first sight: a later credential that disagrees is not this session's. */
function pinDenial(session: Session, { session: claimed }: AdmitRequest): Denial | null {
  const pinned = session.identity;
  const agrees =
    pinned.issuer === claimed.issuer &&
    pinned.sid === claimed.sid &&
    pinned.agent === claimed.agent &&
    pinned.customer === claimed.customer &&
    pinned.segments.length === claimed.segments.length &&
    pinned.segments.every((segment, index) => segment === claimed.segments[index]);
  return agrees
    ? null
    : { code: 'credential-invalid', detail: 'The credential disagrees with what this session was created with.' };
}

function velocityDenial(session: Session, nowMs: number): Denial | null {
  const { requestsPerMinute } = session.limits;
  if (requestsPerMinute === null) return null;
  const { retryAfterSeconds } = allowance(session.velocity, requestsPerMinute, nowMs);
  if (retryAfterSeconds === 0) return null;
  return {
    code: 'velocity-exceeded',
    detail: `This session may make ${requestsPerMinute} requests per minute.`,
    retryAfterSeconds,
    evidence: { requests_per_minute: requestsPerMinute },
  };
}

// ------------------------------------------------------------------------------------------------------- idempotency

function idempotencyDenial(session: Session, { idempotency }: AdmitRequest): Denial | null {
  if (idempotency === null) return null;
  const record = session.keys.get(idempotency.key);
  if (record === undefined && session.keyCount >= MAX_IDEMPOTENCY_KEYS) {
    return { code: 'bad-request', detail: `A session may use ${MAX_IDEMPOTENCY_KEYS} idempotency keys.` };
  }
  if (record === undefined || record.state === 'free') return null;
  if (record.digest !== idempotency.digest) {
    return { code: 'idempotency-mismatch', detail: 'This idempotency key was used with another body.' };
  }
  return record.state === 'running'
    ? {
        code: 'idempotency-in-flight',
        detail: 'The first request with this idempotency key is still running.',
        retryAfterSeconds: SPEND_HELD_RETRY_SECONDS,
      }
    : {
        code: 'idempotency-completed',
        detail: 'The request with this idempotency key was already answered and charged.',
      };
}

function beginKey(session: Session, { key, digest }: { readonly key: string; readonly digest: string }): void {
  if (!session.keys.has(key)) session.keyCount += 1;
  setKey(session, key, { state: 'running', digest });
}

/** A charge completes the key; a void or a zero charge frees it. */
function concludeKey(session: Session, { idempotency }: Hold, charged: boolean): void {
  if (idempotency === null) return;
  setKey(session, idempotency.key, { state: charged ? 'completed' : 'free', digest: idempotency.digest });
}

function setKey(session: Session, key: string, record: KeyRecord): void {
  session.keys.set(key, record);
  session.changedKeys.add(key);
}
