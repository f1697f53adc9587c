// What a crash made this incarnation forget, and what comes after its hold has ended: claimed from doubt, or corrected in
// the books (rule 5 of docs/ledger.md). Functions of (ledger, receipt, now), like ledger.ts.
import type { LedgerEntry, Receipt } from '../rpc/session-rpc.ts';
import { type Amounts, NOTHING, isNothing, least, minus, most, plus, within } from './amounts.ts';
import { type Charge, type Hold, type Ledger, chargeRow, endedEntry, lateId, recoveredId } from './ledger.ts';

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
 * charged for it is corrected once, by a row of its own. `null`: nothing on the books explains it.
 */
export function settleLate(ledger: Ledger, receipt: Receipt, late: Charge, nowMs: number): LedgerEntry | null {
  const earlier = endedEntry(ledger, receipt.id);
  if (earlier !== null && earlier.state !== 'expired') return earlier;
  const charged = earlier === null ? NOTHING : { microUsd: earlier.costMicroUsd, tokens: earlier.costTokens };
  const stated: Amounts = { microUsd: receipt.microUsd, tokens: receipt.tokens };
  // What the receipt states beyond that was lost in a crash: it is in doubt, or was charged as recovered.
  const recovered = takeLost(ledger, receipt.generation, most(minus(stated, charged), NOTHING));
  if (recovered === null && earlier === null) return null;
  const bound = recovered === null ? charged : stated;
  const amounts = minus(minus(least(most(late.amounts, NOTHING), bound), charged), recovered ?? NOTHING);
  const adjusts = earlier === null ? recoveredId(receipt.generation) : earlier.id;
  return chargeRow(ledger, { id: lateId(receipt.id), amounts, atMs: nowMs, reason: 'late', adjusts });
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
