import { describe, expect, it } from 'vitest';
import { issueSessionToken } from '../../src/credential/session-issuer.ts';
import { verifySessionToken } from '../../src/credential/session-token.ts';
import { readSessionId, sessionId, sessionName } from '../../src/rpc/session-name.ts';
import { microUsd } from '../../src/money.ts';
import type { SessionIdentity } from '../../src/rpc/session-rpc.ts';
import { keyRing, NOW_MS, privateJwk, verifierOptions } from '../support/credentials.ts';

const SESSION: SessionIdentity = {
  issuer: 'fusebox',
  sid: '0190-abc',
  agent: 'billing-1',
  customer: 'acme',
  segments: ['beta'],
  scopes: ['llm:*'],
  limits: { spendMicroUsd: microUsd(12_345_678), tokens: 10, tokensPerRequest: 5, requestsPerMinute: 60 },
  expiresAtMs: NOW_MS + 60_000,
};

describe('a token that we issue', () => {
  it.each(['EdDSA', 'ES256'] as const)('verifies as what it was issued for, with %s', async (alg) => {
    const keys = await keyRing(await privateJwk('k', alg));
    for (const segments of [[], ['beta'], ['beta', 'eu']]) {
      const session = { ...SESSION, segments, customer: segments.length === 0 ? null : 'acme' };
      const token = await issueSessionToken(keys, {
        session,
        audience: 'fusebox',
        jti: 'j',
        issuedAtMs: NOW_MS + 999,
        expiresAtMs: session.expiresAtMs,
      });
      const verification = await verifySessionToken(token, verifierOptions(keys), NOW_MS);
      expect(verification).toEqual({ ok: true, value: { ...session, jti: 'j', issuedAtMs: NOW_MS } });
    }
  });
});

describe('the name of a session', () => {
  it('keeps issuers apart', () => {
    expect(sessionName('fusebox', 'a')).toBe('fusebox~a');
    expect(sessionId({ issuer: 'fusebox', sid: 'a' }, 'fusebox')).toBe('a');
    expect(sessionId({ issuer: 'acme', sid: 'a' }, 'fusebox')).toBe('acme~a');
  });

  it('is read back, or refused', () => {
    expect(readSessionId('a', 'fusebox')).toEqual({ issuer: 'fusebox', sid: 'a' });
    expect(readSessionId('acme~a', 'fusebox')).toEqual({ issuer: 'acme', sid: 'a' });
    for (const text of ['', '~', 'a~', '~a', 'a~b~c', 'a/b', '../a', 'a b', 'ä'])
      expect(readSessionId(text, 'fusebox'), text).toBeNull();
  });
});
