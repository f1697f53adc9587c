// A clock that moves from one event to the next, and signatures that are computed at once: with both, what has to happen at
// one moment has happened when the promises have run, and the same seed gives the same run.
import { createHash, createPrivateKey, createPublicKey, sign, verify } from 'node:crypto';
import type { Deadline } from '../../src/rpc/deadline.ts';
import type { KeyRing } from '../../src/signing/signing-keys.ts';
import { keyRing, privateJwk } from '../support/credentials.ts';

interface Event {
  readonly atMs: number;
  readonly order: number;
  readonly happen: () => void;
}

export class VirtualTime {
  #nowMs: number;
  #events = 0;
  /** A binary heap: the earliest first, and of those at one moment the first that was planned. */
  readonly #heap: Event[] = [];

  constructor(startMs: number) {
    this.#nowMs = startMs;
  }

  readonly now = (): number => this.#nowMs;

  at(atMs: number, happen: () => void): void {
    this.#events += 1;
    this.#push({ atMs: Math.max(atMs, this.#nowMs), order: this.#events, happen });
  }

  delay(delayMs: number): Promise<void> {
    return new Promise((resolve) => this.at(this.#nowMs + delayMs, resolve));
  }

  readonly within: Deadline = (answer, timeoutMs) => Promise.race([answer, this.delay(timeoutMs).then(() => null)]);

  async runUntil(endMs: number): Promise<void> {
    for (let next = this.#heap[0]; next !== undefined && next.atMs <= endMs; next = this.#heap[0]) {
      this.#pop();
      this.#nowMs = next.atMs;
      next.happen();
      await new Promise((resolve) => setImmediate(resolve));
    }
    this.#nowMs = endMs;
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let at = heap.push(event) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(event, heap[parent])) break;
      heap[at] = heap[parent] as Event;
      at = parent;
    }
    heap[at] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return;
    let at = 0;
    for (;;) {
      let child = at * 2 + 1;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child])) child += 1;
      if (child >= heap.length || !isBefore(heap[child] as Event, last)) break;
      heap[at] = heap[child] as Event;
      at = child;
    }
    heap[at] = last;
  }
}

function isBefore(a: Event, b: Event | undefined): boolean {
  return b === undefined || a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** A key whose real Ed25519 signatures are from now on made and checked within the turn; what was checked once is remembered. */
export async function keysAtOnce(): Promise<KeyRing> {
  const jwk = await privateJwk('simulated');
  const keys = await keyRing(jwk);
  const privateKey = createPrivateKey({ key: jwk, format: 'jwk' });
  const publicKey = createPublicKey(privateKey);
  const checked = new Map<string, boolean>();
  const check = (signature: Uint8Array, data: Uint8Array): boolean => {
    const id = createHash('sha256').update(signature).update(data).digest('base64');
    const isGood = checked.get(id) ?? verify(null, data, publicKey, signature);
    checked.set(id, isGood);
    return isGood;
  };
  const { subtle } = crypto;
  Object.defineProperty(subtle, 'sign', {
    value: async (_algorithm: unknown, _key: unknown, data: Uint8Array) => new Uint8Array(sign(null, data, privateKey)),
  });
  Object.defineProperty(subtle, 'verify', {
    value: async (_algorithm: unknown, _key: unknown, signature: Uint8Array, data: Uint8Array) =>
      check(signature, data),
  });
  return keys;
}
