// Tokens that this isolate has verified. Keyed by the digest of the whole token, so that no part of it can be swapped;
// bounded; and blind to time: its owner asks whether what it finds has expired.
import { createHash } from 'node:crypto';
import QuickLRU from 'quick-lru';
import { MAX_CACHED_TOKENS } from '../limits.ts';
import type { Principal } from './claims.ts';

export class TokenCache {
  // quick-lru keeps up to twice its maxSize before it drops the older half.
  readonly #principals = new QuickLRU<string, Principal>({ maxSize: MAX_CACHED_TOKENS / 2 });

  get(token: string): Principal | undefined {
    return this.#principals.get(digestOf(token));
  }

  set(token: string, principal: Principal): void {
    this.#principals.set(digestOf(token), principal);
  }

  delete(token: string): void {
    this.#principals.delete(digestOf(token));
  }

  get size(): number {
    return this.#principals.size;
  }
}

/** One character per octet: the shortest string, and the cheapest to make, that holds a digest. */
function digestOf(token: string): string {
  return createHash('sha256').update(token).digest('binary');
}
