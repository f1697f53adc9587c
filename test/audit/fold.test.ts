import { describe, expect, it } from 'vitest';
import { closeFolds, type Due, fold, type Folds } from '../../src/audit/fold.ts';
import { AUDIT_FOLD_WINDOW_MS, MAX_OPEN_FOLDS } from '../../src/limits.ts';
import { seeded } from '../simulation/random.ts';

const NOW_MS = 1_800_000_000_000;
const denial = (key: string) => ({ key, first: { event: 'denied', key }, repeated: { event: 'denied-again', key } });

/** How many denials of each kind the rows tell of. */
function toldOf(rows: readonly Due[]): Record<string, number> {
  const told: Record<string, number> = {};
  for (const { entry } of rows) {
    const { key } = entry as Due['entry'] & { readonly key: string };
    told[key] = (told[key] ?? 0) + (entry.event === 'denied' ? 1 : Number(entry['count']));
  }
  return told;
}

describe('a flood of identical denials', () => {
  it('is one row at once, and one with the exact count and times of the rest', () => {
    const folds: Folds = new Map();
    const rows = Array.from({ length: 10_000 }, (_, index) => fold(folds, denial('a'), NOW_MS + index)).flat();
    expect(rows).toEqual([{ entry: { event: 'denied', key: 'a' }, atMs: NOW_MS }]);
    expect(closeFolds(folds, NOW_MS + 20_000, { all: false })).toEqual([]);
    expect(closeFolds(folds, NOW_MS + 20_000, { all: true })).toEqual([
      {
        atMs: NOW_MS + 20_000,
        entry: {
          event: 'denied-again',
          key: 'a',
          count: 9_999,
          from: new Date(NOW_MS + 1).toISOString(),
          to: new Date(NOW_MS + 9_999).toISOString(),
        },
      },
    ]);
  });

  it('that was counted elsewhere is told with its own times, not with those of the report', () => {
    const folds: Folds = new Map();
    fold(folds, denial('a'), NOW_MS);
    const counted = (count: number, fromMs: number, toMs: number) => ({
      ...denial('a'),
      counted: { count, fromMs, toMs },
    });
    fold(folds, counted(200, NOW_MS + 5, NOW_MS + 90), NOW_MS + 10_000);
    fold(folds, counted(10, NOW_MS + 2, NOW_MS + 40), NOW_MS + 11_000);
    expect(closeFolds(folds, NOW_MS + 12_000, { all: true })[0]?.entry).toMatchObject({
      count: 210,
      from: new Date(NOW_MS + 2).toISOString(),
      to: new Date(NOW_MS + 90).toISOString(),
    });
  });

  it('begins anew after the window', () => {
    const folds: Folds = new Map();
    fold(folds, denial('a'), NOW_MS);
    fold(folds, denial('a'), NOW_MS + 1);
    const rows = fold(folds, denial('a'), NOW_MS + AUDIT_FOLD_WINDOW_MS);
    expect(rows.map(({ entry }) => [entry.event, entry['count']])).toEqual([
      ['denied-again', 1],
      ['denied', undefined],
    ]);
  });

  it('one that nobody repeated leaves no row behind', () => {
    const folds: Folds = new Map();
    fold(folds, denial('a'), NOW_MS);
    expect(closeFolds(folds, NOW_MS, { all: true })).toEqual([]);
    expect(folds.size).toBe(0);
  });

  it('of more kinds than are counted at once makes the oldest tell what it counted', () => {
    const folds: Folds = new Map();
    fold(folds, denial('oldest'), NOW_MS);
    fold(folds, denial('oldest'), NOW_MS);
    const rows: Due[] = [];
    for (let kind = 0; kind < MAX_OPEN_FOLDS; kind += 1) rows.push(...fold(folds, denial(`kind-${kind}`), NOW_MS));
    expect(folds.size).toBe(MAX_OPEN_FOLDS);
    expect(rows.filter(({ entry }) => entry.event === 'denied-again').map(({ entry }) => entry['key'])).toEqual([
      'oldest',
    ]);
  });

  it('is counted exactly, whatever comes in between', () => {
    const seed = Date.now() % 1_000_000;
    console.log(`seed ${seed}`);
    const random = seeded(seed);
    const folds: Folds = new Map();
    const asked: Record<string, number> = {};
    const rows: Due[] = [];
    let nowMs = NOW_MS;
    for (let step = 0; step < 20_000; step += 1) {
      nowMs += random.below(200);
      const key = `kind-${random.below(200)}`;
      asked[key] = (asked[key] ?? 0) + 1;
      rows.push(...fold(folds, denial(key), nowMs));
      if (random.chance(0.01)) rows.push(...closeFolds(folds, nowMs, { all: random.chance(0.1) }));
    }
    rows.push(...closeFolds(folds, nowMs, { all: true }));
    expect(toldOf(rows)).toEqual(asked);
  });
});
