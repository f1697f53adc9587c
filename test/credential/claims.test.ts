import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readClaims, type ClaimRules } from '../../src/credential/claims.ts';
import type { JsonObject } from '../../src/json/small-json.ts';
import { MAX_MICRO_USD } from '../../src/limits.ts';
import { microUsd } from '../../src/money.ts';
import { goodClaims, NOW_MS, NOW_SECONDS } from '../support/credentials.ts';

const RULES: ClaimRules = {
  issuer: 'fusebox',
  audience: 'fusebox',
  ttlSecondsMax: 86_400,
  defaultLimits: { spendMicroUsd: microUsd(10_000_000), tokens: null, tokensPerRequest: 9, requestsPerMinute: 120 },
  requiredClaims: [],
};

function read(more: Readonly<Record<string, unknown>>, rules: Partial<ClaimRules> = {}) {
  const claims = Object.fromEntries(Object.entries(goodClaims(more)).filter(([, value]) => value !== undefined));
  return readClaims(claims as JsonObject, { ...RULES, ...rules }, NOW_MS);
}

function codeOf(more: Readonly<Record<string, unknown>>, rules: Partial<ClaimRules> = {}): string {
  const reading = read(more, rules);
  return reading.ok ? 'ok' : reading.code;
}

describe('the times of a token', () => {
  it.each([
    ['at exp plus four seconds', { iat: NOW_SECONDS - 10, exp: NOW_SECONDS - 4 }, 'ok'],
    ['at exp plus five seconds', { iat: NOW_SECONDS - 10, exp: NOW_SECONDS - 5 }, 'credential-expired'],
    ['issued sixty seconds ahead', { iat: NOW_SECONDS + 60 }, 'ok'],
    ['issued sixty-one seconds ahead', { iat: NOW_SECONDS + 61, exp: NOW_SECONDS + 70 }, 'credential-invalid'],
    ['not before sixty seconds ahead', { nbf: NOW_SECONDS + 60 }, 'ok'],
    ['not before sixty-one seconds ahead', { nbf: NOW_SECONDS + 61 }, 'credential-invalid'],
    ['as long as the policy allows', { exp: NOW_SECONDS + 86_400 }, 'ok'],
    ['a second longer', { exp: NOW_SECONDS + 86_401 }, 'credential-invalid'],
    ['with exp at iat', { exp: NOW_SECONDS }, 'credential-invalid'],
    ['with exp before iat', { exp: NOW_SECONDS - 1 }, 'credential-invalid'],
    ['without exp', { exp: undefined }, 'credential-invalid'],
    ['without iat', { iat: undefined }, 'credential-invalid'],
    ['with exp as text', { exp: String(NOW_SECONDS + 60) }, 'credential-invalid'],
    ['with a fraction', { exp: NOW_SECONDS + 60.5 }, 'credential-invalid'],
    ['with a negative time', { iat: -1 }, 'credential-invalid'],
    ['in milliseconds', { iat: NOW_MS, exp: NOW_MS + 1_000 }, 'credential-invalid'],
    ['far beyond exactness', { exp: 2 ** 60 }, 'credential-invalid'],
    ['with nbf null', { nbf: null }, 'credential-invalid'],
  ])('%s: %s', (_name, more, expected) => {
    expect(codeOf(more)).toBe(expected);
  });
});

describe('who a token speaks for', () => {
  it.each([
    ['another issuer', { iss: 'someone' }],
    ['no issuer', { iss: undefined }],
    ['a list of issuers', { iss: ['fusebox'] }],
    ['another audience', { aud: 'other' }],
    ['no audience', { aud: undefined }],
    ['a list without us', { aud: ['a', 'b'] }],
    ['a list with other things', { aud: ['fusebox', 1] }],
    ['no agent', { sub: undefined }],
    ['an agent with a space', { sub: 'a b' }],
    ['an agent with a look-alike', { sub: 'аgent' }],
    ['an agent with a line break', { sub: 'a\nb' }],
    ['an agent of 129 characters', { sub: 'a'.repeat(129) }],
    ['a session with ~', { sid: 'fusebox~x' }],
    ['a session with /', { sid: 'a/b' }],
    ['no session', { sid: undefined }],
    ['no jti', { jti: undefined }],
    ['a jti that is no id', { jti: '' }],
    ['a customer that is no id', { customer: '../x' }],
    ['a customer of null', { customer: null }],
    ['an empty list of segments', { segment: [] }],
    ['a segment twice', { segment: ['a', 'a'] }],
    ['a segment that is no id', { segment: ['a', 1] }],
    ['too many segments', { segment: Array.from({ length: 17 }, (_, index) => `s${index}`) }],
    ['no scope', { scope: undefined }],
    ['a list of scopes', { scope: ['a'] }],
    ['two spaces between scopes', { scope: 'a  b' }],
    ['a tab between scopes', { scope: 'a\tb' }],
    ['a space at the end', { scope: 'a ' }],
    ['a scope of everything', { scope: '*' }],
    ['a scope cut short', { scope: 'llm*' }],
    ['too many scopes', { scope: Array.from({ length: 65 }, (_, index) => `s${index}`).join(' ') }],
  ])('is refused with %s', (_name, more) => {
    expect(codeOf(more)).toBe('credential-invalid');
  });

  it('accepts an audience list that names us, no scopes at all, and unknown claims', () => {
    expect(codeOf({ aud: ['other', 'fusebox'], scope: '', department: { any: 'thing' } })).toBe('ok');
  });

  it('needs what the policy requires', () => {
    expect(codeOf({}, { requiredClaims: ['customer'] })).toBe('credential-invalid');
    expect(codeOf({ customer: 'acme' }, { requiredClaims: ['customer', 'segment'] })).toBe('credential-invalid');
    expect(codeOf({ customer: 'acme', segment: 'eu' }, { requiredClaims: ['customer', 'segment'] })).toBe('ok');
  });

  it('does not let a token that is bound to a key pass as a bearer token', () => {
    expect(codeOf({ cnf: { jkt: 'abc' } })).toBe('proof-invalid');
    expect(codeOf({ cnf: null })).toBe('proof-invalid');
  });
});

describe('the limits of a token', () => {
  it('default, one by one, to those of the policy', () => {
    expect(read({ limits: undefined })).toMatchObject({ principal: { limits: RULES.defaultLimits } });
    expect(read({ limits: { tokens: 7 } })).toMatchObject({
      principal: { limits: { spendMicroUsd: 10_000_000, tokens: 7, tokensPerRequest: 9 } },
    });
  });

  it('may be zero, which allows nothing', () => {
    expect(
      read({ limits: { spend_micro_usd: 0, tokens: 0, tokens_per_request: 0, requests_per_minute: 0 } }),
    ).toMatchObject({
      principal: { limits: { spendMicroUsd: 0, tokens: 0, tokensPerRequest: 0, requestsPerMinute: 0 } },
    });
  });

  it.each([
    ['an unknown key', { spend: 1 }],
    ['a key in another spelling', { Tokens: 1 }],
    ['a negative amount', { spend_micro_usd: -1 }],
    ['minus zero', { spend_micro_usd: -0 }],
    ['a fraction', { tokens: 1.5 }],
    ['a text', { tokens: '1' }],
    ['null', { tokens: null }],
    ['more than 2^53', { spend_micro_usd: 2 ** 53 }],
    ['more than can be added', { spend_micro_usd: MAX_MICRO_USD + 1 }],
    ['NaN', { tokens: Number.NaN }],
    ['a list', [1]],
    ['a text for all', 'none'],
    ['null for all', null],
  ])('are refused with %s', (_name, limits) => {
    expect(codeOf({ limits })).toBe('credential-invalid');
  });

  it('are whole and within bounds whatever a token says', () => {
    fc.assert(
      fc.property(fc.oneof(fc.double(), fc.integer(), fc.maxSafeInteger()), (amount) => {
        const reading = read({ limits: { spend_micro_usd: amount, tokens: amount } });
        if (!reading.ok) return;
        const { spendMicroUsd, tokens } = reading.principal.limits;
        expect(Number.isSafeInteger(spendMicroUsd) && spendMicroUsd >= 0 && spendMicroUsd <= MAX_MICRO_USD).toBe(true);
        expect(tokens).toBe(amount);
      }),
    );
  });
});
