// The write-ahead ceiling: what a commit puts on disk, how far memory may go on top of it, and what a new incarnation
// makes of it (rules 3, 4 and 6 of docs/ledger.md). Functions of (ledger, now), like ledger.ts.
import { BLOCK_FRACTION_OF_LIMIT, MAX_RESOLVED_IN_MEMORY, SEAL_AFTER_MS } from '../limits.ts';
import type { LedgerEntry } from '../rpc/session-rpc.ts';
import { type Amounts, NOTHING, isNothing, least, minus, most, plus, within } from './amounts.ts';
import { type Doubt, type Hold, type Ledger, type Mark, emptyLedger, usedOf } from './ledger.ts';
import { grossOf } from './recent-holds.ts';

/** What one commit puts on disk: plain data, to be serialised at once, for it shares its holds with the ledger. */
export interface LedgerImage {
  readonly generation: number;
  readonly limit: Amounts;
  readonly settled: Amounts;
  readonly ceiling: Amounts;
  readonly open: readonly Hold[];
  readonly doubt: readonly (readonly [number, Doubt])[];
  readonly recovered: readonly (readonly [number, Amounts])[];
}

/**
 * What to write now, with the ceiling re-centred (rule 3). A gated write passes `gated: true`: every later reply waits
 * for it, so it counts as confirmed at once. A batch is in flight until `confirm`; only one may be.
 */
export function commit(
  ledger: Ledger,
  how: { gated: boolean },
  nowMs: number,
): { image: LedgerImage; entries: LedgerEntry[] } {
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
      open: [...ledger.open.values()],
      doubt: [...ledger.doubt],
      recovered: [...ledger.recovered],
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
  const open = new Map(image.open.map((hold) => [hold.id, hold]));
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
    dirty: false,
  };
  const unaccounted = minus(image.ceiling, usedOf(ledger));
  if (!isNothing(unaccounted)) {
    doubt.set(image.generation, { amounts: unaccounted, untilMs: lastLeaseMs });
    // Its end has to be on disk before this incarnation is evicted, or each one would begin to wait anew.
    ledger.dirty = true;
  }
  const used = usedOf(ledger);
  ledger.confirmed = { used, ceiling: used, granted: NOTHING };
  return ledger;
}

/** Two seconds of recent gross holds, at most 1 % of the limit, rounded up (rule 3); nothing once the session is idle. */
function blockOf(ledger: Ledger, nowMs: number): Amounts {
  if (nowMs - ledger.lastGrantMs >= SEAL_AFTER_MS) return NOTHING;
  const recent = grossOf(ledger.recent, nowMs);
  const most1Percent: Amounts = {
    microUsd: Math.ceil(ledger.limit.microUsd * BLOCK_FRACTION_OF_LIMIT),
    tokens: Math.ceil(ledger.limit.tokens * BLOCK_FRACTION_OF_LIMIT),
  };
  return least(recent, most1Percent);
}

/** Entries just handed to a commit may leave memory, oldest first; a later question for them is answered from disk. */
function forgetOldest(ledger: Ledger): void {
  for (const id of ledger.resolved.keys()) {
    if (ledger.resolved.size <= MAX_RESOLVED_IN_MEMORY) return;
    ledger.resolved.delete(id);
  }
}
