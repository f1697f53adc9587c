import { calcPrice, findProvider } from '@pydantic/genai-prices';
import { describe, expect, it } from 'vitest';
import { MAX_MICRO_USD, MAX_TOKENS } from '../../src/limits.ts';
import { MAX_CACHED_MODELS } from '../../src/protocol/bounds.ts';
import { globMatches } from '../../src/protocol/glob.ts';
import { priceOfModel } from '../../src/protocol/prices.ts';
import { costOf, NO_TOKENS, worstRate, type Counts } from '../../src/protocol/rate-card.ts';
import type { PriceOverride } from '../../src/policy/policy.ts';
import { contextFor, NOW_MS } from './fixtures.ts';

const { policy } = contextFor('openai');
const PROVIDERS = ['openai', 'anthropic', 'google'] as const;

const USAGES: readonly Counts[] = [
  { ...NO_TOKENS },
  { ...NO_TOKENS, input: 1 },
  { ...NO_TOKENS, input: 1_000, output: 333 },
  { ...NO_TOKENS, input: 12_345, cacheRead: 12_000, output: 77 },
  { ...NO_TOKENS, input: 300_001, cacheRead: 100_000, output: 5_000 },
  {
    ...NO_TOKENS,
    input: 50_000,
    cacheRead: 20_000,
    cacheWrite: 10_000,
    cacheWrite1h: 4_000,
    cacheWrite5m: 6_000,
    output: 9,
  },
  { ...NO_TOKENS, input: 900, inputAudio: 500, output: 100, outputAudio: 60, reasoning: 10 },
  { ...NO_TOKENS, input: 900, inputImage: 500, inputVideo: 100, output: 1_300, outputImage: 1_290 },
];

function libraryUsage(counts: Counts): Record<string, number> {
  return {
    input_tokens: counts.input,
    cache_read_tokens: counts.cacheRead,
    cache_write_tokens: counts.cacheWrite,
    cache_write_5m_tokens: counts.cacheWrite5m,
    cache_write_1h_tokens: counts.cacheWrite1h,
    input_audio_tokens: counts.inputAudio,
    cache_audio_read_tokens: counts.cacheReadAudio,
    input_image_tokens: counts.inputImage,
    cache_image_read_tokens: counts.cacheReadImage,
    input_video_tokens: counts.inputVideo,
    cache_video_read_tokens: counts.cacheReadVideo,
    output_tokens: counts.output,
    output_reasoning_tokens: counts.reasoning,
    output_audio_tokens: counts.outputAudio,
    output_image_tokens: counts.outputImage,
    output_video_tokens: counts.outputVideo,
  };
}

function override(match: string, rate: number): PriceOverride {
  return {
    match,
    inputMicroUsdPerMillion: rate,
    outputMicroUsdPerMillion: rate,
    cachedInputMicroUsdPerMillion: null,
    cacheWriteMicroUsdPerMillion: null,
    contextTokens: 1_000,
    maxOutputTokens: 100,
  };
}

describe('the price book', () => {
  it.each(PROVIDERS)("agrees with the price library on all of %s's models, rounded up once", (providerId) => {
    const ids = findProvider({ providerId })?.models.map(({ id }) => id) ?? [];
    expect(ids.length).toBeGreaterThan(10);
    for (const id of ids) {
      const priced = priceOfModel(policy, providerId, id, NOW_MS);
      if (priced === null) continue;
      for (const counts of USAGES) {
        const library = calcPrice(libraryUsage(counts), id, { providerId, timestamp: new Date(NOW_MS) });
        const exact = (library?.total_price ?? Number.NaN) * 1_000_000;
        const cost = costOf(priced.card, counts, 1_000);
        expect(cost - exact, `${id} ${JSON.stringify(counts)}`).toBeGreaterThan(-1e-6);
        expect(cost - exact, `${id} ${JSON.stringify(counts)}`).toBeLessThan(1 + 1e-6);
      }
    }
  });

  const unpriced = ['gpt-nobody', '', 'claude-nobody', 'whisper-1'];
  it.each(unpriced)('prices no "%s"', (model) => {
    expect(priceOfModel(policy, 'openai', model, NOW_MS)).toBeNull();
  });

  it('follows prices that change by date', () => {
    const before = priceOfModel(policy, 'openai', 'o3', Date.UTC(2025, 5, 1));
    const after = priceOfModel(policy, 'openai', 'o3', Date.UTC(2025, 6, 1));
    const rate = (priced: typeof before): number => worstRate(priced?.card ?? { id: '', lines: [] }, ['output'], 0);
    expect(rate(before)).toBe(40_000_000);
    expect(rate(after)).toBe(8_000_000);
    expect(rate(priceOfModel(policy, 'openai', 'o3', Date.UTC(2025, 5, 1)))).toBe(40_000_000);
  });

  it('takes the policy before the library, the first match of several', () => {
    const own = contextFor('openai', { prices: [override('gpt-4o*', 7), override('*', 9)] }).policy;
    const cost = (model: string): number =>
      costOf(
        priceOfModel(own, 'openai', model, NOW_MS)?.card ?? { id: '', lines: [] },
        { ...NO_TOKENS, input: 1_000_000 },
        1_000,
      );
    expect(cost('gpt-4o-mini')).toBe(7);
    expect(cost('anything')).toBe(9);
  });

  it('keeps its answers when more models are asked for than it remembers', () => {
    for (let index = 0; index < MAX_CACHED_MODELS + 10; index += 1)
      priceOfModel(policy, 'openai', `model-${index}`, NOW_MS);
    expect(priceOfModel(policy, 'openai', 'gpt-4o', NOW_MS)?.card.id).toBe('gpt-4o');
  });

  it('prices usage beyond all measure at the most that can be counted', () => {
    const card = priceOfModel(policy, 'openai', 'gpt-4o', NOW_MS)?.card ?? { id: '', lines: [] };
    expect(costOf(card, { ...NO_TOKENS, input: MAX_TOKENS, output: MAX_TOKENS }, 1_000)).toBe(MAX_MICRO_USD);
  });

  it('never pays the same token twice when parts contradict their whole', () => {
    const card = priceOfModel(policy, 'openai', 'gpt-4o', NOW_MS)?.card ?? { id: '', lines: [] };
    expect(costOf(card, { ...NO_TOKENS, input: 10, cacheRead: 20 }, 1_000)).toBe(25);
  });
});

describe('a glob', () => {
  it.each([
    ['gpt-4o', 'gpt-4o', true],
    ['gpt-4o', 'gpt-4o-mini', false],
    ['gpt-4o*', 'gpt-4o-mini', true],
    ['*', '', true],
    ['*-mini', 'gpt-4o-mini', true],
    ['a*b*c', 'a-b-c', true],
    ['a*b*c', 'a-c-b', false],
    ['aa*aa', 'aaa', false],
    ['.*', 'gpt', false],
  ])('%s on %s: %s', (glob, text, expected) => {
    expect(globMatches(glob, text)).toBe(expected);
  });
});
