// The two dimensions that a session is limited in, and arithmetic on both at once. Whole numbers only.

export interface Amounts {
  /** Whole micro-USD. */
  readonly microUsd: number;
  readonly tokens: number;
}

export const NOTHING: Amounts = { microUsd: 0, tokens: 0 };

export function plus(a: Amounts, b: Amounts): Amounts {
  return { microUsd: a.microUsd + b.microUsd, tokens: a.tokens + b.tokens };
}

export function minus(a: Amounts, b: Amounts): Amounts {
  return { microUsd: a.microUsd - b.microUsd, tokens: a.tokens - b.tokens };
}

/** The larger of each dimension. */
export function most(a: Amounts, b: Amounts): Amounts {
  return { microUsd: Math.max(a.microUsd, b.microUsd), tokens: Math.max(a.tokens, b.tokens) };
}

/** The smaller of each dimension. */
export function least(a: Amounts, b: Amounts): Amounts {
  return { microUsd: Math.min(a.microUsd, b.microUsd), tokens: Math.min(a.tokens, b.tokens) };
}

/** True when `a` is within `b` in every dimension. */
export function within(a: Amounts, b: Amounts): boolean {
  return a.microUsd <= b.microUsd && a.tokens <= b.tokens;
}

/** True when `more` on top of `base` stays within `cap`. Nothing always does, even where `base` is beyond the cap. */
export function fitsOnTop(base: Amounts, more: Amounts, cap: Amounts): boolean {
  return (
    (more.microUsd === 0 || base.microUsd + more.microUsd <= cap.microUsd) &&
    (more.tokens === 0 || base.tokens + more.tokens <= cap.tokens)
  );
}

export function isNothing(a: Amounts): boolean {
  return a.microUsd === 0 && a.tokens === 0;
}
