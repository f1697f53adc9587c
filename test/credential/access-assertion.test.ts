import { beforeAll, describe, expect, it } from 'vitest';
import { type AccessRules, verifyAccessAssertion } from '../../src/credential/access-assertion.ts';
import { MAX_ACCESS_ASSERTION_CHARS } from '../../src/limits.ts';
import {
  type AccessKeyPair,
  accessKey,
  assertion,
  AUDIENCE,
  forged,
  personClaims,
  serviceClaims,
  TEAM_ISSUER,
} from '../support/access.ts';
import { NOW_MS, NOW_SECONDS } from '../support/credentials.ts';

const outOfReach = async () => ({ state: 'unavailable' }) as const;
let key: AccessKeyPair;
let stranger: AccessKeyPair;
let asked: string[] = [];

beforeAll(async () => {
  key = await accessKey('k1');
  stranger = await accessKey('k1');
});

async function verify(text: string, rules: Partial<AccessRules> = {}): Promise<string> {
  asked = [];
  const verification = await verifyAccessAssertion(
    text,
    {
      issuer: TEAM_ISSUER,
      audience: AUDIENCE,
      keyOf: async (kid) => {
        asked.push(kid);
        return kid === 'k1' ? { state: 'known', key: key.publicKey } : { state: 'unknown' };
      },
      ...rules,
    },
    NOW_MS,
  );
  return verification.ok ? JSON.stringify(verification.value) : verification.code;
}

const SUBJECT = personClaims()['sub'];

describe('an assertion of Cloudflare Access', () => {
  it.each([
    ['a person', personClaims(), { kind: 'person', email: 'alice@acme.example', groups: [], subject: SUBJECT }],
    [
      'a person with groups',
      personClaims({ groups: ['ops', 5], custom: { groups: ['sre'] } }),
      { kind: 'person', email: 'alice@acme.example', groups: ['ops', 'sre'], subject: SUBJECT },
    ],
    ['a service token', serviceClaims(), { kind: 'service', commonName: 'ci.access' }],
    [
      'an audience that is no list',
      personClaims({ aud: AUDIENCE }),
      { kind: 'person', email: 'alice@acme.example', groups: [], subject: SUBJECT },
    ],
    [
      'a clock that is a little ahead',
      personClaims({ iat: NOW_SECONDS + 60, nbf: NOW_SECONDS + 60 }),
      { kind: 'person', email: 'alice@acme.example', groups: [], subject: SUBJECT },
    ],
  ])('is taken for %s', async (_what, claims, subject) => {
    expect(await verify(await assertion(key, claims))).toBe(JSON.stringify(subject));
  });

  it.each<[string, () => Promise<string>]>([
    ['alg none', () => forged({ alg: 'none', kid: 'k1' })],
    ['alg none without a signature', async () => (await forged({ alg: 'none', kid: 'k1' })).replace(/[^.]*$/, '')],
    [
      'HS256 with the public key',
      () =>
        forged({ alg: 'HS256', kid: 'k1', typ: 'JWT' }, personClaims(), async (input) => {
          const secret = new TextEncoder().encode(JSON.stringify(key.jwk));
          const hmac = await crypto.subtle.importKey('raw', secret, { name: 'HMAC', hash: 'SHA-256' }, false, ['sign']);
          return new Uint8Array([
            ...new Uint8Array(await crypto.subtle.sign('HMAC', hmac, input)),
            ...new Uint8Array(224),
          ]);
        }),
    ],
    ['PS256', () => forged({ alg: 'PS256', kid: 'k1' })],
    ['a key in its header', () => assertion(key, personClaims(), { jwk: key.jwk })],
    ['the address of a key in its header', () => assertion(key, personClaims(), { jku: 'https://evil.example' })],
    ['another type', () => assertion(key, personClaims(), { typ: 'agent-session+jwt' })],
    ['no kid', () => assertion(key, personClaims(), { kid: undefined })],
    ['an endless kid', () => assertion(key, personClaims(), { kid: 'k'.repeat(129) })],
    ['another team', () => assertion(key, personClaims({ iss: 'https://evil.cloudflareaccess.com' }))],
    ['no issuer', () => assertion(key, personClaims({ iss: undefined }))],
    ['another application', () => assertion(key, personClaims({ aud: ['another'] }))],
    ['no audience', () => assertion(key, personClaims({ aud: undefined }))],
    ["the team's global session", () => assertion(key, personClaims({ type: 'org' }))],
    [
      'more characters than the bound',
      () => assertion(key, personClaims({ more: 'x'.repeat(MAX_ACCESS_ASSERTION_CHARS) })),
    ],
    ['padding', async () => `${await assertion(key)}==`],
    ['a fourth part', async () => `${await assertion(key)}.AAAA`],
    ['nothing in it', async () => ''],
  ])('is refused with %s, before a key is asked for', async (_what, make) => {
    expect(await verify(await make())).toBe('credential-invalid');
    expect(asked).toEqual([]);
  });

  it.each<[string, () => Promise<string>, string]>([
    ['an unknown kid', () => assertion(key, personClaims(), { kid: 'k2' }), 'credential-invalid'],
    ["a stranger's signature", () => assertion(stranger), 'credential-invalid'],
    ['a signature by nobody', () => forged({ alg: 'RS256', kid: 'k1' }), 'credential-invalid'],
    ['an end in the past', () => assertion(key, personClaims({ exp: NOW_SECONDS - 5 })), 'credential-expired'],
    ['no end', () => assertion(key, personClaims({ exp: undefined })), 'credential-invalid'],
    ['an end that is a text', () => assertion(key, personClaims({ exp: '9999999999' })), 'credential-invalid'],
    ['a start in the future', () => assertion(key, personClaims({ nbf: NOW_SECONDS + 61 })), 'credential-invalid'],
    ['an issuance in the future', () => assertion(key, personClaims({ iat: NOW_SECONDS + 61 })), 'credential-invalid'],
    ['nobody', () => assertion(key, personClaims({ email: undefined })), 'credential-invalid'],
    [
      'an address with a line break',
      () => assertion(key, personClaims({ email: 'a\n@b.example' })),
      'credential-invalid',
    ],
    [
      'an address that looks like another',
      () => assertion(key, personClaims({ email: 'аlice@acme.example' })),
      'credential-invalid',
    ],
    [
      'a person and a service token at once',
      () => assertion(key, serviceClaims({ email: 'a@b.example' })),
      'credential-invalid',
    ],
    ['a nameless service token', () => assertion(key, serviceClaims({ common_name: '' })), 'credential-invalid'],
  ])('is refused with %s', async (_what, make, code) => {
    expect(await verify(await make())).toBe(code);
  });

  it('cannot be judged while the keys are out of reach', async () => {
    expect(await verify(await assertion(key), { keyOf: outOfReach })).toBe('enforcement-unavailable');
  });
});
