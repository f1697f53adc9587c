// Which blobs of revocations an isolate holds, which it lacks, and which it may let go. Pure: the clock comes in, the
// loading is the client's.
import { BLOB_LOAD_TIMEOUT_MS, BLOB_RETRY_MS, MAX_CARRIED_LISTS, MAX_EDGE_BLOB_BYTES } from '../limits.ts';
import { type DigestList, NO_DIGESTS } from './revocation-list.ts';

export class BlobShelf {
  readonly #held = new Map<string, DigestList>();
  /** When a load began, or when the next may, by digest. */
  readonly #notBeforeMs = new Map<string, number>();
  #named: readonly string[] = [];
  /** What heads carried themselves before it went into a blob, until all blobs are here. */
  #carried: readonly DigestList[] = [];
  #lists: readonly DigestList[] = [];

  /** What is searched: the blobs of the head, and what was searched before them until all of the head's are here. */
  get lists(): readonly DigestList[] {
    return this.#lists;
  }

  /** Whether all blobs of the head are here. */
  get isComplete(): boolean {
    return this.#named.every((digest) => this.#held.has(digest));
  }

  /** Says which blobs the head names now, and what it does not carry itself any more. */
  name(digests: readonly string[], carriedNoMore: DigestList = NO_DIGESTS): void {
    this.#named = digests;
    if (carriedNoMore.count > 0) this.#carried = [...this.#carried, carriedNoMore].slice(-MAX_CARRIED_LISTS);
    for (const digest of this.#notBeforeMs.keys()) if (!digests.includes(digest)) this.#notBeforeMs.delete(digest);
    this.#settle();
  }

  /** The blobs to load now; they count as being loaded from here on, until they have failed or must have been lost. */
  begin(nowMs: number): readonly string[] {
    const due = this.#named.filter(
      (digest) => !this.#held.has(digest) && nowMs >= (this.#notBeforeMs.get(digest) ?? nowMs),
    );
    for (const digest of due) this.#notBeforeMs.set(digest, nowMs + BLOB_LOAD_TIMEOUT_MS);
    return due;
  }

  /** Takes a blob that was loaded; one that no head names any more is dropped. */
  put(digest: string, list: DigestList): void {
    if (!this.#named.includes(digest)) return;
    this.#held.set(digest, list);
    this.#notBeforeMs.delete(digest);
    this.#settle();
  }

  failed(digest: string, nowMs: number): void {
    if (!this.#held.has(digest) && this.#named.includes(digest)) this.#notBeforeMs.set(digest, nowMs + BLOB_RETRY_MS);
  }

  /** Lets go of what no head names, once nothing depends on it or where it would be too much. */
  #settle(): void {
    const heldBytes = [...this.#held.values()].reduce((sum, { view }) => sum + view.byteLength, 0);
    if (this.isComplete || heldBytes > MAX_EDGE_BLOB_BYTES) {
      for (const digest of this.#held.keys()) if (!this.#named.includes(digest)) this.#held.delete(digest);
    }
    if (this.isComplete) this.#carried = [];
    this.#lists = [...this.#held.values(), ...this.#carried];
  }
}
