// The 64-bit digests by which the snapshot knows sessions and agents. Pure.
import { createHash } from 'node:crypto';

/** The first 64 bits of a SHA-256, as two halves: JavaScript has no faster way to hold them. */
export interface Digest64 {
  readonly high: number;
  readonly low: number;
}

/** Of the name of a session's object (`issuer~sid`), or of an agent's id. */
export function digestOf(name: string): Digest64 {
  const digest = createHash('sha256').update(name).digest();
  return { high: digest.readUInt32BE(0), low: digest.readUInt32BE(4) };
}

export function compareDigests(a: Digest64, b: Digest64): number {
  return a.high === b.high ? a.low - b.low : a.high - b.high;
}

/** 16 hex digits. */
export function digestHex({ high, low }: Digest64): string {
  return high.toString(16).padStart(8, '0') + low.toString(16).padStart(8, '0');
}

/** Reads 16 hex digits; what is none is a bug of the caller, who has a grammar for it. */
export function digestFromHex(hex: string): Digest64 {
  if (!/^[0-9a-f]{16}$/.test(hex)) throw new Error('not 16 hex digits');
  return { high: Number.parseInt(hex.slice(0, 8), 16), low: Number.parseInt(hex.slice(8), 16) };
}
