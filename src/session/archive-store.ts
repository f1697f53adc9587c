// Where the archive of a session lies: in the bucket that the deployment has, else in the object itself. Makes it, reads it
// back, and believes it only then. Drops nothing: that is for whoever has been told that it is there.
import { joinBytes } from '../bytes.ts';
import { createHash } from 'node:crypto';
import type { LogName } from '../audit/chain.ts';
import { ringKeys } from '../audit/checkpoint.ts';
import { readLogLine } from '../audit/log-line.ts';
import { DAMAGED, pack, unpack, UnreadableLog } from '../audit/packing.ts';
import { type FirstBad, LogVerifier, type Verdict } from '../audit/verifier.ts';
import { ARCHIVE_CHUNK_BYTES, MAX_ARCHIVE_BYTES } from '../limits.ts';
import type { KeyRing } from '../signing/signing-keys.ts';
import type { ArchiveRef } from './session.ts';

const CHUNK_PREFIX = 'archive/';
const CURSOR_PREFIX = 'archive-';
/** Where the pages of a session begin that come after those of its archive. */
export const AFTER_ARCHIVE = 'after-archive';

/** Whether a page of an archived session is to be taken from its archive. */
export function isArchiveCursor(cursor: string | null): boolean {
  return cursor === null || cursor.startsWith(CURSOR_PREFIX);
}

/** Whether an archive is what was put away; `unreadable`: gone, or no longer a gzip file of lines. */
export type ArchiveState = 'intact' | 'changed' | 'unreadable';

/** A bucket, as far as it is used. */
export interface ArchiveBucket {
  put(key: string, value: Uint8Array): Promise<unknown>;
  get(key: string): Promise<{ arrayBuffer(): Promise<ArrayBuffer> } | null>;
}

/** The bytes of an archive, and whether they are those that were put there. */
export interface FoundArchive {
  readonly bytes: Uint8Array;
  readonly intact: boolean;
}

export class ArchiveStore {
  readonly #storage: DurableObjectStorage;
  readonly #bucket: ArchiveBucket | null;

  constructor(storage: DurableObjectStorage, bucket: ArchiveBucket | undefined) {
    this.#storage = storage;
    this.#bucket = bucket ?? null;
  }

  /**
   * Packs the lines, puts them away, reads them back and verifies digest and chain, with every row signed. Rejects when
   * any of it fails: then nothing may be dropped.
   */
  async keep(
    lines: Iterable<string>,
    { name, rows, keys, nowMs }: { name: LogName; rows: number; keys: KeyRing; nowMs: number },
  ): Promise<ArchiveRef> {
    const key = `sessions/${name.log.replace('session ', '')}.ndjson.gz`;
    const where = this.#bucket === null ? 'object' : 'r2';
    const ref = { where, key, ...(await this.#place(key, lines)), rows, atMs: nowMs, told: false } as const;
    const found = await this.find(ref);
    if (found?.intact !== true) throw new Error('the archive is not what was put there');
    const { firstBad, rows: kept } = await verdictOf(found.bytes, { name, keys });
    if (firstBad !== null) throw new Error(`the archive is not whole: ${firstBad.problem} in line ${firstBad.line}`);
    if (kept !== rows) throw new Error(`the archive has ${kept} rows of ${rows}`);
    return ref;
  }

  /** Packs and puts it. Nothing of it is held on to: what is read back to be verified is as large again. */
  async #place(key: string, lines: Iterable<string>): Promise<{ sha256: string; bytes: number }> {
    const bytes = await pack(lines, { maxBytes: MAX_ARCHIVE_BYTES });
    if (this.#bucket === null) this.#putChunks(bytes);
    else await this.#bucket.put(key, bytes);
    await this.#storage.sync();
    return { sha256: sha256(bytes), bytes: bytes.length };
  }

  /** The first line of an archive that is not what it was; null where the lines do not tell, or it is gone. */
  async firstBad(ref: ArchiveRef, of: { name: LogName; keys: KeyRing }): Promise<FirstBad | null> {
    const found = await this.find(ref);
    return found === null ? null : (await verdictOf(found.bytes, of)).firstBad;
  }

  /** What lies where an archive was put; null when nothing does. Rejects when it cannot be asked for. */
  async find({ where, key, sha256: expected }: ArchiveRef): Promise<FoundArchive | null> {
    const bytes = where === 'object' ? this.#chunks() : await this.#fetch(key);
    return bytes === null ? null : { bytes, intact: sha256(bytes) === expected };
  }

  /**
   * One page of what `read` finds in the lines of an archive. Cursors are positions among those; the last page's is that of
   * what came after the archive.
   */
  async page<T>(
    ref: ArchiveRef,
    { cursor, limit, read }: { cursor: string | null; limit: number; read: (line: string) => T | null },
  ): Promise<{ items: T[]; nextCursor: string; state: ArchiveState }> {
    const items: T[] = [];
    const from = Number(cursor?.slice(CURSOR_PREFIX.length) ?? 0);
    const found = await this.find(ref);
    if (found === null) return { items, nextCursor: AFTER_ARCHIVE, state: 'unreadable' };
    const state = found.intact ? 'intact' : 'changed';
    let at = 0;
    try {
      for await (const line of unpack(found.bytes)) {
        const item = read(line);
        if (item === null) continue;
        if (items.length === limit) return { items, nextCursor: `${CURSOR_PREFIX}${at}`, state };
        if (at >= from) items.push(item);
        at += 1;
      }
    } catch {
      return { items, nextCursor: AFTER_ARCHIVE, state: 'unreadable' };
    }
    return { items, nextCursor: AFTER_ARCHIVE, state };
  }

  async #fetch(key: string): Promise<Uint8Array | null> {
    if (this.#bucket === null) throw new Error('the bucket of the archive is not bound to this Worker');
    const found = await this.#bucket.get(key);
    return found === null ? null : new Uint8Array(await found.arrayBuffer());
  }

  /** In place of whatever an earlier try has left. */
  #putChunks(bytes: Uint8Array): void {
    for (const key of Array.from(this.#storage.kv.list({ prefix: CHUNK_PREFIX }), ([key]) => key))
      this.#storage.kv.delete(key);
    for (let at = 0; at < bytes.length; at += ARCHIVE_CHUNK_BYTES) {
      const key = CHUNK_PREFIX + String(at / ARCHIVE_CHUNK_BYTES).padStart(6, '0');
      this.#storage.kv.put(key, bytes.slice(at, at + ARCHIVE_CHUNK_BYTES));
    }
  }

  #chunks(): Uint8Array | null {
    const chunks = Array.from(this.#storage.kv.list<Uint8Array>({ prefix: CHUNK_PREFIX }), ([, chunk]) => chunk);
    return chunks.length === 0 ? null : joinBytes(chunks);
  }
}

async function verdictOf(bytes: Uint8Array, { name, keys }: { name: LogName; keys: KeyRing }): Promise<Verdict> {
  const verifier = new LogVerifier({ expected: name, signed: true });
  try {
    for await (const line of unpack(bytes)) verifier.step(await readLogLine(line, ringKeys(keys)));
  } catch (error) {
    const reason = error instanceof UnreadableLog ? error.message : DAMAGED;
    verifier.step({ kind: 'malformed', reason });
  }
  return verifier.verdict();
}

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
