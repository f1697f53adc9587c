import { env } from 'cloudflare:workers';
import { reset, runInDurableObject } from 'cloudflare:test';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import type { ControlObject } from '../../src/control/control-object.ts';
import { type Revocation, RevocationStore } from '../../src/control/revocation-store.ts';
import { BLOB_RETENTION_MS, MAX_RECENT_REVOCATIONS, MAX_REVOCATION_BLOBS, MAX_REVOCATIONS } from '../../src/limits.ts';
import { type Digest64, digestOf } from '../../src/snapshot/digest64.ts';
import { digestListOf, positionOf } from '../../src/snapshot/revocation-list.ts';
import { START_MS } from '../support/heads.ts';

const bindings = env as { CONTROL: DurableObjectNamespace<ControlObject> };

/** A store on the storage of a real object. */
function withStore<T>(use: (store: RevocationStore, storage: DurableObjectStorage) => T): Promise<T> {
  const stub = bindings.CONTROL.getByName(crypto.randomUUID());
  return runInDurableObject(stub, (_object, { storage }) => use(new RevocationStore(storage, START_MS), storage));
}

const numbered = (from: number, count: number, untilMs = START_MS + 3_600_000): Revocation[] =>
  Array.from({ length: count }, (_, index) => ({ digest: digestOf(`fusebox~${from + index}`), untilMs }));

/** Digests that cost nothing to make: the bound counts them, whatever they are. */
const cheap = (from: number, count: number): Revocation[] =>
  Array.from({ length: count }, (_, index) => ({
    digest: { high: from + index, low: 7 },
    untilMs: START_MS + 3_600_000,
  }));

/** Whether a digest is on the list as an edge would see it. */
function lookup(store: RevocationStore): (digest: Digest64) => boolean {
  const { recent, blobs } = store.forHead();
  const lists = [
    new Uint8Array(Buffer.from(recent, 'base64')),
    ...blobs.map(({ digest, count }) => {
      const bytes = store.blob(digest);
      if (bytes === null || bytes.length !== count * 8) throw new Error('the head names a blob that is not there');
      return bytes;
    }),
  ].map((bytes) => {
    const list = digestListOf(bytes);
    if (list === null) throw new Error('a list is out of order');
    return list;
  });
  return (digest) => lists.some((list) => positionOf(list, digest) >= 0);
}

afterEach(() => reset());

describe('the revocation list on disk', () => {
  it('keeps what is recent in the head itself, until that is full', () =>
    withStore((store) => {
      store.add(numbered(0, MAX_RECENT_REVOCATIONS), START_MS);
      expect(store.forHead().blobs).toEqual([]);
      store.add(numbered(MAX_RECENT_REVOCATIONS, 1), START_MS);
      const { recent, blobs } = store.forHead();
      expect(recent).toBe('');
      expect(blobs.map(({ count }) => count)).toEqual([MAX_RECENT_REVOCATIONS + 1]);
      expect(numbered(0, MAX_RECENT_REVOCATIONS + 1).every(({ digest }) => lookup(store)(digest))).toBe(true);
    }));

  it('says how many are new, takes the later end of two, and nothing that has ended', () =>
    withStore((store) => {
      expect(store.add(numbered(0, 3, START_MS + 1_000), START_MS)).toBe(3);
      expect(store.add(numbered(0, 4, START_MS + 5_000), START_MS)).toBe(1);
      expect(store.add(numbered(0, 4, START_MS + 2_000), START_MS)).toBe(0);
      expect(store.add(numbered(9, 1, START_MS), START_MS)).toBe(0);
      store.dropExpired(START_MS + 4_999);
      expect(store.count).toBe(4);
      store.dropExpired(START_MS + 6_000);
      expect(store.count).toBe(0);
    }));

  it('agrees with a set of entries with ends, whatever is added and however time passes', async () => {
    const step = fc.record({
      from: fc.nat(4_000),
      count: fc.oneof(fc.nat(8), fc.nat(700)),
      lifeMs: fc.integer({ min: 1, max: 100_000 }),
      passMs: fc.oneof(fc.constant(0), fc.nat(60_000)),
      sweep: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), (steps) =>
        withStore((store) => {
          const model = new Map<number, number>();
          let nowMs = START_MS;
          for (const { from, count, lifeMs, passMs, sweep } of steps) {
            nowMs += passMs;
            const untilMs = nowMs + lifeMs;
            store.add(numbered(from, count, untilMs), nowMs);
            for (let index = from; index < from + count; index += 1)
              model.set(index, Math.max(untilMs, model.get(index) ?? 0));
            if (sweep) store.dropExpired(nowMs);
          }
          store.dropExpired(nowMs);
          const isListed = lookup(store);
          for (const [index, untilMs] of model)
            if (untilMs > nowMs) expect(isListed(digestOf(`fusebox~${index}`))).toBe(true);
          expect(isListed(digestOf('fusebox~never'))).toBe(false);
          const live = [...model.values()].filter((untilMs) => untilMs > nowMs - 1_000).length;
          // What has ended may stay until a merge, but never makes more than half of the blobs; repeats count until then.
          expect(store.forHead().blobs.length).toBeLessThanOrEqual(MAX_REVOCATION_BLOBS);
          if (live === 0) expect(store.count).toBeLessThanOrEqual(MAX_RECENT_REVOCATIONS);
        }),
      ),
      { numRuns: 25 },
    );
  });

  it('never needs more blobs than a head names, one revocation after the other', () =>
    withStore((store) => {
      for (let from = 0; from < 40_000; from += 50) store.add(numbered(from, 50), START_MS);
      expect(store.forHead().blobs.length).toBeLessThanOrEqual(MAX_REVOCATION_BLOBS);
      store.merge(START_MS);
      const { blobs } = store.forHead();
      expect(blobs.length).toBeLessThan(16);
      expect(store.count).toBe(40_000);
      const isListed = lookup(store);
      expect(numbered(0, 40_000).every(({ digest }) => isListed(digest))).toBe(true);
    }));

  it('is rewritten without what has ended, when that is most of it', () =>
    withStore((store) => {
      store.add(numbered(0, 2_000, START_MS + 1_000), START_MS);
      store.add(numbered(2_000, 900, START_MS + 60_000), START_MS);
      store.dropExpired(START_MS + 500);
      expect(store.count).toBe(2_900);
      store.dropExpired(START_MS + 5_000);
      expect(store.count).toBe(900);
      expect(lookup(store)(digestOf('fusebox~2500'))).toBe(true);
    }));

  it('keeps a blob that was merged while a head may name it, and then forgets it', () =>
    withStore((store, storage) => {
      store.add(numbered(0, 600, START_MS + 1_000), START_MS);
      const [blob] = store.forHead().blobs;
      const mergedMs = START_MS + 10_000;
      store.dropExpired(mergedMs);
      expect(store.forHead().blobs).toEqual([]);
      expect(store.blob(blob?.digest ?? '')).not.toBeNull();
      expect(store.retired(mergedMs + BLOB_RETENTION_MS)).toEqual([]);
      expect(store.retired(mergedMs + BLOB_RETENTION_MS + 1)).toEqual([blob?.digest]);
      store.forget(blob?.digest ?? '');
      expect(store.blob(blob?.digest ?? '')).toBeNull();
      expect(storage.sql.exec('SELECT 1 FROM revoked_chunks').toArray()).toEqual([]);
    }));

  it('does not forget a blob that is named again', () =>
    withStore((store) => {
      store.add(numbered(0, 600, START_MS + 1_000), START_MS);
      const [blob] = store.forHead().blobs;
      store.dropExpired(START_MS + 10_000);
      store.add(numbered(0, 600, START_MS + 60_000), START_MS + 10_000);
      expect(store.forHead().blobs[0]?.digest).toBe(blob?.digest);
      store.forget(blob?.digest ?? '');
      expect(store.blob(blob?.digest ?? '')).not.toBeNull();
    }));

  it.each([
    ['first', 60_000, 1_000],
    ['then', 1_000, 60_000],
  ])('keeps the later ends of a blob that is made twice: those said %s', (_when, firstMs, thenMs) =>
    withStore((store) => {
      store.add(numbered(0, 600, START_MS + firstMs), START_MS);
      store.add(numbered(0, 600, START_MS + thenMs), START_MS);
      expect(store.count).toBe(600);
      store.dropExpired(START_MS + 10_000);
      expect(lookup(store)(digestOf('fusebox~5'))).toBe(true);
    }),
  );

  it('takes no more than there may be, and then nothing of that', { timeout: 60_000 }, () =>
    withStore((store) => {
      const size = 400_000;
      for (let from = 0; from < MAX_REVOCATIONS; from += size)
        expect(store.add(cheap(from, size), START_MS)).toBe(size);
      expect(store.add(cheap(MAX_REVOCATIONS, 1), START_MS)).toBeNull();
      expect(store.count).toBe(MAX_REVOCATIONS);
      store.merge(START_MS);
      expect(lookup(store)({ high: MAX_REVOCATIONS - 1, low: 7 })).toBe(true);
      expect(lookup(store)({ high: MAX_REVOCATIONS, low: 7 })).toBe(false);
    }),
  );

  it('takes over the list of version 1', () =>
    withStore((_store, storage) => {
      storage.sql.exec('CREATE TABLE revoked (issuer TEXT, sid TEXT, until_ms INTEGER, PRIMARY KEY (issuer, sid))');
      storage.sql.exec("INSERT INTO revoked VALUES ('fusebox', 'a', ?)", START_MS + 60_000);
      const store = new RevocationStore(storage, START_MS);
      expect(lookup(store)(digestOf('fusebox~a'))).toBe(true);
      expect(new RevocationStore(storage, START_MS).count).toBe(1);
    }));
});
