// Finds the entry of an archive's ledger that is not what the rows of its log tell of it. That some entry was changed, the
// digest in the log's last row says; which one, only what a row repeats of it can show. Reads no lines.
import type { JsonObject, JsonValue } from '../json/small-json.ts';

/** Rows that tell how a request, or a correction, came out: each has its entry. */
const OUTCOMES = new Set<unknown>(['settled', 'voided', 'expired', 'corrected', 'recovered']);
/** With more than these nothing is compared: some 20 MB are enough to keep. */
const MAX_WITNESSED_ENTRIES = 100_000;

/** What a row repeats of an entry, by the names in both. */
const REPEATED = [
  ['cost_micro_usd', 'costMicroUsd'],
  ['cost_tokens', 'costTokens'],
  ['reason', 'reason'],
  ['model', 'model'],
  ['adjusts', 'adjusts'],
] as const;

export interface LedgerFinding {
  /** Of the entry in the file; null where the entry is missing. */
  readonly line: number | null;
  /** One sentence for people. */
  readonly detail: string;
}

interface Outcome {
  readonly seq: number;
  readonly told: readonly JsonValue[];
}

export class LedgerWitness {
  readonly #outcomes = new Map<string, Outcome>();
  #overflown = false;
  #differing: LedgerFinding | null = null;
  #untold: LedgerFinding | null = null;

  /** Takes a row of the log; those that tell of no outcome are passed over. */
  row(seq: number, members: JsonObject): void {
    const { event, id } = members;
    if (typeof id !== 'string' || !OUTCOMES.has(event)) return;
    this.#overflown ||= this.#outcomes.size >= MAX_WITNESSED_ENTRIES;
    if (!this.#overflown) this.#outcomes.set(id, { seq, told: REPEATED.map(([inRow]) => members[inRow] ?? null) });
  }

  /** Takes an entry of the ledger, which stands in that line of the file. */
  entry(line: number, entry: JsonObject): void {
    const id = typeof entry['id'] === 'string' ? entry['id'] : '';
    const outcome = this.#outcomes.get(id);
    this.#outcomes.delete(id);
    if (outcome === undefined) {
      this.#untold ??= { line, detail: `No row of the log tells of the entry "${id}".` };
      return;
    }
    const index = REPEATED.findIndex(([, inEntry], at) => (entry[inEntry] ?? null) !== outcome.told[at]);
    const [inRow, inEntry] = REPEATED[index] ?? [];
    if (inRow === undefined || inEntry === undefined) return;
    const [here, there] = [entry[inEntry] ?? null, outcome.told[index]].map((value) => JSON.stringify(value));
    const detail = `The entry "${id}" has ${inEntry} ${here}; row ${outcome.seq} tells of ${inRow} ${there}.`;
    this.#differing ??= { line, detail };
  }

  /** After the last line: the entry that is not what it was, where that can be told. */
  finding(): LedgerFinding | null {
    if (this.#overflown) return null;
    const found = this.#differing ?? this.#untold;
    if (found !== null) return found;
    const [missing] = this.#outcomes;
    if (missing === undefined) return null;
    const [id, { seq }] = missing;
    return { line: null, detail: `The entry "${id}", which row ${seq} tells of, is missing.` };
  }
}
