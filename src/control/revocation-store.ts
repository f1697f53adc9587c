// How the revocation list lies on disk: recent entries as rows, the rest as blobs in chunks with the ends of their entries
// beside them. What is merged when is revocation-tiers.ts's.
import { createHash } from 'node:crypto';
import {
  BLOB_CHUNK_BYTES,
  BLOB_RETENTION_MS,
  MAX_RECENT_REVOCATIONS,
  MAX_REVOCATION_BLOBS,
  MAX_REVOCATIONS,
} from '../limits.ts';
import { sessionName } from '../rpc/session-name.ts';
import { compareDigests, type Digest64, digestOf } from '../snapshot/digest64.ts';
import type { Head } from '../snapshot/head.ts';
import { BYTES_PER_DIGEST } from '../snapshot/revocation-list.ts';
import {
  BYTES_PER_END,
  countExpired,
  endSecond,
  mergeRuns,
  planMerge,
  type Run,
  type RunSummary,
} from './revocation-tiers.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS revoked_recent (digest BLOB NOT NULL PRIMARY KEY, end_s INTEGER NOT NULL) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS revoked_blobs (
    digest TEXT NOT NULL PRIMARY KEY, count INTEGER NOT NULL, made_ms INTEGER NOT NULL, retired_ms INTEGER
  ) WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS revoked_chunks (
    digest TEXT NOT NULL, kind TEXT NOT NULL, part INTEGER NOT NULL, bytes BLOB NOT NULL,
    PRIMARY KEY (digest, kind, part)
  );
`;

/** One entry: whose name's digest, and until when. */
export interface Revocation {
  readonly digest: Digest64;
  readonly untilMs: number;
}

type Part = 'digests' | 'ends';

export class RevocationStore {
  readonly #sql: SqlStorage;

  constructor(storage: DurableObjectStorage, nowMs: number) {
    this.#sql = storage.sql;
    this.#sql.exec(SCHEMA);
    this.#takeOver(nowMs);
  }

  /** How many are listed; one that was listed twice counts twice until it is merged. */
  get count(): number {
    return this.#recentCount() + this.#blobs().reduce((sum, { count }) => sum + count, 0);
  }

  /**
   * Lists what has not ended, and says how many were not listed before, as far as that is known without the blobs; null,
   * and nothing is listed, when there would be more than MAX_REVOCATIONS. What the head carries has changed then.
   */
  add(revocations: readonly Revocation[], nowMs: number): number | null {
    const live = revocations.filter(({ untilMs }) => untilMs > nowMs);
    if (this.count + live.length > MAX_REVOCATIONS) return null;
    if (this.#recentCount() + live.length <= MAX_RECENT_REVOCATIONS) {
      return live.filter(({ digest, untilMs }) => this.#insert(digest, endSecond(untilMs))).length;
    }
    this.#putBlob(mergeRuns([this.#recentRun(), runOf(live)], nowMs), nowMs);
    this.#sql.exec('DELETE FROM revoked_recent');
    if (this.#blobs().length > MAX_REVOCATION_BLOBS) this.merge(nowMs);
    return live.length;
  }

  /** Takes off the list what no credential can use any more, as far as that costs little: blobs when they are merged. */
  dropExpired(nowMs: number): void {
    this.#sql.exec('DELETE FROM revoked_recent WHERE end_s < ?', Math.floor(nowMs / 1_000));
    this.merge(nowMs);
  }

  /** Merges what is to be merged, in one go: a million entries take a fraction of a second. */
  merge(nowMs: number): void {
    for (;;) {
      const plan = planMerge(this.#summaries(nowMs));
      if (plan === null) return;
      const merged = mergeRuns(
        plan.map((digest) => this.#run(digest)),
        nowMs,
      );
      // First retired, then put: what comes out may be one of those that went in.
      for (const digest of plan)
        this.#sql.exec('UPDATE revoked_blobs SET retired_ms = ? WHERE digest = ?', nowMs, digest);
      this.#putBlob(merged, nowMs);
    }
  }

  forHead(): Head['revoked'] {
    return {
      blobs: this.#blobs().map(({ digest, count }) => ({ digest, count })),
      recent: Buffer.from(this.#recentRun().digests).toString('base64'),
    };
  }

  /** The bytes of a blob that is named, or was not long ago; null when there is none. */
  blob(digest: string): Uint8Array<ArrayBuffer> | null {
    const bytes = this.#read(digest, 'digests');
    return bytes.length === 0 ? null : bytes;
  }

  /** Blobs that no head which may still be in force can name. */
  retired(nowMs: number): readonly string[] {
    return this.#sql
      .exec<{ digest: string }>('SELECT digest FROM revoked_blobs WHERE retired_ms < ?', nowMs - BLOB_RETENTION_MS)
      .toArray()
      .map(({ digest }) => digest);
  }

  /** Drops a retired blob; one that is listed again meanwhile stays. */
  forget(digest: string): void {
    const { rowsWritten } = this.#sql.exec(
      'DELETE FROM revoked_blobs WHERE digest = ? AND retired_ms IS NOT NULL',
      digest,
    );
    if (rowsWritten > 0) this.#sql.exec('DELETE FROM revoked_chunks WHERE digest = ?', digest);
  }

  #recentCount(): number {
    return this.#sql.exec<{ count: number }>('SELECT COUNT(*) AS count FROM revoked_recent').one().count;
  }

  /** True where it was not there; the later end counts. */
  #insert({ high, low }: Digest64, end: number): boolean {
    const bytes = new Uint8Array(BYTES_PER_DIGEST);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, high);
    view.setUint32(4, low);
    const { rowsWritten } = this.#sql.exec('INSERT OR IGNORE INTO revoked_recent VALUES (?, ?)', bytes.buffer, end);
    if (rowsWritten > 0) return true;
    this.#sql.exec('UPDATE revoked_recent SET end_s = ?1 WHERE digest = ?2 AND end_s < ?1', end, bytes.buffer);
    return false;
  }

  /** SQLite orders blobs by their bytes, as digests are ordered. */
  #recentRun(): Run {
    const rows = this.#sql
      .exec<{ digest: ArrayBuffer; end_s: number }>('SELECT digest, end_s FROM revoked_recent ORDER BY digest')
      .toArray();
    const digests = new Uint8Array(rows.length * BYTES_PER_DIGEST);
    const ends = new Uint8Array(rows.length * BYTES_PER_END);
    const endsView = new DataView(ends.buffer);
    for (const [index, { digest, end_s: end }] of rows.entries()) {
      digests.set(new Uint8Array(digest), index * BYTES_PER_DIGEST);
      endsView.setUint32(index * BYTES_PER_END, end);
    }
    return { digests, ends };
  }

  #blobs(): { digest: string; count: number }[] {
    return this.#sql
      .exec<{
        digest: string;
        count: number;
      }>('SELECT digest, count FROM revoked_blobs WHERE retired_ms IS NULL ORDER BY count DESC, digest')
      .toArray();
  }

  #summaries(nowMs: number): RunSummary[] {
    return this.#blobs().map(({ digest, count }) => ({
      digest,
      count,
      expired: countExpired({ ends: this.#read(digest, 'ends') }, nowMs),
    }));
  }

  #run(digest: string): Run {
    return { digests: this.#read(digest, 'digests'), ends: this.#read(digest, 'ends') };
  }

  #putBlob({ digests, ends }: Run, nowMs: number): void {
    if (digests.length === 0) return;
    const digest = createHash('sha256').update(digests).digest('hex');
    // The same entries may be there already, with other ends; the later ones hold.
    const before = this.#run(digest);
    const latest = before.digests.length === 0 ? ends : mergeRuns([before, { digests, ends }], 0).ends;
    this.#sql.exec(
      'INSERT INTO revoked_blobs VALUES (?1, ?2, ?3, NULL) ON CONFLICT DO UPDATE SET retired_ms = NULL',
      digest,
      digests.length / BYTES_PER_DIGEST,
      nowMs,
    );
    this.#write(digest, 'digests', digests);
    this.#write(digest, 'ends', latest);
  }

  #write(digest: string, kind: Part, bytes: Uint8Array<ArrayBuffer>): void {
    for (let part = 0; part * BLOB_CHUNK_BYTES < bytes.length; part += 1) {
      const chunk = bytes.slice(part * BLOB_CHUNK_BYTES, (part + 1) * BLOB_CHUNK_BYTES);
      this.#sql.exec('INSERT OR REPLACE INTO revoked_chunks VALUES (?, ?, ?, ?)', digest, kind, part, chunk.buffer);
    }
  }

  #read(digest: string, kind: Part): Uint8Array<ArrayBuffer> {
    const chunks = this.#sql
      .exec<{
        bytes: ArrayBuffer;
      }>('SELECT bytes FROM revoked_chunks WHERE digest = ? AND kind = ? ORDER BY part', digest, kind)
      .toArray();
    const bytes = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.bytes.byteLength, 0));
    let at = 0;
    for (const chunk of chunks) {
      bytes.set(new Uint8Array(chunk.bytes), at);
      at += chunk.bytes.byteLength;
    }
    return bytes;
  }

  /** The list of version 1, a row of text for each session, is taken over once. */
  #takeOver(nowMs: number): void {
    const [old] = this.#sql.exec("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'revoked'").toArray();
    if (old === undefined) return;
    const rows = this.#sql
      .exec<{ issuer: string; sid: string; until_ms: number }>('SELECT issuer, sid, until_ms FROM revoked')
      .toArray();
    this.add(
      rows.map(({ issuer, sid, until_ms: untilMs }) => ({ digest: digestOf(sessionName(issuer, sid)), untilMs })),
      nowMs,
    );
    this.#sql.exec('DROP TABLE revoked');
  }
}

/** Sorted, each digest once, with the last of its ends. */
function runOf(revocations: readonly Revocation[]): Run {
  const sorted = revocations.toSorted((a, b) => compareDigests(a.digest, b.digest) || b.untilMs - a.untilMs);
  const unique = sorted.filter(({ digest }, index) => {
    const previous = sorted[index - 1];
    return previous === undefined || compareDigests(previous.digest, digest) !== 0;
  });
  const digests = new Uint8Array(unique.length * BYTES_PER_DIGEST);
  const ends = new Uint8Array(unique.length * BYTES_PER_END);
  const digestsView = new DataView(digests.buffer);
  const endsView = new DataView(ends.buffer);
  for (const [index, { digest, untilMs }] of unique.entries()) {
    digestsView.setUint32(index * BYTES_PER_DIGEST, digest.high);
    digestsView.setUint32(index * BYTES_PER_DIGEST + 4, digest.low);
    endsView.setUint32(index * BYTES_PER_END, endSecond(untilMs));
  }
  return { digests, ends };
}
