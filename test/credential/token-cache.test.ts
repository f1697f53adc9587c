import { describe, expect, it } from 'vitest';
import type { Principal } from '../../src/credential/claims.ts';
import { TokenCache } from '../../src/credential/token-cache.ts';
import { MAX_CACHED_TOKENS } from '../../src/limits.ts';
import { microUsd } from '../../src/money.ts';

const PRINCIPAL: Principal = {
  issuer: 'fusebox',
  sid: 's',
  agent: 'a',
  customer: null,
  segments: [],
  scopes: [],
  limits: { spendMicroUsd: microUsd(1), tokens: null, tokensPerRequest: null, requestsPerMinute: null },
  expiresAtMs: 1,
  jti: 'j',
  issuedAtMs: 0,
};

describe('the cache of verified tokens', () => {
  it('stays within its bound under a flood', () => {
    const cache = new TokenCache();
    for (let index = 0; index < MAX_CACHED_TOKENS * 2; index += 1) {
      cache.set(`token ${index}`, PRINCIPAL);
      if (index % 1_000 === 0) expect(cache.size).toBeLessThanOrEqual(MAX_CACHED_TOKENS);
    }
    expect(cache.size).toBeLessThanOrEqual(MAX_CACHED_TOKENS);
    expect(cache.get('token 0')).toBeUndefined();
    expect(cache.get(`token ${MAX_CACHED_TOKENS * 2 - 1}`)).toBe(PRINCIPAL);
  });
});
