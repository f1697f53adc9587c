import { describe, expect, it } from 'vitest';
import { LedgerWitness } from '../../src/audit/ledger-witness.ts';
import type { JsonObject } from '../../src/json/small-json.ts';

const row = (id: string, more: JsonObject = {}): JsonObject => ({
  event: 'settled',
  id,
  cost_micro_usd: 5,
  cost_tokens: 7,
  reason: 'completed',
  model: 'm-1',
  ...more,
});
const entry = (id: string, more: JsonObject = {}): JsonObject => ({
  id,
  state: 'settled',
  costMicroUsd: 5,
  costTokens: 7,
  reason: 'completed',
  model: 'm-1',
  usage: null,
  ...more,
});

/** Rows from 1, then entries from line 10. */
function findingOf(rows: readonly JsonObject[], entries: readonly JsonObject[]) {
  const witness = new LedgerWitness();
  for (const [index, members] of rows.entries()) witness.row(index + 1, members);
  for (const [index, members] of entries.entries()) witness.entry(10 + index, members);
  return witness.finding();
}

describe('of a ledger beside the rows that tell of it', () => {
  it('nothing is found where they agree', () => {
    expect(findingOf([row('a'), row('b', { event: 'denied' }), row('c')], [entry('c'), entry('a')])).toBeNull();
  });

  it.each<[string, JsonObject, string]>([
    ['charge', { costMicroUsd: 4 }, 'The entry "b" has costMicroUsd 4; row 2 tells of cost_micro_usd 5.'],
    ['tokens', { costTokens: 8 }, 'The entry "b" has costTokens 8; row 2 tells of cost_tokens 7.'],
    ['reason', { reason: 'late' }, 'The entry "b" has reason "late"; row 2 tells of reason "completed".'],
    ['model', { model: null }, 'The entry "b" has model null; row 2 tells of model "m-1".'],
  ])('an entry with another %s is found, and named', (_what, more, detail) => {
    expect(findingOf([row('a'), row('b')], [entry('a'), entry('b', more)])).toEqual({ line: 11, detail });
  });

  it('an entry that no row tells of is found, and one that is missing', () => {
    expect(findingOf([row('a')], [entry('a'), entry('b')])).toMatchObject({ line: 11 });
    expect(findingOf([row('a'), row('b')], [entry('a')])).toEqual({
      line: null,
      detail: 'The entry "b", which row 2 tells of, is missing.',
    });
  });

  it('what differs comes before what is only not told of', () => {
    const found = findingOf([row('a')], [entry('x'), entry('a', { costTokens: 0 })]);
    expect(found).toMatchObject({ line: 11 });
  });

  it('nothing is claimed of more entries than are kept', () => {
    const rows = Array.from({ length: 100_001 }, (_, index) => row(`id-${index}`));
    expect(findingOf(rows, [entry('other')])).toBeNull();
  });
});
