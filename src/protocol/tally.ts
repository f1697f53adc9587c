// What one answer has been seen to cost so far, whatever its wire format: the provider's own counts, the bytes that
// passed, the tools used. Trusts no count that contradicts itself. Must not parse anything.
import { MAX_MICRO_USD, MAX_TOKENS } from '../limits.ts';
import { microUsd, type MicroUsd } from '../money.ts';
import type { Usage } from '../rpc/session-rpc.ts';
import { MAX_BYTES_PER_TOKEN, OUTPUT_FRAME_TOKENS } from './bounds.ts';
import { isModelId } from './fields.ts';
import type { Reading } from './protocol.ts';
import { costAt, LIST_PRICE_PERMILLE, type Counts } from './rate-card.ts';

/** How an exchange is priced once something is known about who served it. */
export interface Tariff {
  /** Price of `counts` at the model and terms that served it, and at least at the model asked for. */
  price(counts: Counts, served: Served): MicroUsd;
  /** Whether a model's name in an answer is the model asked for, or a dated version of it. */
  isAsked(servedModel: string): boolean;
  /** Until an answer states its terms, the dearest that can serve it, in thousandths of the list price. */
  readonly worstPermille: number;
  /** Where an answer never states its terms. */
  readonly usualPermille: number;
  /** The worst case that was held for everything but output, fees included. */
  readonly fixedMicroUsd: MicroUsd;
  readonly inputTokens: number;
  /** The dearest that one million output tokens can be. */
  readonly outputMicroUsdPerMillion: number;
  /** Whether output can be generated that the answer does not show. */
  readonly hiddenOutput: boolean;
}

export interface Served {
  readonly model: string | null;
  /** Thousandths of the list price. */
  readonly permille: number;
}

interface Fee {
  readonly microUsd: number;
  readonly tokens: number;
}

/** Counts as stated, or null where they cannot be trusted. */
export type StatedCounts = Counts | null;

/** Adds up one answer. Its methods may be called in any order, as events come. */
export class Tally {
  readonly #tariff: Tariff;
  #stated: Counts | null = null;
  #final = false;
  #ended = false;
  #failed = false;
  #malformed = false;
  #servedModel: string | null = null;
  #permille: number | null = null;
  #bytes = 0;
  #tokens = 0;
  #leastMicroUsd = 0;
  #leastTokens = 0;
  readonly #fees = new Map<string, Fee>();
  readonly #flags = new Set<string>();

  constructor(tariff: Tariff) {
    this.#tariff = tariff;
  }

  /** The model's name in the answer. */
  model(name: unknown): void {
    if (typeof name !== 'string' || name === '') return;
    // What is no id is not kept: it would reach the ledger, at whatever length an upstream likes.
    const isKept = isModelId(name);
    if (isKept) this.#servedModel = name;
    if (!isKept || !this.#tariff.isAsked(name)) this.#flags.add('model-substituted');
  }

  /** The terms that served the answer, in thousandths of the list price. */
  terms(permille: number): void {
    this.#permille = permille;
  }

  /** Generated text: every UTF-8 byte can have been a token. */
  text(generated: unknown): void {
    if (typeof generated !== 'string' || generated === '') return;
    this.#bytes += utf8Length(generated);
    this.#more();
  }

  /** A message or tool call began: its framing is generated too. */
  frame(): void {
    this.tokens(OUTPUT_FRAME_TOKENS);
  }

  /** Generated output that has no text: an upper bound of its tokens. */
  tokens(bound: number): void {
    this.#tokens += bound;
    this.#more();
  }

  /** The provider's counts so far; `final` where it says that no more will follow. */
  usage(counts: StatedCounts, final: boolean): void {
    if (counts === null) {
      this.#flags.add('usage-malformed');
      this.#malformed = true;
      this.#final = false;
      return;
    }
    if (this.#stated !== null && counts.output < this.#stated.output) this.#flags.add('usage-lowered');
    if (this.#final && final && !sameCounts(this.#stated, counts)) this.#flags.add('usage-repeated');
    this.#stated = counts;
    this.#final = final && !this.#malformed;
    this.#leastMicroUsd = Math.max(this.#leastMicroUsd, this.#tariff.price(counts, this.#served('usual')));
    this.#leastTokens = Math.max(this.#leastTokens, counts.input + counts.output);
  }

  /** A tool's uses so far, by a key of its own: the latest sum replaces the one before, unless it is less. */
  fee(key: string, amount: { readonly microUsd: number; readonly tokens?: number }): void {
    const before = this.#fees.get(key);
    this.#fees.set(key, {
      microUsd: Math.max(before?.microUsd ?? 0, amount.microUsd),
      tokens: Math.max(before?.tokens ?? 0, amount.tokens ?? 0),
    });
  }

  end(): void {
    this.#ended = true;
  }

  fail(): void {
    this.#failed = true;
  }

  flag(fact: string): void {
    this.#flags.add(fact);
  }

  reading(): Reading {
    const stated = this.#stated;
    const fees = this.#sumOfFees();
    const bytesBound = this.#bytes + this.#tokens;
    const fewest = Math.ceil(this.#bytes / MAX_BYTES_PER_TOKEN);
    const flags = new Set(this.#flags);
    let leastMicroUsd = this.#leastMicroUsd;
    let leastTokens = this.#leastTokens;
    let statedMicroUsd = 0;
    if (stated !== null) {
      statedMicroUsd = this.#tariff.price(stated, this.#served('usual')) + fees.microUsd;
      if (this.#final && stated.output < fewest) {
        flags.add('usage-implausible');
        leastMicroUsd = Math.max(
          leastMicroUsd,
          this.#tariff.price({ ...stated, output: fewest }, this.#served('usual')),
        );
        leastTokens = Math.max(leastTokens, stated.input + fewest);
      }
    }
    const least = capped(leastMicroUsd + fees.microUsd);
    return {
      final: this.#final,
      ended: this.#ended,
      failed: this.#failed,
      stated: stated === null ? null : usageOf(stated),
      statedMicroUsd: capped(statedMicroUsd),
      statedTokens: stated === null ? 0 : stated.input + stated.output + fees.tokens,
      leastMicroUsd: least,
      leastTokens: leastTokens + fees.tokens,
      outputTokensBound: bytesBound,
      ...this.#metered(bytesBound, fees, least, leastTokens),
      hiddenOutput: this.#tariff.hiddenOutput,
      servedModel: this.#servedModel,
      flags: [...flags],
    };
  }

  #metered(
    bytesBound: number,
    fees: Fee,
    leastMicroUsd: number,
    leastTokens: number,
  ): { readonly meteredMicroUsd: MicroUsd; readonly meteredTokens: number } {
    const stated = this.#stated;
    if (stated === null || this.#malformed) {
      const output = costAt(bytesBound, this.#tariff.outputMicroUsdPerMillion, LIST_PRICE_PERMILLE);
      return {
        meteredMicroUsd: capped(Math.max(leastMicroUsd, this.#tariff.fixedMicroUsd + output)),
        meteredTokens: Math.max(leastTokens + fees.tokens, this.#tariff.inputTokens + bytesBound),
      };
    }
    const output = Math.max(stated.output, bytesBound);
    const price = this.#tariff.price({ ...stated, output }, this.#served('worst')) + fees.microUsd;
    return {
      meteredMicroUsd: capped(Math.max(leastMicroUsd, price)),
      meteredTokens: Math.max(leastTokens, stated.input + output) + fees.tokens,
    };
  }

  #served(unstated: 'usual' | 'worst'): Served {
    const otherwise = unstated === 'usual' ? this.#tariff.usualPermille : this.#tariff.worstPermille;
    return { model: this.#servedModel, permille: this.#permille ?? otherwise };
  }

  #sumOfFees(): Fee {
    let sum: Fee = { microUsd: 0, tokens: 0 };
    for (const fee of this.#fees.values()) {
      sum = { microUsd: capped(sum.microUsd + fee.microUsd), tokens: Math.min(MAX_TOKENS, sum.tokens + fee.tokens) };
    }
    return sum;
  }

  /** What was stated before more came was not the last word. */
  #more(): void {
    this.#final = false;
  }
}

function usageOf(counts: Counts): Usage {
  return {
    inputTokens: counts.input,
    outputTokens: counts.output,
    cacheReadTokens: counts.cacheRead,
    cacheWriteTokens: counts.cacheWrite,
    reasoningTokens: counts.reasoning,
  };
}

function sameCounts(a: Counts | null, b: Counts): boolean {
  return (
    a !== null &&
    a.input === b.input &&
    a.output === b.output &&
    a.cacheRead === b.cacheRead &&
    a.cacheWrite === b.cacheWrite
  );
}

function capped(amount: number): MicroUsd {
  return microUsd(Math.min(amount, MAX_MICRO_USD));
}

/** How many bytes a text takes as UTF-8. A lone surrogate counts as the three bytes of its replacement. */
export function utf8Length(text: string): number {
  let bytes = text.length;
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code < 0x80) continue;
    bytes += code < 0x800 ? 1 : code >= 0xd800 && code <= 0xdfff ? 1 : 2;
  }
  return bytes;
}
