// The revocation list as the control object keeps it: runs of sorted digests, each with the ends of its entries, merged
// tier by tier as in a log-structured tree, so that an entry is rewritten a few times and not with each change. Pure.
import { BLOBS_PER_TIER, MAX_RECENT_REVOCATIONS, MAX_REVOCATION_BLOBS } from '../limits.ts';
import { BYTES_PER_DIGEST } from '../snapshot/revocation-list.ts';

export const BYTES_PER_END = 4;

/** Entries in the order of their digests, and beside them, in the same order, when each may leave the list. */
export interface Run {
  /** As a blob: see snapshot/revocation-list.ts. */
  readonly digests: Uint8Array<ArrayBuffer>;
  /** Whole seconds since 1970, 32 bits, big-endian. */
  readonly ends: Uint8Array<ArrayBuffer>;
}

export interface RunSummary {
  /** Hex SHA-256 of its digests. */
  readonly digest: string;
  readonly count: number;
  readonly expired: number;
}

/** The second after which an entry is of no use: rounded up, and never past what 32 bits hold. */
export function endSecond(untilMs: number): number {
  return Math.min(Math.ceil(untilMs / 1_000), 0xffff_ffff);
}

/** How many entries of a run have ended. */
export function countExpired({ ends }: Pick<Run, 'ends'>, nowMs: number): number {
  const view = new DataView(ends.buffer, ends.byteOffset, ends.length);
  const nowSecond = Math.floor(nowMs / 1_000);
  let expired = 0;
  for (let at = 0; at < ends.length; at += BYTES_PER_END) if (view.getUint32(at) < nowSecond) expired += 1;
  return expired;
}

/** Tier 0 has what one full `recent` makes; each tier is `BLOBS_PER_TIER` times the one before. */
export function tierOf(count: number): number {
  let tier = 0;
  for (let most = MAX_RECENT_REVOCATIONS; count > most; most *= BLOBS_PER_TIER) tier += 1;
  return tier;
}

/**
 * The runs to be merged next, by their digests; null where there is nothing to do. Everything when most of it has ended;
 * else the smallest tier that is full; else, with more blobs than a head can name, all but the largest.
 */
export function planMerge(runs: readonly RunSummary[]): readonly string[] | null {
  const all = runs.reduce((sum, { count }) => sum + count, 0);
  const expired = runs.reduce((sum, run) => sum + run.expired, 0);
  if (expired * 2 > all) return runs.map(({ digest }) => digest);
  const tiers = Map.groupBy(runs, ({ count }) => tierOf(count));
  const full = [...tiers].filter(([, members]) => members.length >= BLOBS_PER_TIER);
  const smallest = full.toSorted(([a], [b]) => a - b)[0];
  if (smallest !== undefined) return smallest[1].map(({ digest }) => digest);
  if (runs.length <= MAX_REVOCATION_BLOBS) return null;
  const bySize = runs.toSorted((a, b) => a.count - b.count);
  return bySize.slice(0, -1).map(({ digest }) => digest);
}

/**
 * One run of everything that has not ended; an entry that is in several stays until the last of its ends. Takes a pass
 * over all entries with one comparison for each run.
 */
export function mergeRuns(runs: readonly Run[], nowMs: number): Run {
  const sources = runs.map(({ digests, ends }) => ({
    digests: new DataView(digests.buffer, digests.byteOffset, digests.length),
    ends: new DataView(ends.buffer, ends.byteOffset, ends.length),
    at: 0,
    count: digests.length / BYTES_PER_DIGEST,
  }));
  const most = sources.reduce((sum, { count }) => sum + count, 0);
  const digests = new Uint8Array(most * BYTES_PER_DIGEST);
  const ends = new Uint8Array(most * BYTES_PER_END);
  const digestsView = new DataView(digests.buffer);
  const endsView = new DataView(ends.buffer);
  const nowSecond = Math.floor(nowMs / 1_000);
  let written = 0;
  for (;;) {
    let high = Infinity;
    let low = Infinity;
    for (const { digests: from, at, count } of sources) {
      if (at === count) continue;
      const nextHigh = from.getUint32(at * BYTES_PER_DIGEST);
      if (nextHigh > high) continue;
      const nextLow = from.getUint32(at * BYTES_PER_DIGEST + 4);
      if (nextHigh === high && nextLow >= low) continue;
      high = nextHigh;
      low = nextLow;
    }
    if (high === Infinity) break;
    let end = 0;
    for (const source of sources) {
      if (source.at === source.count) continue;
      const at = source.at * BYTES_PER_DIGEST;
      if (source.digests.getUint32(at) !== high || source.digests.getUint32(at + 4) !== low) continue;
      end = Math.max(end, source.ends.getUint32(source.at * BYTES_PER_END));
      source.at += 1;
    }
    if (end < nowSecond) continue;
    digestsView.setUint32(written * BYTES_PER_DIGEST, high);
    digestsView.setUint32(written * BYTES_PER_DIGEST + 4, low);
    endsView.setUint32(written * BYTES_PER_END, end);
    written += 1;
  }
  return { digests: digests.slice(0, written * BYTES_PER_DIGEST), ends: ends.slice(0, written * BYTES_PER_END) };
}
