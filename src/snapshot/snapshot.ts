// The edge's in-memory copy of what must be known of every session: today the revocation list. Codec and lookup, pure.
import { createHash } from 'node:crypto';
import * as z from 'zod';

/** The head as it travels: what the control object signs and KV keeps. */
export interface Head {
  readonly version: 1;
  /** Which deployment it speaks for; a head of another one is not adopted. */
  readonly deployment: string;
  /** Grows with every change, never goes back. */
  readonly epoch: number;
  /** When the control object said so, milliseconds. */
  readonly asOfMs: number;
  /** 64-bit digests of the revoked sessions' names, big-endian, sorted, base64. */
  readonly revoked: string;
}

/** A head made ready for lookups. */
export interface Snapshot {
  readonly epoch: number;
  readonly asOfMs: number;
  /** Upper and lower halves of the sorted digests. */
  readonly revokedHigh: Uint32Array;
  readonly revokedLow: Uint32Array;
}

/** The first 64 bits of the SHA-256 of a session's name. */
export interface SessionDigest {
  readonly high: number;
  readonly low: number;
}

const BYTES_PER_DIGEST = 8;

const headSchema = z.strictObject({
  version: z.literal(1),
  deployment: z.string(),
  epoch: z.int().nonnegative(),
  asOfMs: z.int().nonnegative(),
  revoked: z.base64(),
});

/** Reads a head from JSON; null when it is not one. */
export function parseHead(json: string): Head | null {
  try {
    const parsed = headSchema.safeParse(JSON.parse(json));
    return parsed.success ? parsed.data : null;
  } catch {
    return null;
  }
}

/** Makes a head ready for lookups; null when its list is cut off or out of order. */
export function snapshotOf(head: Head): Snapshot | null {
  const bytes = Buffer.from(head.revoked, 'base64');
  if (bytes.length % BYTES_PER_DIGEST !== 0) return null;
  const count = bytes.length / BYTES_PER_DIGEST;
  const revokedHigh = new Uint32Array(count);
  const revokedLow = new Uint32Array(count);
  for (let index = 0; index < count; index += 1) {
    const high = bytes.readUInt32BE(index * BYTES_PER_DIGEST);
    const low = bytes.readUInt32BE(index * BYTES_PER_DIGEST + 4);
    const previous = index === 0 ? null : { high: revokedHigh[index - 1] ?? 0, low: revokedLow[index - 1] ?? 0 };
    if (previous !== null && compareDigests(previous, { high, low }) >= 0) return null;
    revokedHigh[index] = high;
    revokedLow[index] = low;
  }
  return { epoch: head.epoch, asOfMs: head.asOfMs, revokedHigh, revokedLow };
}

/** Packs digests for a head: sorted, without repetitions. */
export function packDigests(digests: readonly SessionDigest[]): string {
  const sorted = digests.toSorted(compareDigests);
  const unique = sorted.filter((digest, index) => {
    const previous = sorted[index - 1];
    return previous === undefined || compareDigests(previous, digest) !== 0;
  });
  const bytes = Buffer.alloc(unique.length * BYTES_PER_DIGEST);
  for (const [index, { high, low }] of unique.entries()) {
    bytes.writeUInt32BE(high, index * BYTES_PER_DIGEST);
    bytes.writeUInt32BE(low, index * BYTES_PER_DIGEST + 4);
  }
  return bytes.toString('base64');
}

export function digestOf(sessionName: string): SessionDigest {
  const digest = createHash('sha256').update(sessionName).digest();
  return { high: digest.readUInt32BE(0), low: digest.readUInt32BE(4) };
}

/** Whether a session is on the list: a binary search. */
export function isRevoked({ revokedHigh, revokedLow }: Snapshot, digest: SessionDigest): boolean {
  let from = 0;
  let to = revokedHigh.length;
  while (from < to) {
    const middle = (from + to) >>> 1;
    const order = compareDigests({ high: revokedHigh[middle] ?? 0, low: revokedLow[middle] ?? 0 }, digest);
    if (order === 0) return true;
    if (order < 0) from = middle + 1;
    else to = middle;
  }
  return false;
}

function compareDigests(a: SessionDigest, b: SessionDigest): number {
  return a.high === b.high ? a.low - b.low : a.high - b.high;
}
