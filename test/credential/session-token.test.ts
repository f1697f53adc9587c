import { base64url, SignJWT } from 'jose';
import { beforeAll, describe, expect, it } from 'vitest';
import { createTokenVerifier, verifySessionToken } from '../../src/credential/session-token.ts';
import type { KeyRing } from '../../src/signing/signing-keys.ts';
import {
  goodClaims,
  keyRing,
  NOW_MS,
  NOW_SECONDS,
  privateJwk,
  signTexts,
  signToken,
  verifierOptions,
} from '../support/credentials.ts';

let keys: KeyRing;
let es256: KeyRing;

beforeAll(async () => {
  keys = await keyRing(await privateJwk('k1'), await privateJwk('k2', 'ES256'));
  es256 = await keyRing(await privateJwk('k3', 'ES256'));
});

async function codeOf(token: string, more = {}, ring = keys, nowMs = NOW_MS): Promise<string> {
  const verification = await verifySessionToken(token, verifierOptions(ring, more), nowMs);
  return verification.ok ? 'ok' : verification.denial.code;
}

describe('a session token', () => {
  it('is accepted as EdDSA and as ES256, and says who it speaks for', async () => {
    for (const ring of [keys, es256]) {
      const token = await signToken(ring, goodClaims({ customer: 'acme', segment: ['beta', 'eu'] }));
      const verification = await verifySessionToken(token, verifierOptions(ring), NOW_MS);
      expect(verification.ok && verification.value).toEqual({
        issuer: 'fusebox',
        sid: 'session-1',
        agent: 'agent-1',
        jti: 'jti-1',
        customer: 'acme',
        segments: ['beta', 'eu'],
        scopes: ['llm:openai', 'ticket:*'],
        limits: { spendMicroUsd: 5_000_000, tokens: 1_000, tokensPerRequest: null, requestsPerMinute: 120 },
        issuedAtMs: NOW_MS,
        expiresAtMs: NOW_MS + 3_600_000,
      });
    }
  });

  it('is verified by any key of the ring, by kid', async () => {
    const old = await privateJwk('old', 'ES256');
    const token = await signToken(await keyRing(old), goodClaims());
    expect(await codeOf(token, {}, await keyRing(await privateJwk('new'), old))).toBe('ok');
    expect(await codeOf(token)).toBe('credential-invalid');
  });

  it('tells outside nothing about what is wrong with it', async () => {
    const verification = await verifySessionToken('nonsense', verifierOptions(keys), NOW_MS);
    expect(verification).toMatchObject({
      ok: false,
      denial: { code: 'credential-invalid', detail: 'The credential was not accepted.' },
    });
    expect(!verification.ok && verification.logDetail).toContain('canonical');
  });
});

describe('the header of a session token', () => {
  it.each([
    ['alg none', { alg: 'none' }],
    ['alg HS256', { alg: 'HS256' }],
    ['alg of another key', { alg: 'ES256' }],
    ['alg Ed25519', { alg: 'Ed25519' }],
    ['typ JWT', { typ: 'JWT' }],
    ['typ in another spelling', { typ: 'application/agent-session+jwt' }],
    ['an unknown kid', { kid: 'k9' }],
    ['a kid of a prototype', { kid: 'toString' }],
    ['a kid that is no string', { kid: 1 }],
    ['a jwk', { jwk: { kty: 'OKP' } }],
    ['a jku', { jku: 'https://evil.example/jwks' }],
    ['an x5u', { x5u: 'https://evil.example/cert' }],
    ['an x5c', { x5c: ['MII'] }],
    ['an x5t', { x5t: 'abc' }],
    ['a crit', { crit: ['exp'], exp: 1 }],
    ['b64 false', { b64: false, crit: ['b64'] }],
    ['a cty', { cty: 'JWT' }],
  ])('refuses %s', async (_name, header) => {
    const text = JSON.stringify({ alg: 'EdDSA', typ: 'agent-session+jwt', kid: 'k1', ...header });
    expect(await codeOf(await signTexts(keys, { header: text, claims: JSON.stringify(goodClaims()) }))).toBe(
      'credential-invalid',
    );
  });

  it.each([
    '{"alg":"EdDSA","typ":"agent-session+jwt"}',
    '{"alg":"EdDSA","kid":"k1"}',
    '[]',
    'null',
    '',
    '{"alg":"EdDSA","alg":"EdDSA","typ":"agent-session+jwt","kid":"k1"}',
  ])('refuses the header %s', async (header) => {
    expect(await codeOf(await signTexts(keys, { header, claims: JSON.stringify(goodClaims()) }))).toBe(
      'credential-invalid',
    );
  });

  it('refuses an HMAC made with the public key', async () => {
    const secret = base64url.decode(String(keys.signer.publicJwk['x']));
    for (const alg of ['HS256', 'HS512']) {
      const token = await new SignJWT(goodClaims())
        .setProtectedHeader({ alg, typ: 'agent-session+jwt', kid: 'k1' })
        .sign(secret);
      expect(await codeOf(token)).toBe('credential-invalid');
    }
  });
});

describe('the signature of a session token', () => {
  it('refuses one octet changed anywhere', async () => {
    const token = await signToken(keys, goodClaims());
    for (const at of [5, token.indexOf('.') + 20, token.lastIndexOf('.') + 10]) {
      const changed = token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1);
      expect(await codeOf(changed), String(at)).toBe('credential-invalid');
    }
  });

  it('refuses the signature of another key, and claims under the signature of another token', async () => {
    const other = await keyRing(await privateJwk('k1'));
    expect(await codeOf(await signToken(other, goodClaims()))).toBe('credential-invalid');
    const [header, , signature] = (await signToken(keys, goodClaims())).split('.');
    const richer = base64url.encode(JSON.stringify(goodClaims({ limits: { spend_micro_usd: 900 } })));
    expect(await codeOf(`${header}.${richer}.${signature}`)).toBe('credential-invalid');
  });

  it('refuses an ES256 signature of zeros', async () => {
    const [header, claims] = (await signToken(es256, goodClaims())).split('.');
    expect(await codeOf(`${header}.${claims}.${base64url.encode(new Uint8Array(64))}`, {}, es256)).toBe(
      'credential-invalid',
    );
  });
});

describe('the verified-token cache', () => {
  it('answers the second time without a turn', async () => {
    const verifier = createTokenVerifier(verifierOptions(keys));
    const token = await signToken(keys, goodClaims());
    expect(verifier.verify(token, NOW_MS)).toBeInstanceOf(Promise);
    await verifier.verify(token, NOW_MS);
    expect(verifier.verify(token, NOW_MS)).toMatchObject({ ok: true, value: { sid: 'session-1' } });
  });

  it('is never used past exp', async () => {
    const verifier = createTokenVerifier(verifierOptions(keys));
    const token = await signToken(keys, goodClaims({ exp: NOW_SECONDS + 10 }));
    await verifier.verify(token, NOW_MS);
    expect(await verifier.verify(token, NOW_MS + 14_999)).toMatchObject({ ok: true });
    expect(await verifier.verify(token, NOW_MS + 15_000)).toMatchObject({
      ok: false,
      denial: { code: 'credential-expired' },
    });
    expect(await verifier.verify(token, NOW_MS + 15_001)).toMatchObject({
      ok: false,
      denial: { code: 'credential-expired' },
    });
  });

  it('does not know a token by a part of it', async () => {
    const verifier = createTokenVerifier(verifierOptions(keys));
    const token = await signToken(keys, goodClaims());
    await verifier.verify(token, NOW_MS);
    const swapped = token.replace(/\.[^.]+\./, `.${base64url.encode(JSON.stringify(goodClaims({ sub: 'other' })))}.`);
    expect(await verifier.verify(swapped, NOW_MS)).toMatchObject({ ok: false, denial: { code: 'credential-invalid' } });
    expect(await verifier.verify(`${token} `, NOW_MS)).toMatchObject({ ok: false });
  });

  it('is not shared between configurations', async () => {
    const token = await signToken(keys, goodClaims());
    await createTokenVerifier(verifierOptions(keys)).verify(token, NOW_MS);
    const strict = createTokenVerifier(verifierOptions(keys, { requiredClaims: ['customer'] }));
    expect(await strict.verify(token, NOW_MS)).toMatchObject({ ok: false, denial: { code: 'credential-invalid' } });
  });
});
