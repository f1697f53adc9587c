import { exportJWK, generateKeyPair } from 'jose';
import { describe, expect, it } from 'vitest';
import { ringKeys } from '../../src/audit/checkpoint.ts';
import { publicJwks } from '../../src/credential/jwks.ts';
import { readSigningKeys } from '../../src/signing/signing-keys.ts';
import { keyRing, privateJwk } from '../support/credentials.ts';

async function reasonOf(keys: unknown): Promise<string> {
  const reading = await readSigningKeys(typeof keys === 'string' ? keys : JSON.stringify(keys));
  return reading.ok ? 'ok' : reading.reason;
}

describe('SESSION_SIGNING_KEYS', () => {
  it('signs with the first key and verifies with all', async () => {
    const keys = await keyRing(await privateJwk('new', 'ES256'), await privateJwk('old'));
    expect(keys.signer).toMatchObject({ kid: 'new', alg: 'ES256' });
    expect([...keys.byKid.keys()]).toEqual(['new', 'old']);
  });

  it('keeps the public part of a retired key, for old logs alone', async () => {
    const { d: _d, ...old } = await privateJwk('old');
    const keys = await keyRing(await privateJwk('new'), { ...old, retired: true });
    expect([[...keys.byKid.keys()], [...keys.retired.keys()]]).toEqual([['new'], ['old']]);
    expect(publicJwks(keys).keys.map(({ kid }) => kid)).toEqual(['new']);
    expect(ringKeys(keys)('old', 'EdDSA')).not.toBeNull();
    expect(ringKeys(keys)('old', 'ES256')).toBeNull();
  });

  it('gives out no private part', async () => {
    const jwks = publicJwks(await keyRing(await privateJwk('a'), await privateJwk('b', 'ES256')));
    expect(jwks.keys.map((key) => Object.keys(key).toSorted())).toEqual([
      ['alg', 'crv', 'kid', 'kty', 'use', 'x'],
      ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'],
    ]);
  });

  it('refuses weak, foreign and malformed keys without quoting them', async () => {
    const good = await privateJwk('a');
    const ec = await privateJwk('e', 'ES256');
    const rsa = await exportJWK((await generateKeyPair('RS256', { extractable: true })).privateKey);
    const p384 = await exportJWK((await generateKeyPair('ES384', { extractable: true })).privateKey);
    const bad: readonly unknown[] = [
      '',
      'null',
      '{}',
      '[]',
      '[1]',
      [{ ...rsa, kid: 'r' }],
      [{ ...p384, kid: 'p' }],
      [{ kty: 'oct', k: 'c2VjcmV0', kid: 'o' }],
      [{ ...good, crv: 'X25519' }],
      [{ ...good, kid: undefined }],
      [{ ...good, kid: 'a b' }],
      [{ ...good, d: undefined }],
      [{ ...good, d: 'short' }],
      [{ ...good, alg: 'ES256' }],
      [{ ...good, use: 'enc' }],
      [{ ...good, jku: 'https://evil.example' }],
      [{ ...good, x: ec['x'] }],
      [{ ...ec, y: ec['x'] }],
      [good, { ...ec, kid: 'a' }],
      [{ ...good, retired: true }],
      [{ ...good, retired: 'yes' }],
      [{ ...good, d: undefined, retired: true }],
      [good, { ...good, d: undefined, retired: true }],
      Array.from({ length: 65 }, (_, index) => ({ ...good, kid: `k${index}` })),
    ];
    for (const [index, keys] of bad.entries()) {
      const reason = await reasonOf(keys);
      expect(reason, String(index)).not.toBe('ok');
      expect(reason).not.toContain(String(good['d']));
    }
  });

  it('refuses a public part that belongs to another key', async () => {
    const [one, two] = [await privateJwk('a'), await privateJwk('b')];
    expect(await reasonOf([{ ...one, x: two['x'] }])).not.toBe('ok');
    const [three, four] = [await privateJwk('c', 'ES256'), await privateJwk('d', 'ES256')];
    expect(await reasonOf([{ ...three, x: four['x'], y: four['y'] }])).not.toBe('ok');
  });
});
