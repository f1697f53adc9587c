// What changes Anthropic's prices besides the model: cache lifetimes, fast mode, the place of inference, long contexts.
import { accepted, refused, type Result } from '../../denial.ts';
import { hasRegionalPremium, hasUnlistedLongContextPremium } from '../models.ts';
import type { PricedModel } from '../prices.ts';
import { LIST_PRICE_PERMILLE, rateCard, type Rate, type RateCard, type Unit } from '../rate-card.ts';
import type { JsonObject } from '../../json/body-json.ts';

const FAST_PERMILLE = 6_000;
const REGIONAL_PERMILLE = 1_100;
const BATCH_PERMILLE = 500;

export interface PriceTerms {
  readonly worstPermille: number;
  readonly usualPermille: number;
  /** The terms that an answer's usage states, in thousandths of the list price; null where it states none. */
  served(usage: JsonObject): number | null;
}

/** The terms of a request's `speed` and `inference_geo`. A workspace may have a region as its default. */
export function priceTerms(body: JsonObject, model: string, declared: boolean): Result<PriceTerms> {
  const speed = body['speed'] ?? 'standard';
  if (speed !== 'standard' && speed !== 'fast') return refused('policy-denied', 'Nothing prices this "speed".');
  const tier = body['service_tier'] ?? 'auto';
  if (tier !== 'auto' && tier !== 'standard_only')
    return refused('policy-denied', 'Nothing prices this "service_tier".');
  const regional = hasRegionalPremium(model) && !declared ? REGIONAL_PERMILLE : LIST_PRICE_PERMILLE;
  const fast = speed === 'fast' ? FAST_PERMILLE : LIST_PRICE_PERMILLE;
  const geo = body['inference_geo'] ?? null;
  return accepted({
    worstPermille: scaled(fast, geo === 'global' ? LIST_PRICE_PERMILLE : regional),
    usualPermille: scaled(fast, geo === null || geo === 'global' ? LIST_PRICE_PERMILLE : regional),
    served: (usage) => {
      const place = usage['inference_geo'];
      if (place === undefined && usage['speed'] === undefined && usage['service_tier'] === undefined) return null;
      const inRegion = typeof place === 'string' && place !== 'global' && place !== 'not_available';
      const pace = usage['speed'] === 'fast' ? FAST_PERMILLE : LIST_PRICE_PERMILLE;
      const batch = usage['service_tier'] === 'batch' && !declared ? BATCH_PERMILLE : LIST_PRICE_PERMILLE;
      return scaled(scaled(pace, inRegion ? regional : LIST_PRICE_PERMILLE), batch);
    },
  });
}

function scaled(a: number, b: number): number {
  return Math.ceil((a * b) / LIST_PRICE_PERMILLE);
}

/** Letters of "cache_control" and "1h" written as escapes: then the text is not searched but the worst is taken. */
const ESCAPED_NAME = /\\u00(31|5f|6[0-9a-f]|7[0-9a])/i;

/** The kinds of cache writes that a body can cause. `cache_control` may stand on any block, tool or at the top. */
export function cacheWritesOf(text: string): readonly Unit[] {
  const escaped = text.includes('\\u00') && ESCAPED_NAME.test(text);
  if (!escaped && !text.includes('"cache_control"')) return [];
  return escaped || text.includes('"1h"')
    ? ['cacheWrite', 'cacheWrite5m', 'cacheWrite1h']
    : ['cacheWrite', 'cacheWrite5m'];
}

const LONG_CONTEXT_TOKENS = 200_000;
const MILLION_CONTEXT_TOKENS = 1_000_000;

/** Whether the request turns on the window of a million tokens. */
export function wantsLongContext(headers: Headers): boolean {
  return headers.get('anthropic-beta')?.includes('context-1m') === true;
}

/** The model as the long-context beta makes it: a larger window. */
export function withLongContext(priced: PricedModel): PricedModel {
  return { ...priced, contextTokens: Math.max(priced.contextTokens, MILLION_CONTEXT_TOKENS) };
}

/** Adds the premium for inputs over 200,000 tokens where the price library does not list it: input doubles, output 1.5x. */
export function longContextCard(model: string): (card: RateCard) => RateCard {
  if (!hasUnlistedLongContextPremium(model)) return (card) => card;
  const made = new Map<RateCard, RateCard>();
  return (card) => {
    const known = made.get(card);
    if (known !== undefined) return known;
    const rates = new Map<Unit, Rate>();
    for (const { unit, rate } of card.lines) {
      const dearer = unit === 'output' || unit === 'reasoning' ? 1.5 : 2;
      const tier = {
        aboveInputTokens: LONG_CONTEXT_TOKENS,
        microUsdPerMillion: Math.ceil(rate.microUsdPerMillion * dearer),
      };
      rates.set(unit, rate.tiers.length > 0 ? rate : { ...rate, tiers: [tier] });
    }
    const premium = rateCard(card.id, rates);
    made.set(card, premium);
    return premium;
  };
}
