// Prices of one model as whole micro-USD per million tokens, and the sums made with them. All arithmetic is on integers;
// a cost is rounded up once. Must not know where prices come from.
import { MAX_MICRO_USD } from '../limits.ts';
import { microUsd, type MicroUsd } from '../money.ts';

/**
 * Tokens of one exchange, each count a total: `input` includes every cached, audio, image and video token, `output` every
 * reasoning, audio and image token. A count that a provider does not state is 0.
 */
export interface Counts {
  readonly input: number;
  readonly cacheRead: number;
  readonly cacheWrite: number;
  readonly cacheWrite5m: number;
  readonly cacheWrite1h: number;
  readonly inputAudio: number;
  readonly cacheReadAudio: number;
  readonly inputImage: number;
  readonly cacheReadImage: number;
  readonly inputVideo: number;
  readonly cacheReadVideo: number;
  readonly output: number;
  readonly reasoning: number;
  readonly outputAudio: number;
  readonly outputImage: number;
  readonly outputVideo: number;
}

export type Unit = keyof Counts;

export const NO_TOKENS: Counts = {
  input: 0,
  cacheRead: 0,
  cacheWrite: 0,
  cacheWrite5m: 0,
  cacheWrite1h: 0,
  inputAudio: 0,
  cacheReadAudio: 0,
  inputImage: 0,
  cacheReadImage: 0,
  inputVideo: 0,
  cacheReadVideo: 0,
  output: 0,
  reasoning: 0,
  outputAudio: 0,
  outputImage: 0,
  outputVideo: 0,
};

/** The traits of each unit: a unit with all traits of another, and more, is a part of it. Most specific first. */
const TRAITS: ReadonlyMap<Unit, readonly string[]> = new Map<Unit, readonly string[]>([
  ['cacheReadAudio', ['in', 'read', 'audio']],
  ['cacheReadImage', ['in', 'read', 'image']],
  ['cacheReadVideo', ['in', 'read', 'video']],
  ['cacheWrite5m', ['in', 'write', '5m']],
  ['cacheWrite1h', ['in', 'write', '1h']],
  ['cacheRead', ['in', 'read']],
  ['cacheWrite', ['in', 'write']],
  ['inputAudio', ['in', 'audio']],
  ['inputImage', ['in', 'image']],
  ['inputVideo', ['in', 'video']],
  ['reasoning', ['out', 'reasoning']],
  ['outputAudio', ['out', 'audio']],
  ['outputImage', ['out', 'image']],
  ['outputVideo', ['out', 'video']],
  ['input', ['in']],
  ['output', ['out']],
]);

/** A price that may step up with the size of the whole input. */
export interface Rate {
  readonly microUsdPerMillion: number;
  /** Ascending: applies to all tokens once the input is larger than `aboveInputTokens`. */
  readonly tiers: readonly { readonly aboveInputTokens: number; readonly microUsdPerMillion: number }[];
}

export interface RateCard {
  /** Whose prices these are: the price library's model id, or the policy's glob. */
  readonly id: string;
  readonly lines: readonly RateLine[];
}

interface RateLine {
  readonly unit: Unit;
  readonly rate: Rate;
  /** Priced units that are parts of this one, so that their tokens are not paid twice. */
  readonly parts: readonly Unit[];
}

/** Thousandths: 1000 is the list price. */
export const LIST_PRICE_PERMILLE = 1_000;

/** Builds a card from the units that have a price; other units cost what the unit they are part of costs. */
export function rateCard(id: string, rates: ReadonlyMap<Unit, Rate>): RateCard {
  const lines: RateLine[] = [];
  for (const [unit, traits] of TRAITS) {
    const rate = rates.get(unit);
    if (rate === undefined) continue;
    const parts = lines
      .filter((line) => traits.every((trait) => TRAITS.get(line.unit)?.includes(trait)))
      .map((line) => line.unit);
    lines.push({ unit, rate, parts });
  }
  return { id, lines };
}

/** The price of an exchange, rounded up once, at `permille` thousandths of the list price. */
export function costOf(card: RateCard, counts: Counts, permille: number): MicroUsd {
  const own = new Map<Unit, number>();
  let sum = 0n;
  for (const { unit, rate, parts } of card.lines) {
    let tokens = counts[unit];
    for (const part of parts) tokens -= own.get(part) ?? 0;
    // Parts beyond their whole are a contradiction; they are paid at their own price and the whole is not paid below zero.
    if (tokens <= 0) continue;
    own.set(unit, tokens);
    sum += BigInt(tokens) * BigInt(rateAt(rate, counts.input));
  }
  return roundedUp(sum * BigInt(permille));
}

/** What one million input tokens cost at most: `units` are those that can occur. */
export function worstRate(card: RateCard, units: readonly Unit[], inputTokens: number): number {
  let worst = 0;
  for (const { unit, rate } of card.lines) if (units.includes(unit)) worst = Math.max(worst, rateAt(rate, inputTokens));
  return worst;
}

/** `tokens` at a rate, at `permille` thousandths of it, rounded up. */
export function costAt(tokens: number, microUsdPerMillion: number, permille: number): MicroUsd {
  return roundedUp(BigInt(tokens) * BigInt(microUsdPerMillion) * BigInt(permille));
}

/** A rate at `permille` thousandths, rounded up to whole micro-USD per million. */
export function scaledRate(microUsdPerMillion: number, permille: number): number {
  return Math.ceil((microUsdPerMillion * permille) / LIST_PRICE_PERMILLE);
}

function rateAt(rate: Rate, inputTokens: number): number {
  let at = rate.microUsdPerMillion;
  for (const tier of rate.tiers) if (inputTokens > tier.aboveInputTokens) at = tier.microUsdPerMillion;
  return at;
}

/** From micro-USD × 10^-9 to whole micro-USD. Nothing costs more than what the ledger can count. */
function roundedUp(billionths: bigint): MicroUsd {
  const whole = (billionths + 999_999_999n) / 1_000_000_000n;
  return microUsd(whole > BigInt(MAX_MICRO_USD) ? MAX_MICRO_USD : Number(whole));
}
