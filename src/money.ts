// Money as Fusebox counts it: whole micro-USD in plain integers. Must not hold floats or currencies.

/** An amount of money in whole micro-USD (1 USD = 1,000,000). Always a safe integer; may be negative only in adjustments. */
export type MicroUsd = number & { readonly __unit: 'micro-USD' };

const MICRO_USD_PER_USD = 1_000_000;
const USD_PATTERN = /^(0|[1-9]\d{0,8})(?:\.(\d{1,6}))?$/;

/** Brands a number as micro-USD. Throws when it is not a safe integer: that is a bug of the caller. */
export function microUsd(amount: number): MicroUsd {
  if (!Number.isSafeInteger(amount)) throw new RangeError(`not a whole number of micro-USD: ${amount}`);
  return amount as MicroUsd;
}

/**
 * Reads USD as people write it: a decimal string ("12.345678") or a finite non-negative number, at most six decimals
 * and at most 999,999,999 dollars. Returns null for anything else.
 */
export function parseUsd(text: unknown): MicroUsd | null {
  const written = typeof text === 'number' ? numberAsDecimal(text) : text;
  if (typeof written !== 'string') return null;
  const match = USD_PATTERN.exec(written);
  if (match === null) return null;
  const dollars = Number(match[1]);
  const fraction = Number((match[2] ?? '').padEnd(6, '0'));
  return microUsd(dollars * MICRO_USD_PER_USD + fraction);
}

/** Writes micro-USD as a decimal string in USD with six decimals: 12345678 -> "12.345678". */
export function formatUsd(amount: number): string {
  const sign = amount < 0 ? '-' : '';
  const digits = String(Math.abs(amount)).padStart(7, '0');
  return `${sign}${digits.slice(0, -6)}.${digits.slice(-6)}`;
}

/** Price of `units` at an integer rate of micro-USD per million units, rounded up to whole micro-USD. */
export function priceOf(units: number, microUsdPerMillion: number): MicroUsd {
  const exact = BigInt(units) * BigInt(microUsdPerMillion);
  const million = 1_000_000n;
  return microUsd(Number((exact + million - 1n) / million));
}

/** How many whole units `budget` pays for at an integer rate of micro-USD per million units; Infinity when they are free. */
export function unitsAffordable(budget: number, microUsdPerMillion: number): number {
  if (budget < 0) return 0;
  if (microUsdPerMillion === 0) return Number.POSITIVE_INFINITY;
  return Number((BigInt(budget) * 1_000_000n) / BigInt(microUsdPerMillion));
}

function numberAsDecimal(value: number): string | null {
  if (!Number.isFinite(value)) return null;
  const written = String(value);
  // Numbers below 1e-6 print with an exponent, and are less than one micro-USD unless they are zero.
  return written.includes('e') ? null : written;
}
