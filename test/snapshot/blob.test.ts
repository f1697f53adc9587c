import { describe, expect, it } from 'vitest';
import { type BlobSource, loadBlob } from '../../src/snapshot/blob.ts';

const bytes = new TextEncoder().encode('a blob');
const DIGEST = Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex');
const read = (found: Uint8Array): string => new TextDecoder().decode(found);
const good: BlobSource = async () => bytes;

describe('a blob', () => {
  it.each<[string, BlobSource]>([
    ['does not have it', async () => null],
    ['is out of reach', async () => Promise.reject(new Error('out of reach'))],
    ['has other bytes under its name', async () => new TextEncoder().encode('b blob')],
    ['has it cut off', async () => bytes.slice(0, -1)],
  ])('comes from the next place where one %s', async (_what, bad) => {
    expect(await loadBlob({ digest: DIGEST, sources: [bad, good], read })).toBe('a blob');
    expect(await loadBlob({ digest: DIGEST, sources: [bad], read })).toBeNull();
  });

  it('is read as KV gives it too', async () => {
    expect(await loadBlob({ digest: DIGEST, sources: [async () => bytes.slice().buffer], read })).toBe('a blob');
  });

  it('is asked for nowhere else once it was found', async () => {
    let asked = 0;
    const last: BlobSource = async () => {
      asked += 1;
      return bytes;
    };
    await loadBlob({ digest: DIGEST, sources: [good, last], read });
    expect(asked).toBe(0);
  });

  it('is none where its bytes cannot be read', async () => {
    expect(await loadBlob({ digest: DIGEST, sources: [good], read: () => null })).toBeNull();
  });
});
