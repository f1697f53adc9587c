import { describe, expect, it } from 'vitest';
import { formatUsd, parseUsd, priceOf, unitsAffordable } from '../src/money.ts';

describe('money', () => {
  it.each([
    ['0', 0],
    ['12.345678', 12_345_678],
    ['999999999.999999', 999_999_999_999_999],
    [0.1, 100_000],
    [5, 5_000_000],
  ])('reads %s', (text, expected) => {
    expect(parseUsd(text)).toBe(expected);
  });

  it.each(['', '-1', '+1', '1e3', '0.1234567', ' 1', '1 ', '01', '1.', '.5', 'NaN', '0x10', 'Infinity', '1234567890'])(
    'refuses "%s"',
    (text) => {
      expect(parseUsd(text)).toBeNull();
    },
  );

  it('refuses what is not a plain amount', () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -1, 1e-7, 1e21, null, undefined, {}, []]) {
      expect(parseUsd(value), JSON.stringify(value)).toBeNull();
    }
  });

  it('writes six decimals, and a sign for corrections', () => {
    expect(formatUsd(12_345_678)).toBe('12.345678');
    expect(formatUsd(0)).toBe('0.000000');
    expect(formatUsd(-1)).toBe('-0.000001');
  });

  it('rounds a price up once, and what is affordable down', () => {
    expect(priceOf(1, 150_000)).toBe(1);
    expect(priceOf(1_000_000, 150_000)).toBe(150_000);
    expect(unitsAffordable(1, 150_000)).toBe(6);
    expect(priceOf(unitsAffordable(999, 2_500_000), 2_500_000)).toBeLessThanOrEqual(999);
    expect(unitsAffordable(10, 0)).toBe(Number.POSITIVE_INFINITY);
    expect(unitsAffordable(-5, 10)).toBe(0);
  });
});
