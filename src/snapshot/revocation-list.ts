// A list of digests as it lies in a head or a blob: 64 bits each, big-endian, sorted, each once, and nothing else. Read
// where it lies: a million entries are 8 MB, and a copy would be 8 MB more in every isolate. Pure.
import { compareDigests, type Digest64 } from './digest64.ts';

export const BYTES_PER_DIGEST = 8;

/** Sorted digests, made by `digestListOf` alone: whoever holds one may search it. */
export interface DigestList {
  readonly count: number;
  readonly view: DataView;
}

export const NO_DIGESTS: DigestList = { count: 0, view: new DataView(new ArrayBuffer(0)) };

/** Makes bytes ready for lookups without copying them; null when they are cut off, out of order, or say something twice. */
export function digestListOf(bytes: Uint8Array): DigestList | null {
  if (bytes.length % BYTES_PER_DIGEST !== 0) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  let high = -1;
  let low = -1;
  for (let at = 0; at < bytes.length; at += BYTES_PER_DIGEST) {
    const nextHigh = view.getUint32(at);
    const nextLow = view.getUint32(at + 4);
    if (nextHigh < high || (nextHigh === high && nextLow <= low)) return null;
    high = nextHigh;
    low = nextLow;
  }
  return { count: bytes.length / BYTES_PER_DIGEST, view };
}

/** Where a digest is in the list, -1 where it is not: a binary search. */
export function positionOf({ count, view }: DigestList, { high, low }: Digest64): number {
  let from = 0;
  let to = count;
  while (from < to) {
    const middle = (from + to) >>> 1;
    const at = middle * BYTES_PER_DIGEST;
    const order = view.getUint32(at) - high || view.getUint32(at + 4) - low;
    if (order === 0) return middle;
    if (order < 0) from = middle + 1;
    else to = middle;
  }
  return -1;
}

/** Those of a list that another one does not have. */
export function without({ count, view }: DigestList, other: DigestList): DigestList {
  const left: Digest64[] = [];
  for (let index = 0; index < count; index += 1) {
    const at = index * BYTES_PER_DIGEST;
    const digest = { high: view.getUint32(at), low: view.getUint32(at + 4) };
    if (positionOf(other, digest) < 0) left.push(digest);
  }
  return digestListOf(packDigests(left)) ?? NO_DIGESTS;
}

/** Packs digests: sorted, without repetitions. */
export function packDigests(digests: readonly Digest64[]): Uint8Array<ArrayBuffer> {
  const sorted = digests.toSorted(compareDigests);
  const unique = sorted.filter((digest, index) => {
    const previous = sorted[index - 1];
    return previous === undefined || compareDigests(previous, digest) !== 0;
  });
  const bytes = new Uint8Array(unique.length * BYTES_PER_DIGEST);
  const view = new DataView(bytes.buffer);
  for (const [index, { high, low }] of unique.entries()) {
    view.setUint32(index * BYTES_PER_DIGEST, high);
    view.setUint32(index * BYTES_PER_DIGEST + 4, low);
  }
  return bytes;
}
