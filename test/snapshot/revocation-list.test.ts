import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestFromHex, digestHex, digestOf } from '../../src/snapshot/digest64.ts';
import { digestListOf, packDigests, positionOf } from '../../src/snapshot/revocation-list.ts';

const listOf = (names: readonly string[]) => {
  const list = digestListOf(packDigests(names.map(digestOf)));
  if (list === null) throw new Error('not a list');
  return list;
};
const names = fc.uniqueArray(fc.string({ minLength: 1 }), { maxLength: 300 });

describe('a list of digests', () => {
  it('finds exactly what was packed', () => {
    fc.assert(
      fc.property(names, fc.string({ minLength: 1 }), (packed, other) => {
        const list = listOf(packed);
        expect(list.count).toBe(packed.length);
        for (const name of packed) expect(positionOf(list, digestOf(name))).toBeGreaterThanOrEqual(0);
        expect(positionOf(list, digestOf(other)) >= 0).toBe(packed.includes(other));
      }),
    );
  });

  it('finds the smallest and the largest digest there are', () => {
    const edges = ['0000000000000000', '00000000ffffffff', '7fffffff80000000', 'ffffffffffffffff'].map(digestFromHex);
    const list = digestListOf(packDigests(edges));
    for (const [index, digest] of edges.entries()) expect(list && positionOf(list, digest)).toBe(index);
    expect(list && positionOf(list, digestFromHex('00000000fffffffe'))).toBe(-1);
  });

  it('packs what is named twice once', () => {
    expect(packDigests([digestOf('a'), digestOf('a')])).toHaveLength(8);
  });

  it('reads bytes where they lie, without copying them', () => {
    const packed = packDigests([digestOf('a'), digestOf('b')]);
    const around = new Uint8Array(packed.length + 11);
    around.set(packed, 11);
    const list = digestListOf(around.subarray(11));
    expect(list?.view.buffer).toBe(around.buffer);
    expect(list && positionOf(list, digestOf('a'))).toBeGreaterThanOrEqual(0);
  });

  it.each<[string, (packed: Uint8Array) => Uint8Array]>([
    ['cut off', (packed) => packed.slice(0, -1)],
    ['out of order', (packed) => Buffer.concat([packed.slice(8), packed.slice(0, 8)])],
    ['with an entry twice', (packed) => Buffer.concat([packed, packed.slice(-8)])],
    ['out of order in the lower half alone', () => Buffer.from('00000001000000020000000100000001', 'hex')],
  ])('is not made of bytes that are %s', (_what, spoil) => {
    expect(digestListOf(new Uint8Array(spoil(packDigests(['a', 'b', 'c'].map(digestOf)))))).toBeNull();
  });

  it('is empty without bytes', () => {
    const list = digestListOf(new Uint8Array());
    expect(list?.count).toBe(0);
    expect(list && positionOf(list, digestOf('a'))).toBe(-1);
  });
});

describe('a digest', () => {
  it('is the first 64 bits of the SHA-256 of the name', async () => {
    const whole = new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode('fusebox~a')));
    expect(digestHex(digestOf('fusebox~a'))).toBe(Buffer.from(whole.subarray(0, 8)).toString('hex'));
  });

  it('is read from the hex that it is written as', () => {
    fc.assert(
      fc.property(fc.string(), (name) => {
        expect(digestFromHex(digestHex(digestOf(name)))).toEqual(digestOf(name));
      }),
    );
    expect(() => digestFromHex('0123')).toThrow('16 hex digits');
  });
});
