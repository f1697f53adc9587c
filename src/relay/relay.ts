// What a relay holds and decides: the head, with the time of its last confirmation, and blobs. It answers by itself only
// with what the control object has confirmed a moment ago; it never says "no change" because it has heard of none.
import {
  MAX_RELAY_BLOB_BYTES,
  RELAY_ASK_TIMEOUT_MS,
  RELAY_BLOB_TIMEOUT_MS,
  RELAY_CONFIRMED_MS,
  RELAY_RETRY_MS,
} from '../limits.ts';
import type { HeadRpc } from '../rpc/control-rpc.ts';
import type { Deadline } from '../rpc/deadline.ts';
import type { RelayRpc, SignedHead } from '../rpc/relay-rpc.ts';
import { type BlobSource, loadBlob } from '../snapshot/blob.ts';
import { readBlobName } from '../snapshot/head.ts';
import type { SnapshotKv } from '../snapshot/kv-client.ts';

export interface RelayParts {
  readonly control: () => HeadRpc;
  readonly kv: Pick<SnapshotKv, 'blob'>;
  /** Its name, by which the control object pushes to it. */
  readonly name: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly within: Deadline;
}

export class Relay implements RelayRpc {
  readonly #parts: RelayParts;
  #held: SignedHead | null = null;
  /** The latest `asOf` heard, and by our own clock no later than it was heard. */
  #confirmedMs = Number.NEGATIVE_INFINITY;
  /** The question under way: one serves all who ask meanwhile. */
  #asking: Promise<void> | null = null;
  #failedMs = Number.NEGATIVE_INFINITY;
  /** Least recently used first. */
  readonly #blobs = new Map<string, Uint8Array>();
  readonly #loading = new Map<string, Promise<Uint8Array | null>>();

  constructor(parts: RelayParts) {
    this.#parts = parts;
  }

  async head({ confirmedWithinMs }: { readonly confirmedWithinMs: number }): Promise<SignedHead | null> {
    const { now } = this.#parts;
    // After our clock was set back nobody knows how long ago it was.
    const isConfirmed = Math.abs(now() - this.#confirmedMs) <= Math.min(confirmedWithinMs, RELAY_CONFIRMED_MS);
    const hasJustFailed = Math.abs(now() - this.#failedMs) < RELAY_RETRY_MS;
    if (!isConfirmed && !hasJustFailed) await (this.#asking ??= this.#ask().finally(() => (this.#asking = null)));
    return this.#held;
  }

  async push(head: SignedHead): Promise<void> {
    this.#adopt(head);
  }

  async blob(name: string): Promise<Uint8Array | null> {
    const held = this.#blobs.get(name);
    if (held !== undefined) {
      this.#keep(name, held);
      return held;
    }
    let loading = this.#loading.get(name);
    if (loading === undefined) {
      loading = this.#load(name).finally(() => this.#loading.delete(name));
      this.#loading.set(name, loading);
    }
    return loading;
  }

  /** Never rejects: whoever asked gets what is held, whose `asOf` says how old that is. */
  async #ask(): Promise<void> {
    const { control, name, now, within } = this.#parts;
    try {
      const answer = await within(control().head({ relay: name }), RELAY_ASK_TIMEOUT_MS);
      if (answer !== null) return this.#adopt(answer);
    } catch {
      // Said by the `asOf` of what is answered.
    }
    this.#failedMs = now();
  }

  #adopt({ head, epoch, asOfMs }: SignedHead): void {
    const held = this.#held;
    const isLater = held === null || epoch > held.epoch || (epoch === held.epoch && asOfMs > held.asOfMs);
    if (!isLater) return;
    // A copy: an answer of another object, kept as it came, would keep that object in memory for as long.
    this.#held = { head, epoch, asOfMs };
    // A clock that is ahead of ours must not make us confirmed for longer.
    const nowMs = this.#parts.now();
    const confirmedMs = Math.min(asOfMs, nowMs);
    this.#confirmedMs = nowMs < this.#confirmedMs ? confirmedMs : Math.max(this.#confirmedMs, confirmedMs);
  }

  async #load(name: string): Promise<Uint8Array | null> {
    const wanted = readBlobName(name);
    if (wanted === null) return null;
    const { kv, control, within } = this.#parts;
    const sources: readonly BlobSource[] = [
      () => within(kv.blob(name), RELAY_BLOB_TIMEOUT_MS),
      () => within(control().blob(name), RELAY_BLOB_TIMEOUT_MS),
    ];
    const bytes = await loadBlob({ digest: wanted.digest, sources, read: (found) => found });
    if (bytes !== null) this.#keep(name, bytes);
    return bytes;
  }

  #keep(name: string, bytes: Uint8Array): void {
    this.#blobs.delete(name);
    this.#blobs.set(name, bytes);
    let kept = [...this.#blobs.values()].reduce((sum, { length }) => sum + length, 0);
    for (const [oldest, { length }] of this.#blobs) {
      if (kept <= MAX_RELAY_BLOB_BYTES) return;
      this.#blobs.delete(oldest);
      kept -= length;
    }
  }
}
