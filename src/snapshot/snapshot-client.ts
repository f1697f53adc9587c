// The edge's copy of the snapshot: held per isolate, kept fresh by its relay and else by the control object, with KV for
// content where neither answers. A head is adopted only when it is signed, ours, and not older than the one held. Never
// shares a promise between requests, and never lets a blob or a policy that cannot be had keep a head from being adopted.
import QuickLRU from 'quick-lru';
import type { Denial } from '../denial.ts';
import {
  BLOB_ANSWER_TIMEOUT_MS,
  MAX_LEARNED_REVOCATIONS,
  MAX_REFRESHES_AT_ONCE,
  MISSED_SOURCE_LOG_MS,
  REFRESH_JITTER_FRACTION,
  REFRESH_WINDOW_MS,
  RELAY_CONFIRMED_MS,
  SNAPSHOT_ANSWER_TIMEOUT_MS,
  SNAPSHOT_BESIDE_ADMISSION_MS,
  STALE_RETRY_MS,
} from '../limits.ts';
import type { RevocationPolicy } from '../policy/policy.ts';
import type { HeadRpc } from '../rpc/control-rpc.ts';
import type { Deadline } from '../rpc/deadline.ts';
import type { RelayRpc } from '../rpc/relay-rpc.ts';
import type { KeyRing } from '../signing/signing-keys.ts';
import { BlobShelf } from './blob-shelf.ts';
import { type BlobSource, loadBlob } from './blob.ts';
import { type DrillRecord, type Head, policyBlobName, revokedBlobName } from './head.ts';
import type { SnapshotKv } from './kv-client.ts';
import { digestListOf, NO_DIGESTS, without } from './revocation-list.ts';
import { type HeadRefusal, verifyHead } from './signed-head.ts';
import { type ScreenedCaller, type ScreenedPlace, type Snapshot, snapshotOf, verdictOf } from './snapshot.ts';

/** Where the run-time policy goes. */
export interface PolicyPort {
  /** Hex SHA-256 of the run-time policy in force; null: the one deployed. */
  inForce(): string | null;
  /** Puts a policy in force, or with null the one deployed; false when it cannot be, and the one in force stays. */
  adopt(text: string | null, digest: string | null): Promise<boolean>;
}

export interface SnapshotSources {
  /** A stub for each call: a broken one stays broken. */
  readonly relay: () => Pick<RelayRpc, 'head' | 'blob'>;
  readonly control: () => HeadRpc;
  readonly kv: SnapshotKv;
  readonly keys: KeyRing;
  readonly deployment: string;
  /** As the policy in force says. */
  readonly rules: () => RevocationPolicy;
  readonly policy: PolicyPort;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** 0 <= n < 1. */
  readonly random: () => number;
  readonly within: Deadline;
  /** One structured line. */
  readonly log: (entry: Readonly<Record<string, unknown>>) => void;
}

/** How fresh the copy is: good enough, to be refreshed beside the admission, or too old to decide by. */
export type Freshness = 'fresh' | 'unconfirmed' | 'stale';

/** Takes work that goes on after whoever asked has been answered (`waitUntil`); it never rejects. */
export type Background = (work: Promise<unknown>) => void;

/** What an operator may want to know of one isolate's copy. */
export interface SnapshotHealth {
  readonly epoch: number | null;
  readonly ageMs: number | null;
  /** Who confirmed it last: the control object or KV where the relay does not answer. */
  readonly confirmedBy: 'relay' | 'control' | 'kv' | null;
  /** Whether the whole revocation list is loaded; what is not, the sessions' objects refuse. */
  readonly isListComplete: boolean;
  readonly revocations: number;
  readonly drill: DrillRecord;
  /** Hex SHA-256 of the policy file that was deployed last, as far as the head says so. */
  readonly deployedPolicy: string | null;
  /** Hex SHA-256 of the policy that the head names and that could not be put in force. */
  readonly refusedPolicy: string | null;
}

/** Between two looks whether what others have asked for has come. */
const NEWS_POLL_MS = 10;

type Source = 'relay' | 'control' | 'kv';
type Refusal = HeadRefusal | 'older';

export class EdgeSnapshot {
  readonly #sources: SnapshotSources;
  readonly #blobs = new BlobShelf();
  #snapshot: Snapshot | null = null;
  /** The latest `asOf` heard. */
  #asOfMs = Number.NEGATIVE_INFINITY;
  /** The same, by our own clock no later than it was heard. */
  #confirmedMs = Number.NEGATIVE_INFINITY;
  /** The age at which the next refresh begins. */
  #dueAfterMs = 0;
  /** When the latest of those that were asked beside others began. */
  #askedMs: readonly number[] = [];
  /** When an answer that confirmed nothing came last. */
  #failedMs = Number.NEGATIVE_INFINITY;
  /** Who confirmed it last. */
  #confirmedBy: Source | null = null;
  readonly #missedMs = new Map<Source, number>();
  #refusedPolicy: string | null = null;
  /** Revocations that a session's object told this isolate of; they are final, so they need no freshness. */
  readonly #learned: QuickLRU<string, Denial>;
  readonly #logged = new Set<string>();

  constructor(sources: SnapshotSources) {
    this.#sources = sources;
    this.#learned = new QuickLRU({ maxSize: MAX_LEARNED_REVOCATIONS });
  }

  get epoch(): number | null {
    return this.#snapshot?.head.epoch ?? null;
  }

  /**
   * Milliseconds since the control object confirmed what is held; null before the first head. A clock that was set back
   * makes it older, not younger: how old it is nobody knows any more.
   */
  ageMs(): number | null {
    return this.#snapshot === null ? null : Math.abs(this.#sources.now() - this.#confirmedMs);
  }

  freshness(): Freshness {
    const ageMs = this.ageMs();
    const { refreshMs, maxAgeMs } = this.#sources.rules();
    if (ageMs === null || ageMs > maxAgeMs) return 'stale';
    return ageMs > refreshMs ? 'unconfirmed' : 'fresh';
  }

  /** Whether it is time to ask again: somewhat before the copy counts as unconfirmed, and not for all isolates at once. */
  refreshIsDue(): boolean {
    const ageMs = this.ageMs();
    return ageMs === null || ageMs > Math.min(this.#dueAfterMs, this.#sources.rules().refreshMs);
  }

  /**
   * Why a request is refused from memory; null when nothing is known against it. Says nothing about how fresh that
   * knowledge is: see `freshness`. Blobs of the list that are not loaded yet are not searched.
   */
  verdict(caller: ScreenedCaller, at: ScreenedPlace): Denial | null {
    const learned = this.#learned.get(caller.name);
    if (learned !== undefined) return learned;
    if (this.#snapshot === null) return null;
    const held = { snapshot: this.#snapshot, blobs: this.#blobs.lists };
    return verdictOf(held, caller, { ...at, nowMs: this.#sources.now() });
  }

  /** Takes down that a session's object answered as revoked: from now on this isolate refuses it by itself. */
  learn(sessionName: string, denial: Denial): void {
    this.#learned.set(sessionName, denial);
  }

  health(): SnapshotHealth {
    const head = this.#snapshot?.head ?? null;
    const inBlobs = this.#blobs.lists.reduce((sum, { count }) => sum + count, 0);
    return {
      epoch: this.epoch,
      ageMs: this.ageMs(),
      confirmedBy: this.#confirmedBy,
      isListComplete: head !== null && this.#blobs.isComplete,
      revocations: (this.#snapshot?.recent.count ?? 0) + inBlobs,
      drill: head?.drill ?? null,
      deployedPolicy: head?.deployed ?? null,
      refusedPolicy: this.#refusedPolicy,
    };
  }

  /**
   * Asks for the head as it stands. Each request asks for itself, since a promise of one request must not be awaited by
   * another; where others have just asked, one more adds nothing, unless nothing can be decided without it: it waits a
   * moment for what they hear. Never rejects; when nobody answers, the copy that is held stays. Blobs are loaded in `background`, which need not be
   * waited for: a load that is lost there is begun again.
   */
  async refresh(background: Background = () => undefined): Promise<void> {
    if (!this.#mayAsk()) return this.#othersNews();
    if (this.#snapshot === null) await this.#askCold(background);
    else await this.#ask();
    if (this.refreshIsDue()) this.#failedMs = this.#sources.now();
    for (const digest of this.#blobs.begin(this.#sources.now())) background(this.#loadRevocations(digest));
    // A policy that does not come must not hold back requests that may be served by the one in force.
    const following = this.#followPolicy();
    background(following);
    await this.#sources.within(following, SNAPSHOT_ANSWER_TIMEOUT_MS);
  }

  /** Takes what the control object says now, past every relay: for whoever has just changed it. Never rejects. */
  async catchUp(background: Background = () => undefined): Promise<void> {
    await this.#hear('control');
    for (const digest of this.#blobs.begin(this.#sources.now())) background(this.#loadRevocations(digest));
    await this.#followPolicy();
  }

  /** What others have asked for is this one's news too: a burst that wakes an isolate must not pass on old knowledge. */
  async #othersNews(): Promise<void> {
    for (let waitedMs = 0; waitedMs < SNAPSHOT_BESIDE_ADMISSION_MS; waitedMs += NEWS_POLL_MS) {
      if (this.freshness() !== 'unconfirmed') return;
      await this.#sources.within(new Promise(() => undefined), NEWS_POLL_MS);
    }
  }

  #mayAsk(): boolean {
    const now = this.#sources.now();
    const freshness = this.freshness();
    if (freshness === 'stale') return now - this.#failedMs >= STALE_RETRY_MS || now < this.#failedMs;
    // Counted by when they began: the platform cancels a request whose client went away, and its end never comes.
    const recent = this.#askedMs.filter((atMs) => Math.abs(now - atMs) < REFRESH_WINDOW_MS);
    if (recent.length >= (freshness === 'fresh' ? 1 : MAX_REFRESHES_AT_ONCE)) return false;
    this.#askedMs = [...recent, now];
    return true;
  }

  async #ask(): Promise<void> {
    if (await this.#hear('relay')) return;
    this.#miss('relay');
    if (await this.#hear('control')) return;
    this.#miss('control');
    await this.#hear('kv');
  }

  /** Whoever confirms may be slow, and what KV has may be too old to decide by: whichever is enough ends the wait. */
  async #askCold(background: Background): Promise<void> {
    const kv = this.#hear('kv');
    const confirmed = this.#hear('relay').then((isConfirmed) => isConfirmed || this.#hear('control'));
    background(confirmed);
    const enough = kv.then(() =>
      this.freshness() === 'stale' ? confirmed : this.#sources.within(confirmed, SNAPSHOT_BESIDE_ADMISSION_MS),
    );
    await Promise.race([confirmed, enough]);
    if (this.freshness() === 'stale') await Promise.all([confirmed, kv]);
  }

  /** Whether a source gave a head that is confirmed as of now. Never rejects. */
  async #hear(source: Source): Promise<boolean> {
    try {
      const jws = await this.#sources.within(this.#headFrom(source), SNAPSHOT_ANSWER_TIMEOUT_MS);
      if (jws !== null) await this.#read(jws, source);
    } catch {
      // Out of reach: the next source is asked, or the copy that is held stays.
    }
    return !this.refreshIsDue();
  }

  /** Says that a source confirms nothing: at most once in a while for each. */
  #miss(source: Source): void {
    const nowMs = this.#sources.now();
    if (nowMs - (this.#missedMs.get(source) ?? Number.NEGATIVE_INFINITY) < MISSED_SOURCE_LOG_MS) return;
    this.#missedMs.set(source, nowMs);
    this.#sources.log({ event: 'snapshot.source-missed', source, epoch: this.epoch });
  }

  async #headFrom(source: Source): Promise<string | null> {
    switch (source) {
      case 'relay': {
        const confirmedWithinMs = Math.min(RELAY_CONFIRMED_MS, this.#sources.rules().refreshMs * 0.4);
        return (await this.#sources.relay().head({ confirmedWithinMs }))?.head ?? null;
      }
      case 'control':
        return (await this.#sources.control().head()).head;
      case 'kv':
        return this.#sources.kv.head();
    }
  }

  async #read(jws: string, source: Source): Promise<void> {
    const reading = await verifyHead(jws, this.#sources.keys, this.#sources.deployment);
    if (reading.ok) this.#adopt(reading.head, source);
    else this.#refuse(reading.reason, source);
  }

  /**
   * The epoch decides what is held, and neither it nor the confirmation ever goes back. A head of a later epoch was made
   * after the one held, whatever the clock said that was in it.
   */
  #adopt(head: Head, source: Source): void {
    const heldEpoch = this.#snapshot?.head.epoch ?? -1;
    if (head.epoch < heldEpoch) return this.#refuse('older', source);
    if (head.epoch > heldEpoch) {
      const before = this.#snapshot?.recent ?? NO_DIGESTS;
      this.#snapshot = snapshotOf(head);
      this.#blobs.name(
        head.revoked.blobs.map(({ digest }) => digest),
        without(before, this.#snapshot.recent),
      );
    }
    // A clock that is ahead of ours must not make us fresh for longer, and what it said once not fresh again.
    if (head.asOfMs <= this.#asOfMs) return;
    this.#asOfMs = head.asOfMs;
    const nowMs = this.#sources.now();
    const confirmedMs = Math.min(head.asOfMs, nowMs);
    const wasSetBack = nowMs < this.#confirmedMs;
    if (confirmedMs <= this.#confirmedMs && !wasSetBack) return;
    this.#confirmedMs = confirmedMs;
    this.#confirmedBy = source;
    const { refreshMs } = this.#sources.rules();
    this.#dueAfterMs = refreshMs * (1 - REFRESH_JITTER_FRACTION * this.#sources.random());
  }

  /** Once for each reason and source: what is wrong with a head is wrong with it every five seconds. */
  #refuse(reason: Refusal, source: Source): void {
    const line = `${source} ${reason}`;
    if (this.#logged.has(line)) return;
    this.#logged.add(line);
    this.#sources.log({ event: 'snapshot.refused', reason, source, epoch: this.epoch });
  }

  async #loadRevocations(digest: string): Promise<void> {
    const list = await loadBlob({ digest, sources: this.#whereIs(revokedBlobName(digest)), read: digestListOf });
    if (list !== null) return this.#blobs.put(digest, list);
    this.#blobs.failed(digest, this.#sources.now());
    this.#sources.log({ event: 'snapshot.blob-missing', digest });
  }

  /** Puts the policy in force that the head names. One that cannot be read is not read again; one that cannot be had, is. */
  async #followPolicy(): Promise<void> {
    const { policy } = this.#sources;
    const wanted = this.#snapshot?.head.policy;
    if (wanted === undefined) return;
    // One that was refused and is wanted no more is nothing to report.
    if (wanted !== this.#refusedPolicy) this.#refusedPolicy = null;
    if (wanted === policy.inForce()) return;
    if (wanted !== null && wanted === this.#refusedPolicy) return;
    try {
      const text = wanted === null ? null : await this.#policyText(wanted);
      if (wanted !== null && text === null) {
        this.#sources.log({ event: 'snapshot.policy-missing', digest: wanted });
        return;
      }
      // Another one may be wanted by now, and in force already: a slow answer must not put the one before back.
      if (this.#snapshot?.head.policy !== wanted) return;
      if (await policy.adopt(text, wanted)) {
        this.#refusedPolicy = null;
        return;
      }
    } catch (error) {
      this.#sources.log({ event: 'snapshot.policy-failed', digest: wanted, error: String(error) });
    }
    this.#refusedPolicy = wanted;
    this.#sources.log({ event: 'snapshot.policy-refused', digest: wanted });
  }

  #policyText(digest: string): Promise<string | null> {
    const sources = this.#whereIs(policyBlobName(digest));
    return loadBlob({ digest, sources, read: (bytes) => new TextDecoder().decode(bytes) });
  }

  /** KV has it near; what is so new that KV does not know of it comes from the relay or the control object. */
  #whereIs(name: string): readonly BlobSource[] {
    const { kv, relay, control, within } = this.#sources;
    const sources: readonly BlobSource[] = [() => kv.blob(name), () => relay().blob(name), () => control().blob(name)];
    return sources.map((source) => () => within(source(), BLOB_ANSWER_TIMEOUT_MS));
  }
}
