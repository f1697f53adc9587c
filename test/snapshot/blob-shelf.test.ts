import { describe, expect, it } from 'vitest';
import { BLOB_LOAD_TIMEOUT_MS, BLOB_RETRY_MS, MAX_EDGE_BLOB_BYTES } from '../../src/limits.ts';
import { BlobShelf } from '../../src/snapshot/blob-shelf.ts';
import { type DigestList, NO_DIGESTS } from '../../src/snapshot/revocation-list.ts';

const list = (): DigestList => ({ ...NO_DIGESTS });
/** As large as none can be of which two fit. */
const large = (): DigestList => ({ count: 0, view: { byteLength: MAX_EDGE_BLOB_BYTES / 2 + 1 } as DataView });

describe('the shelf of blobs', () => {
  it('asks for what the head names and is not there, once', () => {
    const shelf = new BlobShelf();
    expect(shelf.isComplete).toBe(true);
    shelf.name(['a', 'b']);
    expect(shelf.isComplete).toBe(false);
    expect(shelf.begin(0)).toEqual(['a', 'b']);
    expect(shelf.begin(1)).toEqual([]);
    shelf.put('a', list());
    shelf.put('b', list());
    expect(shelf.isComplete).toBe(true);
    expect(shelf.lists).toHaveLength(2);
    expect(shelf.begin(2)).toEqual([]);
  });

  it('begins a load again that was lost with its request', () => {
    const shelf = new BlobShelf();
    shelf.name(['a']);
    expect(shelf.begin(0)).toEqual(['a']);
    expect(shelf.begin(BLOB_LOAD_TIMEOUT_MS - 1)).toEqual([]);
    expect(shelf.begin(BLOB_LOAD_TIMEOUT_MS)).toEqual(['a']);
  });

  it('tries again some time after a load has failed', () => {
    const shelf = new BlobShelf();
    shelf.name(['a']);
    shelf.begin(0);
    shelf.failed('a', 100);
    expect(shelf.begin(100 + BLOB_RETRY_MS - 1)).toEqual([]);
    expect(shelf.begin(100 + BLOB_RETRY_MS)).toEqual(['a']);
  });

  it('searches the blobs of the head before until all that take their place are there', () => {
    const shelf = new BlobShelf();
    const [old, first, second] = [list(), list(), list()];
    shelf.name(['old']);
    shelf.put('old', old);
    shelf.name(['first', 'second']);
    expect(shelf.lists).toEqual([old]);
    shelf.put('first', first);
    expect(shelf.lists).toEqual([old, first]);
    shelf.put('second', second);
    expect(shelf.lists).toHaveLength(2);
    expect(shelf.lists).not.toContain(old);
  });

  it('drops what arrives after no head names it any more', () => {
    const shelf = new BlobShelf();
    shelf.name(['late']);
    shelf.begin(0);
    shelf.name([]);
    shelf.put('late', list());
    expect(shelf.lists).toEqual([]);
    shelf.failed('late', 0);
    expect(shelf.begin(BLOB_RETRY_MS)).toEqual([]);
  });

  it('lets go of the blobs of the head before where both would be too much', () => {
    const shelf = new BlobShelf();
    const first = large();
    shelf.name(['old']);
    shelf.put('old', large());
    shelf.name(['first', 'second']);
    shelf.put('first', first);
    expect(shelf.lists).toEqual([first]);
  });
});
