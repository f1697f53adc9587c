// The session's ledger: two-phase transfers in money and tokens under a write-ahead ceiling (docs/ledger.md has the
// rules by number). Functions of (ledger, command, now): no clock, no randomness, no storage. They change the ledger
// they are given, which has one owner; what must be on disk before a reply leaves is in what they return.
import { MAX_OPEN_HOLDS } from '../limits.ts';
import { microUsd } from '../money.ts';
import type { LedgerEntry, Purpose, Receipt, Usage } from '../rpc/session-rpc.ts';
import { type Amounts, NOTHING, fitsOnTop, least, minus, most, plus } from './amounts.ts';
import { NO_RECENT_HOLDS, type RecentHolds, withHold } from './recent-holds.ts';

export interface Hold {
  readonly id: string;
  readonly openedAtMs: number;
  readonly purpose: Purpose;
  /** The output ceiling that was granted with it; a repeated admission answers the same. */
  readonly outputTokens: number | null;
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
export interface Mark {
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
  lastGrantMs: number;
  recent: RecentHolds;
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
    lastGrantMs: 0,
    recent: NO_RECENT_HOLDS,
  };
}

// ---------------------------------------------------------------------------------------------------------- reading

/** The id of the row that charges a generation's doubt. */
export const recoveredId = (generation: number): string => `recovered-${generation}`;
/** The id of the row that corrects a request's charge. */
export const lateId = (id: string): string => `late-${id}`;

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
  const fromMemory =
    hasRoom(ledger.confirmed, amounts) && (ledger.inFlight === null || hasRoom(ledger.inFlight, amounts));
  if (!fromMemory && !fitsOnTop(usedOf(ledger), amounts, ledger.limit)) return 'refused';
  countGranted(ledger, amounts);
  ledger.recent = withHold(ledger.recent, amounts, nowMs);
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
}

/** Ends an open hold at its charge. Outside [0, hold] the charge is clamped and flagged. */
export function settle(ledger: Ledger, hold: Hold, charge: Charge): LedgerEntry {
  const amounts = least(most(charge.amounts, NOTHING), hold.amounts);
  const clamped = amounts.microUsd !== charge.amounts.microUsd || amounts.tokens !== charge.amounts.tokens;
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
    ended.push(
      chargeRow(ledger, { id: recoveredId(generation), amounts: doubt.amounts, atMs: nowMs, reason: 'recovered' }),
    );
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
export function chargeRow(
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
