// What Google's service tiers do to a price. Must not guess a tier that an answer does not state.
import { accepted, refused, type Result } from '../../denial.ts';
import { LIST_PRICE_PERMILLE } from '../rate-card.ts';

const TIER_PERMILLE: ReadonlyMap<string, number> = new Map([
  ['standard', LIST_PRICE_PERMILLE],
  ['unspecified', LIST_PRICE_PERMILLE],
  ['flex', 500],
  ['batch', 500],
  ['priority', 2_000],
]);

/** The price of a tier by its name in an answer, in thousandths of the list price; null where it says nothing. */
export function servedPermille(tier: unknown): number | null {
  return typeof tier === 'string' ? (TIER_PERMILLE.get(tierName(tier)) ?? null) : null;
}

/** The dearest that a request's `serviceTier` can be served at. Requests without one are served at the standard tier. */
export function askedPermille(tier: unknown): Result<number> {
  if (tier === undefined || tier === null) return accepted(LIST_PRICE_PERMILLE);
  const permille = servedPermille(tier);
  if (permille === null) return refused('policy-denied', 'Nothing prices this "serviceTier".');
  return accepted(Math.max(LIST_PRICE_PERMILLE, permille));
}

function tierName(tier: string): string {
  return tier.toLowerCase().replace(/^service_tier_/, '');
}
