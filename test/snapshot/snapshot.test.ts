import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { digestOf, isRevoked, packDigests, parseHead, snapshotOf } from '../../src/snapshot/snapshot.ts';

const head = (revoked: string, more: object = {}) => ({
  version: 1 as const,
  deployment: 'fusebox',
  epoch: 3,
  asOfMs: 1,
  revoked,
  ...more,
});

describe('the snapshot', () => {
  it('finds exactly the sessions that were packed', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.string({ minLength: 1 }), { maxLength: 200 }),
        fc.string({ minLength: 1 }),
        (names, other) => {
          const snapshot = snapshotOf(head(packDigests(names.map(digestOf))));
          if (snapshot === null) throw new Error('not adopted');
          for (const name of names) expect(isRevoked(snapshot, digestOf(name))).toBe(true);
          expect(isRevoked(snapshot, digestOf(other))).toBe(names.includes(other));
        },
      ),
    );
  });

  it('packs a session that is named twice once', () => {
    expect(snapshotOf(head(packDigests([digestOf('a'), digestOf('a')])))?.revokedHigh).toHaveLength(1);
  });

  it('is not made of a list that is cut off or out of order', () => {
    const packed = Buffer.from(packDigests([digestOf('a'), digestOf('b'), digestOf('c')]), 'base64');
    expect(snapshotOf(head(packed.subarray(0, -3).toString('base64')))).toBeNull();
    const swapped = Buffer.concat([packed.subarray(8, 16), packed.subarray(0, 8), packed.subarray(16)]);
    expect(snapshotOf(head(swapped.toString('base64')))).toBeNull();
  });

  it.each([
    ['no JSON', '{'],
    ['another version', JSON.stringify(head('', { version: 2 }))],
    ['a negative epoch', JSON.stringify(head('', { epoch: -1 }))],
    ['an unknown member', JSON.stringify(head('', { more: 1 }))],
    ['no list', JSON.stringify({ ...head(''), revoked: null })],
  ])('is not read from %s', (_what, json) => {
    expect(parseHead(json)).toBeNull();
  });
});
