// How much of a demand a session can be granted: which ceiling of output, which hold, or why nothing. Pure arithmetic
// on the ledger's figures; places no hold.
import { MAX_TOKENS } from '../limits.ts';
import { priceOf, unitsAffordable } from '../money.ts';
import type { Demand } from '../rpc/session-rpc.ts';
import type { Amounts } from './amounts.ts';

export type Dimension = 'spend' | 'tokens';

export interface GrantInput {
  readonly demand: Demand;
  /** `limit - settled - doubt`. */
  readonly left: Amounts;
  /** The least useful request: when less is left, the limit is reached. */
  readonly leastUseful: Amounts;
  readonly tokensPerRequest: number | null;
}

export type GrantDecision =
  /** `hold` is what to open now, `outputTokens` the ceiling that goes on the wire (null: nothing is generated). */
  | { readonly outcome: 'granted'; readonly hold: Amounts; readonly outputTokens: number | null }
  /** 100 %: nothing useful can be bought any more. */
  | { readonly outcome: 'limit-reached'; readonly dimension: Dimension }
  /** The least that this request can be is more than what is left. */
  | { readonly outcome: 'too-big'; readonly dimension: Dimension; readonly needed: Amounts }
  /** Larger than any one request of this session may be. */
  | { readonly outcome: 'over-request-cap'; readonly neededTokens: number; readonly capTokens: number };

/** Sizes a grant against what is left, not against what other requests' holds happen to leave at the moment. */
export function sizeGrant({ demand, left, leastUseful, tokensPerRequest }: GrantInput): GrantDecision {
  const floor = holdFor(demand, demand.output?.floorTokens ?? 0);
  // A request that costs nothing in a dimension cannot meet that dimension's limit.
  if (floor.microUsd > 0 && left.microUsd < leastUseful.microUsd)
    return { outcome: 'limit-reached', dimension: 'spend' };
  if (floor.tokens > 0 && left.tokens < leastUseful.tokens) return { outcome: 'limit-reached', dimension: 'tokens' };
  if (tokensPerRequest !== null && floor.tokens > tokensPerRequest) {
    return { outcome: 'over-request-cap', neededTokens: floor.tokens, capTokens: tokensPerRequest };
  }
  if (floor.microUsd > 0 && floor.microUsd > left.microUsd)
    return { outcome: 'too-big', dimension: 'spend', needed: floor };
  if (floor.tokens > 0 && floor.tokens > left.tokens) return { outcome: 'too-big', dimension: 'tokens', needed: floor };
  const { output } = demand;
  if (output === null) return { outcome: 'granted', hold: floor, outputTokens: null };

  const affordable = unitsAffordable(left.microUsd - demand.fixedMicroUsd, output.microUsdPerMillion);
  const tokensLeft = Math.min(left.tokens, tokensPerRequest ?? MAX_TOKENS) - demand.inputTokens;
  const ceiling = Math.min(output.askedTokens, affordable, tokensLeft);
  const outputTokens = Math.max(output.floorTokens, ceiling - (ceiling % output.choices));
  return { outcome: 'granted', hold: holdFor(demand, Math.min(output.firstTokens, outputTokens)), outputTokens };
}

/** The hold that covers a demand with so many output tokens. */
export function holdFor(demand: Demand, outputTokens: number): Amounts {
  const rate = demand.output?.microUsdPerMillion ?? 0;
  return {
    microUsd: demand.fixedMicroUsd + priceOf(outputTokens, rate),
    tokens: demand.inputTokens + outputTokens,
  };
}

/** The least useful request in both dimensions, as the contract defines it: 1 % of a limit, at most a cent or 1,000 tokens. */
export function leastUsefulOf(limit: Amounts, configuredMicroUsd: number | null): Amounts {
  const percent = { microUsd: Math.ceil(limit.microUsd / 100), tokens: Math.ceil(limit.tokens / 100) };
  const money =
    configuredMicroUsd === null
      ? Math.min(percent.microUsd, LEAST_USEFUL_MICRO_USD)
      : Math.min(configuredMicroUsd, Math.floor(limit.microUsd / 10));
  return { microUsd: Math.max(1, money), tokens: Math.max(1, Math.min(percent.tokens, LEAST_USEFUL_TOKENS)) };
}

/** One cent. */
const LEAST_USEFUL_MICRO_USD = 10_000;
const LEAST_USEFUL_TOKENS = 1_000;
