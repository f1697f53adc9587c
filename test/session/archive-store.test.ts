// The two places of an archive, and what is believed of them.
import { env } from 'cloudflare:workers';
import { runInDurableObject } from 'cloudflare:test';
import { expect, it } from 'vitest';

import { endLine, headerLine } from '../../src/audit/log-format.ts';
import { ARCHIVE_CHUNK_BYTES } from '../../src/limits.ts';
import { type ArchiveBucket, ArchiveStore } from '../../src/session/archive-store.ts';
import type { SessionObject } from '../../src/session/session-object.ts';
import { chained, NAME, newKeys, signed } from '../audit/logs.ts';

async function withStore<T>(
  bucket: ArchiveBucket | undefined,
  use: (store: ArchiveStore, state: DurableObjectState) => Promise<T>,
): Promise<T> {
  const { SESSION } = env as { SESSION: DurableObjectNamespace<SessionObject> };
  const stub = SESSION.get(SESSION.newUniqueId());
  return runInDurableObject(stub, (_object, state) => use(new ArchiveStore(state.storage, bucket), state));
}

/** Whole and signed; what ends it binds no ledger. */
async function archive(rows: number) {
  const keys = await newKeys();
  const { lines, heads } = chained(rows);
  const checkpoint = await signed(keys, heads.at(-1) ?? { seq: 0, hash: '' });
  return {
    lines: [headerLine(NAME), ...lines, checkpoint, endLine('end', rows)],
    how: { name: NAME, rows, keys, nowMs: 1 },
  };
}

it('keeps a large archive in the object, in pieces, and finds it again', async () => {
  const { lines, how } = await archive(20_000);
  await withStore(undefined, async (store, state) => {
    const ref = await store.keep(lines, how);
    expect(ref).toMatchObject({ where: 'object', rows: 20_000 });
    expect(ref.bytes).toBeGreaterThan(ARCHIVE_CHUNK_BYTES);
    expect([...state.storage.kv.list({ prefix: 'archive/' })]).toHaveLength(Math.ceil(ref.bytes / ARCHIVE_CHUNK_BYTES));
    expect((await store.find(ref))?.intact).toBe(true);
    state.storage.kv.delete('archive/000000');
    expect((await store.find(ref))?.intact).toBe(false);
    const page = await store.page(ref, { cursor: null, limit: 5, read: (line) => line });
    expect(page.state).toBe('unreadable');
  });
});

it('pages through an archive without losing or repeating a line', async () => {
  const { lines, how } = await archive(25);
  await withStore(undefined, async (store) => {
    const ref = await store.keep(lines, how);
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page: { items: string[]; nextCursor: string } = await store.page(ref, {
        cursor,
        limit: 10,
        read: (line) => line,
      });
      seen.push(...page.items);
      cursor = page.nextCursor;
    } while (cursor.startsWith('archive-'));
    expect(seen).toEqual(lines);
  });
});

it.each<[string, ArchiveBucket['get']]>([
  ['is not there', async () => null],
  ['is something else', async () => ({ arrayBuffer: async () => new ArrayBuffer(3) })],
  ['cannot be read', () => Promise.reject(new Error('the bucket is away'))],
])('does not believe an archive that %s', async (_what, get) => {
  const { lines, how } = await archive(3);
  await withStore({ put: async () => undefined, get }, async (store) => {
    await expect(store.keep(lines, how)).rejects.toThrow(Error);
  });
});

it('does not keep a log that is not whole, or not signed to its end', async () => {
  const { lines, how } = await archive(3);
  await withStore(undefined, async (store) => {
    await expect(store.keep(lines.toSpliced(2, 1), how)).rejects.toThrow('dropped');
    const unsigned = lines.filter((line) => !line.startsWith('{"checkpoint":'));
    await expect(store.keep(unsigned, how)).rejects.toThrow('unsigned');
  });
});
