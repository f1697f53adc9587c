import { describe, expect, it } from 'vitest';
import { microUsd } from '../../src/money.ts';
import type { Fee } from '../../src/policy/policy.ts';
import { feeMatches } from '../../src/protocol/http/http.ts';
import { callOf, codeOf } from './fixtures.ts';

const fee = (usd: number, more: Partial<Fee> = {}): Fee => ({
  method: null,
  path: null,
  microUsd: microUsd(usd),
  scope: null,
  ...more,
});
const FEES = [
  fee(50_000, { method: 'POST', path: '/tickets/*', scope: 'ticket:write' }),
  fee(500_000, { method: 'DELETE', path: '/tickets/*/attachments', scope: 'ticket:admin' }),
  fee(10_000),
];

describe('a fee', () => {
  const rows: readonly (readonly [string, string, number, readonly string[], string])[] = [
    ['POST', '/tickets/1', 50_000, ['ticket:write'], 'POST /tickets/*'],
    ['POST', '/tickets/1/comments/2', 50_000, ['ticket:write'], 'POST /tickets/*'],
    ['POST', '/tickets', 50_000, ['ticket:write'], 'POST /tickets/*'],
    ['POST', '/%74ickets/1', 50_000, ['ticket:write'], 'POST /tickets/*'],
    ['POST', '/ticketsx', 10_000, [], 'POST *'],
    ['GET', '/tickets/1', 10_000, [], 'GET *'],
    ['DELETE', '/tickets/1/attachments', 500_000, ['ticket:admin'], 'DELETE /tickets/*/attachments'],
    ['DELETE', '/tickets/1/2/attachments', 10_000, [], 'DELETE *'],
  ];
  it.each(rows)('of %s %s', (method, path, price, scopes, action) => {
    const call = callOf('http', path, null, { method, fees: FEES });
    expect(call).toMatchObject({
      action,
      scopes,
      model: null,
      demand: { fixedMicroUsd: price, inputTokens: 0, output: null },
    });
    expect(call.meter().reading()).toMatchObject({
      final: true,
      ended: true,
      statedMicroUsd: price,
      meteredMicroUsd: price,
    });
  });

  it('that the policy does not set is a refusal, not a gift', () => {
    expect(codeOf('http', '/any', null, { method: 'GET' })).toBe('policy-denied');
    expect(codeOf('http', '/other', null, { method: 'GET', fees: FEES.slice(0, 2) })).toBe('policy-denied');
  });

  it('is not guessed for a path that cannot be decoded', () => {
    expect(codeOf('http', '/tickets/%zz', null, { method: 'POST', fees: FEES })).toBe('bad-request');
  });

  it('leaves the request as it came', () => {
    const call = callOf('http', '/tickets/1', '{"a": 1}', { query: '?x=%20', fees: FEES });
    expect(call.write({ outputTokens: null, warnings: [] })).toMatchObject({
      path: '/tickets/1',
      query: '?x=%20',
      clamped: null,
    });
  });

  it.each([
    ['/a/*/c', '/a/b/c', true],
    ['/a/*/c', '/a//c', true],
    ['/a/*/c', '/a/b/b/c', false],
    ['/a/b*', '/a/bcd', true],
    ['/a/b*', '/a/bcd/e', false],
    ['/*', '/', true],
    ['/*', '/a/b', true],
    ['/a', '/a/', false],
  ])('with the path %s on %s: %s', (path, given, expected) => {
    expect(feeMatches(fee(1, { path }), 'GET', given)).toBe(expected);
  });
});
