import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  countExpired,
  endSecond,
  mergeRuns,
  planMerge,
  type Run,
  type RunSummary,
  tierOf,
} from '../../src/control/revocation-tiers.ts';
import { BLOBS_PER_TIER, MAX_RECENT_REVOCATIONS, MAX_REVOCATION_BLOBS, MAX_REVOCATIONS } from '../../src/limits.ts';
import { digestListOf } from '../../src/snapshot/revocation-list.ts';

type Entries = ReadonlyMap<number, number>;

/** A run of small numbers as digests, each with the second of its end. */
function runOf(entries: Entries): Run {
  const sorted = [...entries].toSorted(([a], [b]) => a - b);
  const digests = Buffer.alloc(sorted.length * 8);
  const ends = Buffer.alloc(sorted.length * 4);
  for (const [index, [digest, end]] of sorted.entries()) {
    // In both halves, so that an order by one of them alone is found out.
    digests.writeUInt32BE(digest % 3, index * 8);
    digests.writeUInt32BE(Math.floor(digest / 3), index * 8 + 4);
    ends.writeUInt32BE(end, index * 4);
  }
  const order = Array.from({ length: sorted.length }, (_, index) => index).toSorted((a, b) =>
    Buffer.compare(digests.subarray(a * 8, a * 8 + 8), digests.subarray(b * 8, b * 8 + 8)),
  );
  return {
    digests: new Uint8Array(Buffer.concat(order.map((at) => digests.subarray(at * 8, at * 8 + 8)))),
    ends: new Uint8Array(Buffer.concat(order.map((at) => ends.subarray(at * 4, at * 4 + 4)))),
  };
}

function entriesOf({ digests, ends }: Run): Entries {
  const [all, when] = [Buffer.from(digests), Buffer.from(ends)];
  return new Map(
    Array.from({ length: digests.length / 8 }, (_, index) => [
      all.readUInt32BE(index * 8 + 4) * 3 + all.readUInt32BE(index * 8),
      when.readUInt32BE(index * 4),
    ]),
  );
}

/** Digests as they are written, which never end. */
function endless(hex: string): Run {
  return { digests: new Uint8Array(Buffer.from(hex, 'hex')), ends: new Uint8Array(hex.length / 4).fill(0xff) };
}

function summary(digest: string, count: number, expired = 0): RunSummary {
  return { digest, count, expired };
}

const entries = fc.array(fc.tuple(fc.nat(60), fc.nat(100)), { maxLength: 40 }).map((pairs): Entries => new Map(pairs));

describe('merging runs', () => {
  it('gives what has not ended of all of them, each once and with its last end, in order', () => {
    fc.assert(
      fc.property(fc.array(entries, { maxLength: 9 }), fc.nat(100), (runs, nowSecond) => {
        const expected = new Map<number, number>();
        for (const run of runs)
          for (const [digest, end] of run) expected.set(digest, Math.max(end, expected.get(digest) ?? 0));
        for (const [digest, end] of expected) if (end < nowSecond) expected.delete(digest);
        const merged = mergeRuns(runs.map(runOf), nowSecond * 1_000);
        expect(digestListOf(merged.digests)?.count).toBe(expected.size);
        expect(entriesOf(merged)).toEqual(new Map([...expected].toSorted(([a], [b]) => (a % 3) - (b % 3) || a - b)));
      }),
    );
  });

  it('keeps the order of digests whose upper halves need all 32 bits', () => {
    const merged = mergeRuns(
      [endless('ffffffffffffffff'), endless('0000000000000001'), endless('8000000000000000')],
      0,
    );
    expect(Buffer.from(merged.digests).toString('hex')).toBe('00000000000000018000000000000000ffffffffffffffff');
  });

  it('counts as ended what a merge would drop', () => {
    fc.assert(
      fc.property(entries, fc.nat(100), (run, nowSecond) => {
        const kept = mergeRuns([runOf(run)], nowSecond * 1_000).digests.length / 8;
        expect(countExpired(runOf(run), nowSecond * 1_000)).toBe(run.size - kept);
      }),
    );
  });
});

describe('the end of an entry', () => {
  it.each([
    [1_000, 1],
    [1_001, 2],
    [Number.MAX_SAFE_INTEGER, 0xffff_ffff],
  ])('of %d ms is second %d: never too early, never past 32 bits', (untilMs, second) => {
    expect(endSecond(untilMs)).toBe(second);
  });
});

describe('what is merged next', () => {
  const many = (count: number, size: number, prefix: string): RunSummary[] =>
    Array.from({ length: count }, (_, index) => summary(`${prefix}${index}`, size));
  const FULL = MAX_RECENT_REVOCATIONS;

  it.each<[string, readonly RunSummary[], readonly string[] | null]>([
    ['nothing of nothing', [], null],
    ['nothing, while no tier is full', [...many(7, FULL, 'a'), ...many(7, FULL * 8, 'b')], null],
    [
      'the smallest tier that is full',
      [...many(8, FULL * 8, 'b'), ...many(8, FULL, 'a')],
      many(8, FULL, 'a').map(({ digest }) => digest),
    ],
    ['everything, when most of it has ended', [summary('a', 10, 9), summary('b', 10, 2)], ['a', 'b']],
    ['nothing, when only half of it has ended', [summary('a', 10, 10), summary('b', 10, 0)], null],
    [
      'all but the largest, when the head could not name them all',
      [1, 8, 64, 512, 4_096].flatMap((times) => many(7, FULL * times, `${times}-`)),
      [1, 8, 64, 512, 4_096]
        .flatMap((times) => many(7, FULL * times, `${times}-`))
        .slice(0, -1)
        .map(({ digest }) => digest),
    ],
  ])('is %s', (_what, runs, plan) => {
    expect(planMerge(runs)).toEqual(plan);
  });

  it('comes to an end, with no more blobs than a head names, whatever there is', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.integer({ min: 1, max: 300_000 }), fc.nat(100)), { maxLength: 60 }), (sizes) => {
        let runs = sizes.map(([count, percent], index) =>
          summary(`${index}`, count, Math.floor((count * percent) / 100)),
        );
        for (let step = 0; ; step += 1) {
          const plan = planMerge(runs);
          if (plan === null) break;
          expect(step).toBeLessThan(100);
          const merged = runs.filter(({ digest }) => plan.includes(digest));
          const count = merged.reduce((sum, { count: all, expired }) => sum + all - expired, 0);
          runs = runs.filter(({ digest }) => !plan.includes(digest));
          if (count > 0) runs.push(summary(`merged-${step}`, count));
        }
        expect(runs.length).toBeLessThanOrEqual(MAX_REVOCATION_BLOBS);
      }),
    );
  });

  it('has five tiers for as many entries as there may be', () => {
    expect([1, FULL, FULL + 1, FULL * BLOBS_PER_TIER, MAX_REVOCATIONS].map(tierOf)).toEqual([0, 0, 1, 1, 4]);
  });
});
