// The price book: the policy's own prices first, then the price library's, turned once per model into integer rate cards.
// Must not price anything that neither of them prices.
import { calcPrice, type ModelPrice } from '@pydantic/genai-prices';
import type { Policy, PriceOverride } from '../policy/policy.ts';
import { MAX_CACHED_MODELS } from './bounds.ts';
import { globMatches } from './glob.ts';
import { contextTokensOf, maxOutputTokensOf, type Provider } from './models.ts';
import { rateCard, type Rate, type RateCard, type Unit } from './rate-card.ts';

export interface PricedModel {
  readonly card: RateCard;
  readonly contextTokens: number;
  readonly maxOutputTokens: number;
  /** True where the operator declared the price: then it is the whole price, whatever tier serves it by default. */
  readonly declared: boolean;
}

const UNIT_OF_PRICE_KEY: ReadonlyMap<string, Unit> = new Map<string, Unit>([
  ['input_mtok', 'input'],
  ['cache_read_mtok', 'cacheRead'],
  ['cache_write_mtok', 'cacheWrite'],
  ['cache_write_5m_mtok', 'cacheWrite5m'],
  ['cache_write_1h_mtok', 'cacheWrite1h'],
  ['input_audio_mtok', 'inputAudio'],
  ['cache_audio_read_mtok', 'cacheReadAudio'],
  ['input_image_mtok', 'inputImage'],
  ['cache_image_read_mtok', 'cacheReadImage'],
  ['input_video_mtok', 'inputVideo'],
  ['cache_video_read_mtok', 'cacheReadVideo'],
  ['output_mtok', 'output'],
  ['output_reasoning_mtok', 'reasoning'],
  ['output_audio_mtok', 'outputAudio'],
  ['output_image_mtok', 'outputImage'],
  ['output_video_mtok', 'outputVideo'],
]);

const MICRO_USD_PER_USD = 1_000_000;
const MINUTE_MS = 60_000;

/** The price of a model at a time, or null where nobody prices it. `model` is as the client or the answer names it. */
export function priceOfModel(policy: Policy, provider: Provider, model: string, nowMs: number): PricedModel | null {
  for (const override of policy.prices) {
    if (globMatches(override.match, model)) return declaredPrice(override);
  }
  return libraryPrice(provider, model, nowMs);
}

const declaredPrices = new WeakMap<PriceOverride, PricedModel>();

function declaredPrice(override: PriceOverride): PricedModel {
  const known = declaredPrices.get(override);
  if (known !== undefined) return known;
  const rates = new Map<Unit, Rate>([
    ['input', flat(override.inputMicroUsdPerMillion)],
    ['output', flat(override.outputMicroUsdPerMillion)],
  ]);
  if (override.cachedInputMicroUsdPerMillion !== null)
    rates.set('cacheRead', flat(override.cachedInputMicroUsdPerMillion));
  if (override.cacheWriteMicroUsdPerMillion !== null)
    rates.set('cacheWrite', flat(override.cacheWriteMicroUsdPerMillion));
  const priced: PricedModel = {
    card: rateCard(override.match, rates),
    contextTokens: override.contextTokens,
    maxOutputTokens: override.maxOutputTokens,
    declared: true,
  };
  declaredPrices.set(override, priced);
  return priced;
}

interface CachedModel {
  readonly priced: PricedModel | null;
  /** Prices that change by date or time of day are looked up again each minute. */
  readonly untilMs: number;
}

const libraryModels = new Map<string, CachedModel>();
const libraryCards = new WeakMap<ModelPrice, RateCard>();

function libraryPrice(provider: Provider, model: string, nowMs: number): PricedModel | null {
  const key = `${provider} ${model}`;
  const cached = libraryModels.get(key);
  if (cached !== undefined && nowMs < cached.untilMs && nowMs >= cached.untilMs - MINUTE_MS) return cached.priced;
  if (cached !== undefined && cached.untilMs === Number.POSITIVE_INFINITY) return cached.priced;
  const looked = lookUp(provider, model, nowMs);
  const oldest = libraryModels.size >= MAX_CACHED_MODELS ? libraryModels.keys().next() : null;
  if (oldest !== null && oldest.done !== true) libraryModels.delete(oldest.value);
  libraryModels.set(key, looked);
  return looked.priced;
}

function lookUp(provider: Provider, model: string, nowMs: number): CachedModel {
  // Asked for the price of nothing, the library answers with the model and the prices that hold at that time.
  const found = calcPrice({}, model, { providerId: provider, timestamp: new Date(nowMs) });
  if (found === null) return { priced: null, untilMs: Number.POSITIVE_INFINITY };
  const { model: listed, model_price: price } = found;
  const untilMs = Array.isArray(listed.prices)
    ? (Math.floor(nowMs / MINUTE_MS) + 1) * MINUTE_MS
    : Number.POSITIVE_INFINITY;
  const card = libraryCards.get(price) ?? libraryCard(listed.id, price);
  if (card === null) return { priced: null, untilMs };
  libraryCards.set(price, card);
  const priced: PricedModel = {
    card,
    contextTokens: contextTokensOf(provider, model, listed.context_window),
    maxOutputTokens: maxOutputTokensOf(provider, model),
    declared: false,
  };
  return { priced, untilMs };
}

/** Null where a model is not billed by tokens. No price at all means that it is free. */
function libraryCard(id: string, price: ModelPrice): RateCard | null {
  const rates = new Map<Unit, Rate>();
  let priced = 0;
  for (const [key, value] of Object.entries(price)) {
    if (value === undefined) continue;
    priced += 1;
    const unit = UNIT_OF_PRICE_KEY.get(key);
    if (unit === undefined) {
      if (key.endsWith('_mtok')) return null;
      continue;
    }
    rates.set(unit, typeof value === 'number' ? flat(perMillion(value)) : tiered(value));
  }
  if (priced > 0 && !rates.has('input')) return null;
  return rateCard(id, rates);
}

function flat(microUsdPerMillion: number): Rate {
  return { microUsdPerMillion, tiers: [] };
}

function tiered(prices: {
  readonly base: number;
  readonly tiers: readonly { readonly start: number; readonly price: number }[];
}): Rate {
  return {
    microUsdPerMillion: perMillion(prices.base),
    tiers: prices.tiers
      .map((tier) => ({ aboveInputTokens: tier.start, microUsdPerMillion: perMillion(tier.price) }))
      .toSorted((a, b) => a.aboveInputTokens - b.aboveInputTokens),
  };
}

/** USD per million tokens to whole micro-USD: the library's floats carry dust in the last places, which must not round up. */
function perMillion(usd: number): number {
  const exact = usd * MICRO_USD_PER_USD;
  const nearest = Math.round(exact);
  return Math.abs(exact - nearest) < 1e-6 * Math.max(1, exact) ? nearest : Math.ceil(exact);
}
