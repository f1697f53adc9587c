// The edge's copy of the snapshot: held per isolate, refreshed from the control object (freshness) with KV beside it
// (content, for when that one is out of reach), adopted only when signed, ours and not older than what is held.
import QuickLRU from 'quick-lru';
import type { Denial } from '../denial.ts';
import {
  MAX_LEARNED_REVOCATIONS,
  MAX_REFRESHES_AT_ONCE,
  REFRESH_WINDOW_MS,
  SNAPSHOT_MAX_AGE_MS,
  SNAPSHOT_REFRESH_AFTER_MS,
} from '../limits.ts';
import type { KeyRing } from '../signing/signing-keys.ts';
import type { ControlRpc } from '../rpc/control-rpc.ts';
import { verifyHead } from './signed-head.ts';
import { type SessionDigest, type Snapshot, isRevoked, snapshotOf } from './snapshot.ts';

/** The key under which the control object publishes the head. */
export const HEAD_KEY = 'head';

/** The KV namespace, as far as it is used. */
export interface SnapshotKv {
  get(key: string): Promise<string | null>;
}

export interface SnapshotSources {
  readonly kv: SnapshotKv;
  readonly control: () => ControlRpc;
  readonly keys: KeyRing;
  readonly deployment: string;
  readonly now: () => number;
}

const LISTED: Denial = { code: 'session-revoked', detail: 'This session was revoked.' };

/** How fresh the copy is: good enough, to be refreshed beside the admission, or too old to decide by. */
export type Freshness = 'fresh' | 'unconfirmed' | 'stale';

export class EdgeSnapshot {
  readonly #sources: SnapshotSources;
  #snapshot: Snapshot | null = null;
  /** When the latest of those that were asked beside others began. */
  #askedMs: readonly number[] = [];
  /** Revocations that a session's object told this isolate of; they are final, so they need no freshness. */
  readonly #learned: QuickLRU<string, Denial>;

  constructor(sources: SnapshotSources) {
    this.#sources = sources;
    this.#learned = new QuickLRU({ maxSize: MAX_LEARNED_REVOCATIONS });
  }

  get epoch(): number | null {
    return this.#snapshot?.epoch ?? null;
  }

  ageMs(): number | null {
    return this.#snapshot === null ? null : Math.max(0, this.#sources.now() - this.#snapshot.asOfMs);
  }

  freshness(): Freshness {
    const ageMs = this.ageMs();
    if (ageMs === null || ageMs > SNAPSHOT_MAX_AGE_MS) return 'stale';
    return ageMs > SNAPSHOT_REFRESH_AFTER_MS ? 'unconfirmed' : 'fresh';
  }

  /** Why a session is refused from memory; null when nothing is known against it. */
  revocation(sessionName: string, digest: SessionDigest): Denial | null {
    const learned = this.#learned.get(sessionName);
    if (learned !== undefined) return learned;
    return this.#snapshot !== null && isRevoked(this.#snapshot, digest) ? LISTED : null;
  }

  /** Takes down that a session's object answered as revoked: from now on this isolate refuses it by itself. */
  learn(sessionName: string, denial: Denial): void {
    this.#learned.set(sessionName, denial);
  }

  /**
   * Asks for the head as it stands. Each request asks for itself, since a promise of one request must not be awaited by
   * another; where several have just asked, one more adds nothing, unless nothing can be decided without it. Never
   * rejects; when nobody answers, the copy that is held stays.
   */
  async refresh(): Promise<void> {
    if (this.freshness() !== 'stale') {
      // Counted by when they began: the platform cancels a request whose client went away, and its end never comes.
      const now = this.#sources.now();
      const recent = this.#askedMs.filter((atMs) => now - atMs < REFRESH_WINDOW_MS);
      if (recent.length >= MAX_REFRESHES_AT_ONCE) return;
      this.#askedMs = [...recent, now];
    }
    await this.#ask();
  }

  async #ask(): Promise<void> {
    if (this.#snapshot === null) {
      for (const head of await Promise.all([this.#fromControl(), this.#fromKv()])) this.#adopt(head);
    } else {
      this.#adopt((await this.#fromControl()) ?? (await this.#fromKv()));
    }
  }

  async #fromControl(): Promise<Snapshot | null> {
    try {
      const { head } = await this.#sources.control().head();
      return await this.#read(head);
    } catch {
      return null;
    }
  }

  async #fromKv(): Promise<Snapshot | null> {
    try {
      const head = await this.#sources.kv.get(HEAD_KEY);
      return head === null ? null : await this.#read(head);
    } catch {
      return null;
    }
  }

  async #read(jws: string): Promise<Snapshot | null> {
    const head = await verifyHead(jws, this.#sources.keys, this.#sources.deployment);
    return head === null ? null : snapshotOf(head);
  }

  /** Epochs never go back, and neither does the time of the last confirmation. */
  #adopt(candidate: Snapshot | null): void {
    if (candidate === null) return;
    const held = this.#snapshot;
    if (held !== null && (candidate.epoch < held.epoch || candidate.asOfMs < held.asOfMs)) return;
    this.#snapshot = candidate;
  }
}
