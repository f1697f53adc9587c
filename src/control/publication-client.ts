// Makes the head, signs it, and brings it to KV (blobs first) and to the relays. Nothing that fails here keeps the control
// object from answering: KV is tried again, a relay that missed a push asks by itself.
import { HEAD_MAX_REUSE_MS, MAX_RELAYS, RELAY_ACTIVE_MS, RELAY_ASK_TIMEOUT_MS } from '../limits.ts';
import { within } from '../rpc/deadline.ts';
import type { RelayName } from '../rpc/region.ts';
import type { RelayRpc, SignedHead } from '../rpc/relay-rpc.ts';
import type { KeyRing } from '../signing/signing-keys.ts';
import { digestHex, digestOf } from '../snapshot/digest64.ts';
import { type Head, HEAD_KEY, policyBlobName, readBlobName, revokedBlobName } from '../snapshot/head.ts';
import { signHead } from '../snapshot/signed-head.ts';
import type { HeadParts } from './head-parts.ts';
import type { HeadStore } from './head-store.ts';
import type { RevocationStore } from './revocation-store.ts';

/** The KV namespace as its only writer uses it. */
export interface PublishedKv {
  put(key: string, value: string | Uint8Array): Promise<void>;
  delete(key: string): Promise<void>;
}

export interface PublicationParts {
  readonly deployment: string;
  readonly revocations: RevocationStore;
  readonly heads: HeadStore;
  readonly parts: HeadParts;
  readonly kv: PublishedKv;
  readonly relay: (name: RelayName) => Pick<RelayRpc, 'push'>;
  /** Rejects when there are none. */
  readonly keys: () => Promise<KeyRing>;
  readonly now: () => number;
}

interface MadeHead extends SignedHead {
  /** The blobs that it names. */
  readonly blobs: readonly string[];
}

export class Publication {
  readonly #parts: PublicationParts;
  #made: MadeHead | null = null;
  /** When each relay asked last. Lost with the memory: they ask again within seconds. */
  readonly #relays = new Map<RelayName, number>();
  #pushing = false;
  #pushAgain = false;

  constructor(parts: PublicationParts) {
    this.#parts = parts;
  }

  /** Where the head stands; stamps it anew where what it carries has changed. */
  get epoch(): number {
    return this.#draft().epoch;
  }

  /** What the head carries has changed: no older one is given out from here on, and the relays are told. */
  changed(): number {
    this.#made = null;
    const { epoch } = this;
    void this.#push();
    return epoch;
  }

  /** The head as of now; one signature serves everybody who asks within a moment, unless something has changed. */
  async head(): Promise<MadeHead> {
    const made = this.#made;
    if (made !== null && Math.abs(this.#parts.now() - made.asOfMs) < HEAD_MAX_REUSE_MS) return made;
    const draft = this.#draft();
    const head = await signHead(draft, await this.#parts.keys());
    const { epoch, asOfMs, policy, revoked } = draft;
    const blobs = revoked.blobs.map(({ digest }) => revokedBlobName(digest));
    const signed = { head, epoch, asOfMs, blobs: policy === null ? blobs : [...blobs, policyBlobName(policy)] };
    // Something may have changed while it was being signed.
    if (this.#draft().epoch === epoch) this.#made = signed;
    return signed;
  }

  /** Takes down that a relay asked. */
  asked(relay: RelayName): void {
    this.#relays.delete(relay);
    this.#relays.set(relay, this.#parts.now());
    const [oldest] = this.#relays.keys();
    if (this.#relays.size > MAX_RELAYS && oldest !== undefined) this.#relays.delete(oldest);
  }

  /** The bytes of a blob; null when there is none of that name. */
  blob(name: string): Uint8Array | null {
    const wanted = readBlobName(name);
    if (wanted === null) return null;
    if (wanted.kind === 'revoked') return this.#parts.revocations.blob(wanted.digest);
    const text = this.#parts.parts.policyText(wanted.digest);
    return text === null ? null : new TextEncoder().encode(text);
  }

  /** Brings KV up to date: what the head names before the head, and last what is named no more. Rejects when KV fails. */
  async publish(): Promise<void> {
    const { kv, heads, revocations, now } = this.#parts;
    const { head, blobs } = await this.head();
    for (const name of blobs) {
      if (heads.isPublished(name)) continue;
      const bytes = this.blob(name);
      if (bytes === null) throw new Error(`the head names ${name}, which is not there`);
      await kv.put(name, bytes);
      heads.published(name);
    }
    await kv.put(HEAD_KEY, head);
    for (const digest of revocations.retired(now())) {
      const name = revokedBlobName(digest);
      heads.unpublished(name);
      await kv.delete(name);
      revocations.forget(digest);
    }
  }

  #draft(): Head {
    const { deployment, heads, parts, revocations, now } = this.#parts;
    const nowMs = now();
    const content = {
      policy: parts.policy(),
      deployed: parts.deployed(),
      switches: [...parts.switches(nowMs)],
      agents: parts
        .agents(nowMs)
        .map(({ agent, beforeMs, untilMs }): Head['agents'][number] => [digestHex(digestOf(agent)), beforeMs, untilMs]),
      revoked: revocations.forHead(),
      drill: parts.drill(),
    };
    return { version: 2, deployment, ...heads.stamp(content, nowMs), ...content };
  }

  /** One round at a time; changes that come meanwhile share the next one. */
  async #push(): Promise<void> {
    this.#pushAgain = true;
    if (this.#pushing) return;
    this.#pushing = true;
    try {
      while (this.#pushAgain) {
        this.#pushAgain = false;
        const { blobs: _blobs, ...signed } = await this.head();
        const sinceMs = this.#parts.now() - RELAY_ACTIVE_MS;
        const active = [...this.#relays].filter(([, askedMs]) => askedMs >= sinceMs);
        // One that hangs must not hold back the next change from the others.
        const pushes = active.map(([name]) => within(this.#parts.relay(name).push(signed), RELAY_ASK_TIMEOUT_MS));
        await Promise.allSettled(pushes);
      }
    } catch (error) {
      console.warn(JSON.stringify({ event: 'snapshot.push-failed', error: String(error) }));
    } finally {
      this.#pushing = false;
    }
  }
}
