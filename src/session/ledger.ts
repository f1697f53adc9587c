// The session's ledger: two-phase transfers in money and tokens under a write-ahead ceiling (docs/ledger.md has the
// rules by number). Functions of (ledger, command, now): no clock, no randomness, no storage. They change the ledger
// they are given, which has one owner; what must be on disk before a reply leaves is in what they return.
import {
  BLOCK_FRACTION_OF_LIMIT,
  BLOCK_WINDOW_MS,
  MAX_OPEN_HOLDS,
  MAX_RESOLVED_IN_MEMORY,
  SEAL_AFTER_MS,
} from '../limits.ts';
import { microUsd } from '../money.ts';
import type { LedgerEntry, Purpose, Receipt, Usage } from '../rpc/session-rpc.ts';
import { type Amounts, NOTHING, fitsOnTop, isNothing, least, minus, most, plus, within } from './amounts.ts';

export interface Hold {
  readonly id: string;
  readonly openedAtMs: number;
  readonly purpose: Purpose;
  /** The output ceiling that was granted with it; a repeated admission answers the same. */
  readonly outputTokens: number | null;
  /** Whether its lease is renewed by a watch. */
  readonly stream: boolean;
  /** Hex SHA-256 of route and key, and of the bytes received. */
  readonly idempotency: { readonly key: string; readonly digest: string } | null;
  /** The whole hold, extensions included. */
  amounts: Amounts;
  /** Passed without renewal, the hold expires. */
  leaseUntilMs: number;
  /** What its stream reported last. */
  metered: Amounts;
}

export interface Doubt {
  readonly amounts: Amounts;
  /** The last moment at which a hold of that generation can still be alive. */
  readonly untilMs: number;
}

/** A commit as admissions see it: what was used in it, what was granted since, and how far memory may go. */
interface Mark {
  readonly used: Amounts;
  readonly ceiling: Amounts;
  granted: Amounts;
}

export interface Ledger {
  /** Of this incarnation; durable with its first write. */
  readonly generation: number;
  limit: Amounts;
  settled: Amounts;
  held: Amounts;
  readonly open: Map<string, Hold>;
  /** What earlier incarnations may have admitted and not written down, by their generation. */
  readonly doubt: Map<number, Doubt>;
  /** Of each generation's `recovered` row, what no late settlement has claimed. */
  readonly recovered: Map<number, Amounts>;
  /** Ids that have ended, oldest first; what is dropped from here is on disk. */
  readonly resolved: Map<string, LedgerEntry>;
  /** Entries that no commit carries yet. */
  pending: LedgerEntry[];
  confirmed: Mark;
  /** A batch that was written and is not confirmed; the ceiling is then the lower of both. */
  inFlight: Mark | null;
  /** True when memory differs from what the last commit (in flight or not) wrote. */
  dirty: boolean;
  /** An account that cannot be explained: nothing is admitted any more. */
  frozen: boolean;
  lastGrantMs: number;
  /** Gross holds of the current second, the one before it, and the one before that: what the block is measured by. */
  recent: { second: number; gross: readonly [Amounts, Amounts, Amounts] };
}

/** What one commit puts on disk. Parsed again by `load`; plain data only. */
export interface LedgerImage {
  readonly generation: number;
  readonly limit: Amounts;
  readonly settled: Amounts;
  readonly ceiling: Amounts;
  readonly open: readonly Hold[];
  readonly doubt: readonly (readonly [number, Doubt])[];
  readonly recovered: readonly (readonly [number, Amounts])[];
  readonly frozen: boolean;
}

/** Granted from memory, granted on condition of a write before the reply, or not. */
export type Opening = 'memory' | 'write' | 'refused';

export function emptyLedger(limit: Amounts): Ledger {
  return {
    generation: 1,
    limit,
    settled: NOTHING,
    held: NOTHING,
    open: new Map(),
    doubt: new Map(),
    recovered: new Map(),
    resolved: new Map(),
    pending: [],
    confirmed: { used: NOTHING, ceiling: NOTHING, granted: NOTHING },
    inFlight: null,
    dirty: true,
    frozen: false,
    lastGrantMs: 0,
    recent: { second: 0, gross: [NOTHING, NOTHING, NOTHING] },
  };
}

// ---------------------------------------------------------------------------------------------------------- reading

export function doubtOf(ledger: Ledger): Amounts {
  let sum = NOTHING;
  for (const { amounts } of ledger.doubt.values()) sum = plus(sum, amounts);
  return sum;
}

/** Settled, held and in doubt: what counts against the limit. */
export function usedOf(ledger: Ledger): Amounts {
  return plus(plus(ledger.settled, ledger.held), doubtOf(ledger));
}

/** What no request has claimed yet. Negative after a limit was lowered below what is used. */
export function availableOf(ledger: Ledger): Amounts {
  return minus(ledger.limit, usedOf(ledger));
}

/** What is left once every hold had come back unused: `limit - settled - doubt`. */
export function leftOf(ledger: Ledger): Amounts {
  return minus(minus(ledger.limit, ledger.settled), doubtOf(ledger));
}

/** Settled plus what running streams have metered: what the warning goes by. */
export function consumedOf(ledger: Ledger): Amounts {
  let sum = ledger.settled;
  for (const hold of ledger.open.values()) sum = plus(sum, hold.metered);
  return sum;
}

export function receiptOf(ledger: Ledger, hold: Hold): Receipt {
  const { microUsd: money, tokens } = hold.amounts;
  return {
    generation: ledger.generation,
    id: hold.id,
    microUsd: microUsd(money),
    tokens,
    admittedAtMs: hold.openedAtMs,
    purpose: hold.purpose,
  };
}

export function knows(ledger: Ledger, id: string): boolean {
  return ledger.open.has(id) || endedEntry(ledger, id) !== null;
}

/** The last word on a request that has ended: the correction of its charge if there was one, else its own entry. */
export function endedEntry(ledger: Ledger, id: string): LedgerEntry | null {
  return ledger.resolved.get(lateId(id)) ?? ledger.resolved.get(id) ?? null;
}

/** Whether an entry tells of the request `id`. */
export function tellsOf(entry: LedgerEntry, id: string): boolean {
  return entry.id === id || entry.id === lateId(id);
}

/** The earliest moment at which something ends by itself; Infinity when nothing will. */
export function nextExpiryMs(ledger: Ledger): number {
  let earliest = Number.POSITIVE_INFINITY;
  for (const hold of ledger.open.values()) earliest = Math.min(earliest, hold.leaseUntilMs);
  for (const doubt of ledger.doubt.values()) earliest = Math.min(earliest, doubt.untilMs);
  return earliest;
}

// --------------------------------------------------------------------------------------------------------- admitting

/**
 * Places a hold. The caller has checked that the id is unknown and that the session admits at all.
 * `write` means: commit in this same turn, before the reply (rule 2). `refused` means that it does not fit what is
 * available now; if the ledger is dirty it is to be committed first and the refusal still stands (rule 2).
 */
export function open(ledger: Ledger, hold: Hold, nowMs: number): Opening {
  if (ledger.open.size >= MAX_OPEN_HOLDS) return 'refused';
  const opening = grant(ledger, hold.amounts, nowMs);
  if (opening === 'refused') return opening;
  ledger.open.set(hold.id, hold);
  ledger.held = plus(ledger.held, hold.amounts);
  return opening;
}

/** Raises an open hold to `wanted` in both dimensions (never lowers it). Same answers as `open`. */
export function extend(ledger: Ledger, hold: Hold, wanted: Amounts, nowMs: number): Opening {
  const amounts = most(hold.amounts, wanted);
  const more = minus(amounts, hold.amounts);
  const opening = grant(ledger, more, nowMs);
  if (opening === 'refused') return opening;
  hold.amounts = amounts;
  ledger.held = plus(ledger.held, more);
  return opening;
}

/** Counts `amounts` as granted, from memory if every commit that may be the one on disk has room for it (rule 1). */
function grant(ledger: Ledger, amounts: Amounts, nowMs: number): Opening {
  const fromMemory = hasRoom(ledger.confirmed, amounts) && (ledger.inFlight === null || hasRoom(ledger.inFlight, amounts));
  if (!fromMemory && !fitsOnTop(usedOf(ledger), amounts, ledger.limit)) return 'refused';
  countGranted(ledger, amounts);
  noteRecent(ledger, amounts, nowMs);
  ledger.lastGrantMs = nowMs;
  ledger.dirty = true;
  return fromMemory ? 'memory' : 'write';
}

function hasRoom(mark: Mark, amounts: Amounts): boolean {
  return fitsOnTop(plus(mark.used, mark.granted), amounts, mark.ceiling);
}

function countGranted(ledger: Ledger, amounts: Amounts): void {
  ledger.confirmed.granted = plus(ledger.confirmed.granted, amounts);
  if (ledger.inFlight !== null) ledger.inFlight.granted = plus(ledger.inFlight.granted, amounts);
}

/** Counts a stream's lease from now, and takes down what it has metered. */
export function renew(ledger: Ledger, hold: Hold, metered: Amounts, leaseUntilMs: number): void {
  hold.metered = most(hold.metered, metered);
  hold.leaseUntilMs = leaseUntilMs;
  ledger.dirty = true;
}

// ------------------------------------------------------------------------------------------------------------ ending

/** What a hold is charged, and why. */
export interface Charge {
  readonly amounts: Amounts;
  readonly usage: Usage | null;
  readonly estimated: boolean;
  readonly reason: string;
  readonly model: string | null;
  readonly flags: readonly string[];
  /** A calibrated hold has a stated tolerance: its charge may exceed it. */
  readonly mayExceedHold: boolean;
}

/** Ends an open hold at its charge. Outside [0, hold] the charge is clamped and flagged, unless it may exceed the hold. */
export function settle(ledger: Ledger, hold: Hold, charge: Charge): LedgerEntry {
  const floored = most(charge.amounts, NOTHING);
  const amounts = charge.mayExceedHold ? floored : least(floored, hold.amounts);
  const clamped = amounts.microUsd !== charge.amounts.microUsd || amounts.tokens !== charge.amounts.tokens;
  // A charge above its hold was never granted; it counts as granted now, so that rule 1 sees it.
  const excess = most(minus(amounts, hold.amounts), NOTHING);
  if (!isNothing(excess)) countGranted(ledger, excess);
  return end(ledger, hold, {
    ...entryOf(hold),
    state: 'settled',
    model: charge.model ?? hold.purpose.model,
    costMicroUsd: microUsd(amounts.microUsd),
    costTokens: amounts.tokens,
    usage: charge.usage,
    estimated: charge.estimated,
    reason: charge.reason,
    ...flagged(clamped ? [...charge.flags, 'charge-clamped'] : charge.flags),
  });
}

/** Ends an open hold at nothing: what it was for never began. */
export function release(ledger: Ledger, hold: Hold, reason: string): LedgerEntry {
  return end(ledger, hold, { ...entryOf(hold), state: 'voided', reason });
}

/** Ends every hold whose lease has passed at its full amount, and turns doubt into a row once nothing of it can be alive (rule 6). */
export function expire(ledger: Ledger, nowMs: number): LedgerEntry[] {
  const ended: LedgerEntry[] = [];
  for (const hold of ledger.open.values()) {
    if (hold.leaseUntilMs > nowMs) continue;
    ended.push(
      end(ledger, hold, {
        ...entryOf(hold),
        state: 'expired',
        costMicroUsd: microUsd(hold.amounts.microUsd),
        costTokens: hold.amounts.tokens,
        estimated: true,
        reason: 'lease-expired',
      }),
    );
  }
  for (const [generation, doubt] of ledger.doubt) {
    if (doubt.untilMs > nowMs) continue;
    ledger.doubt.delete(generation);
    ledger.recovered.set(generation, doubt.amounts);
    ended.push(charge(ledger, { id: recoveredId(generation), amounts: doubt.amounts, atMs: nowMs, reason: 'recovered' }));
  }
  return ended;
}

function end(ledger: Ledger, hold: Hold, entry: LedgerEntry): LedgerEntry {
  ledger.open.delete(hold.id);
  ledger.held = minus(ledger.held, hold.amounts);
  ledger.settled = plus(ledger.settled, { microUsd: entry.costMicroUsd, tokens: entry.costTokens });
  return record(ledger, entry);
}

function record(ledger: Ledger, entry: LedgerEntry): LedgerEntry {
  ledger.pending.push(entry);
  ledger.dirty = true;
  remember(ledger, entry);
  return entry;
}

/** Puts an entry that was found on disk (or has just ended) among those that memory answers for. */
export function remember(ledger: Ledger, entry: LedgerEntry): void {
  ledger.resolved.set(entry.id, entry);
}

/** A settled row that never was a hold: a recovered sum or a correction. */
function charge(
  ledger: Ledger,
  row: { id: string; amounts: Amounts; atMs: number; reason: string; adjusts?: string },
): LedgerEntry {
  ledger.settled = plus(ledger.settled, row.amounts);
  return record(ledger, {
    id: row.id,
    atMs: row.atMs,
    route: '',
    protocol: '',
    model: null,
    action: row.reason,
    state: 'settled',
    holdMicroUsd: microUsd(0),
    holdTokens: 0,
    costMicroUsd: microUsd(row.amounts.microUsd),
    costTokens: row.amounts.tokens,
    usage: null,
    estimated: true,
    reason: row.reason,
    ...(row.adjusts === undefined ? {} : { adjusts: row.adjusts }),
  });
}

// ------------------------------------------------------------------------------------- what was lost, and came late

const recoveredId = (generation: number): string => `recovered-${generation}`;
const lateId = (id: string): string => `late-${id}`;

/**
 * Finds the hold that a receipt speaks of, taking from doubt what a crash made this incarnation forget (rule 5): the
 * whole hold where its id is unknown, the extension where the hold is known at less. `null`: the request has ended, or
 * doubt does not cover it. What was taken (`claimed`) must be on disk before anything more is granted on top of it.
 */
export function claim(ledger: Ledger, receipt: Receipt, leaseUntilMs: number): { hold: Hold; claimed: boolean } | null {
  if (endedEntry(ledger, receipt.id) !== null) return null;
  const stated: Amounts = { microUsd: receipt.microUsd, tokens: receipt.tokens };
  const known = ledger.open.get(receipt.id);
  const missing = most(minus(stated, known?.amounts ?? NOTHING), NOTHING);
  if (known !== undefined && isNothing(missing)) return { hold: known, claimed: false };
  if (!isInDoubt(ledger, receipt.generation, missing)) return null;
  takeLost(ledger, receipt.generation, missing);
  const hold = known ?? {
    id: receipt.id,
    openedAtMs: receipt.admittedAtMs,
    purpose: receipt.purpose,
    outputTokens: null,
    stream: true,
    idempotency: null,
    amounts: NOTHING,
    leaseUntilMs,
    metered: NOTHING,
  };
  hold.amounts = plus(hold.amounts, missing);
  ledger.held = plus(ledger.held, missing);
  ledger.open.set(hold.id, hold);
  ledger.dirty = true;
  return { hold, claimed: true };
}

/**
 * Charges a settlement whose hold is beyond `claim`: it had expired, or was recovered with its generation. What was
 * charged for it is corrected once, by a row of its own. `null`: nothing on the books explains it; the ledger is frozen.
 */
export function settleLate(ledger: Ledger, receipt: Receipt, late: Charge, nowMs: number): LedgerEntry | null {
  const earlier = endedEntry(ledger, receipt.id);
  if (earlier !== null && earlier.state !== 'expired') return earlier;
  const charged = earlier === null ? NOTHING : { microUsd: earlier.costMicroUsd, tokens: earlier.costTokens };
  const stated: Amounts = { microUsd: receipt.microUsd, tokens: receipt.tokens };
  // What the receipt states beyond that was lost in a crash: it is in doubt, or was charged as recovered.
  const recovered = takeLost(ledger, receipt.generation, most(minus(stated, charged), NOTHING));
  if (recovered === null && earlier === null) {
    ledger.frozen = true;
    ledger.dirty = true;
    return null;
  }
  const bound = recovered === null ? charged : stated;
  const amounts = minus(minus(least(most(late.amounts, NOTHING), bound), charged), recovered ?? NOTHING);
  const adjusts = earlier === null ? recoveredId(receipt.generation) : earlier.id;
  return charge(ledger, { id: lateId(receipt.id), amounts, atMs: nowMs, reason: 'late', adjusts });
}

function isInDoubt(ledger: Ledger, generation: number, lost: Amounts): boolean {
  return isNothing(lost) || within(lost, ledger.doubt.get(generation)?.amounts ?? NOTHING);
}

/**
 * Takes what a crash made a generation forget out of its doubt, or out of what was recovered of it; answers how much of
 * it had been charged already. `null`: neither covers it, and nothing was taken.
 */
function takeLost(ledger: Ledger, generation: number, lost: Amounts): Amounts | null {
  if (isNothing(lost)) return NOTHING;
  const doubt = ledger.doubt.get(generation);
  if (doubt !== undefined && within(lost, doubt.amounts)) {
    const rest = minus(doubt.amounts, lost);
    if (isNothing(rest)) ledger.doubt.delete(generation);
    else ledger.doubt.set(generation, { ...doubt, amounts: rest });
    return NOTHING;
  }
  const recovered = ledger.recovered.get(generation);
  if (recovered === undefined || !within(lost, recovered)) return null;
  ledger.recovered.set(generation, minus(recovered, lost));
  return lost;
}

// ----------------------------------------------------------------------------------------------------------- commits

/**
 * What to write now, with the ceiling re-centred (rule 3). A gated write passes `gated: true`: every later reply waits
 * for it, so it counts as confirmed at once. A batch is in flight until `confirm`; only one may be.
 */
export function commit(ledger: Ledger, how: { gated: boolean }, nowMs: number): { image: LedgerImage; entries: LedgerEntry[] } {
  if (!how.gated && ledger.inFlight !== null) throw new Error('a batch is already in flight');
  const used = usedOf(ledger);
  const ceiling = most(used, least(ledger.limit, plus(used, blockOf(ledger, nowMs))));
  const mark: Mark = { used, ceiling, granted: NOTHING };
  if (how.gated) {
    ledger.confirmed = mark;
    ledger.inFlight = null;
  } else {
    ledger.inFlight = mark;
  }
  const entries = ledger.pending;
  ledger.pending = [];
  ledger.dirty = false;
  forgetOldest(ledger);
  return {
    image: {
      generation: ledger.generation,
      limit: ledger.limit,
      settled: ledger.settled,
      ceiling,
      open: [...ledger.open.values()].map((hold) => ({ ...hold })),
      doubt: [...ledger.doubt],
      recovered: [...ledger.recovered],
      frozen: ledger.frozen,
    },
    entries,
  };
}

/** The batch in flight is durable: its ceiling counts alone. Does nothing when a gated write overtook it. */
export function confirm(ledger: Ledger): void {
  if (ledger.inFlight === null) return;
  ledger.confirmed = ledger.inFlight;
  ledger.inFlight = null;
}

/** True while the end of this incarnation would leave something in doubt. */
export function isUnsealed(ledger: Ledger): boolean {
  return !within(ledger.confirmed.ceiling, ledger.confirmed.used);
}

/** True when nothing was granted for a while: time to write the seal, before an idle eviction (rule 3). */
export function needsSeal(ledger: Ledger, nowMs: number): boolean {
  return isUnsealed(ledger) && nowMs - ledger.lastGrantMs >= SEAL_AFTER_MS;
}

/**
 * The ledger of a new incarnation. Whatever the last one may have granted from memory, up to its ceiling, is in doubt
 * until the last lease it can have given has passed (rules 4 and 6).
 */
export function load(image: LedgerImage, lastLeaseMs: number): Ledger {
  const open = new Map(image.open.map((hold) => [hold.id, { ...hold }]));
  let held = NOTHING;
  for (const hold of open.values()) held = plus(held, hold.amounts);
  const doubt = new Map(image.doubt);
  const ledger: Ledger = {
    ...emptyLedger(image.limit),
    generation: image.generation + 1,
    settled: image.settled,
    held,
    open,
    doubt,
    recovered: new Map(image.recovered),
    frozen: image.frozen,
    dirty: false,
  };
  const unaccounted = minus(image.ceiling, usedOf(ledger));
  if (!isNothing(unaccounted)) doubt.set(image.generation, { amounts: unaccounted, untilMs: lastLeaseMs });
  const used = usedOf(ledger);
  ledger.confirmed = { used, ceiling: used, granted: NOTHING };
  return ledger;
}

/** Two seconds of recent gross holds, at most 1 % of the limit, rounded up (rule 3); nothing once the session is idle. */
function blockOf(ledger: Ledger, nowMs: number): Amounts {
  if (nowMs - ledger.lastGrantMs >= SEAL_AFTER_MS) return NOTHING;
  advanceRecent(ledger, nowMs);
  const recent = ledger.recent.gross.reduce(plus, NOTHING);
  const most1Percent: Amounts = {
    microUsd: Math.ceil(ledger.limit.microUsd * BLOCK_FRACTION_OF_LIMIT),
    tokens: Math.ceil(ledger.limit.tokens * BLOCK_FRACTION_OF_LIMIT),
  };
  return least(recent, most1Percent);
}

function noteRecent(ledger: Ledger, amounts: Amounts, nowMs: number): void {
  advanceRecent(ledger, nowMs);
  const [current, ...older] = ledger.recent.gross;
  ledger.recent.gross = [plus(current, amounts), ...older];
}

function advanceRecent(ledger: Ledger, nowMs: number): void {
  const second = Math.floor(nowMs / (BLOCK_WINDOW_MS / 2));
  const elapsed = second - ledger.recent.second;
  if (elapsed <= 0) return;
  const [current, before] = ledger.recent.gross;
  const shifted: readonly [Amounts, Amounts, Amounts] =
    elapsed === 1 ? [NOTHING, current, before] : elapsed === 2 ? [NOTHING, NOTHING, current] : [NOTHING, NOTHING, NOTHING];
  ledger.recent = { second, gross: shifted };
}

/** Entries just handed to a commit may leave memory, oldest first; a later question for them is answered from disk. */
function forgetOldest(ledger: Ledger): void {
  for (const id of ledger.resolved.keys()) {
    if (ledger.resolved.size <= MAX_RESOLVED_IN_MEMORY) return;
    ledger.resolved.delete(id);
  }
}

function entryOf(hold: Hold): LedgerEntry {
  return {
    id: hold.id,
    atMs: hold.openedAtMs,
    ...hold.purpose,
    state: 'open',
    holdMicroUsd: microUsd(hold.amounts.microUsd),
    holdTokens: hold.amounts.tokens,
    costMicroUsd: microUsd(0),
    costTokens: 0,
    usage: null,
    estimated: false,
    reason: null,
  };
}

/** The holds that have not ended, as the ledger lists them. */
export function openEntries(ledger: Ledger): LedgerEntry[] {
  return [...ledger.open.values()].map(entryOf);
}

function flagged(flags: readonly string[]): { flags?: readonly string[] } {
  return flags.length === 0 ? {} : { flags };
}
