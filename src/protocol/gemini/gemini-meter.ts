// Meters an answer of Gemini's: one JSON object, an array of them, or a stream of them; each states running totals.
import type { HostedToolBound } from '../../policy/policy.ts';
import { readAnswer, readAnswers } from '../answer.ts';
import { OUTPUT_AUDIO_CHARS_PER_TOKEN, OUTPUT_IMAGE_TOKENS } from '../bounds.ts';
import { objectOf, objectsOf, statedCount, textOf } from '../fields.ts';
import type { Meter, Reading, StreamEvent } from '../protocol.ts';
import { LIST_PRICE_PERMILLE, NO_TOKENS } from '../rate-card.ts';
import type { JsonObject } from '../../json/body-json.ts';
import { Tally, type Tariff } from '../tally.ts';
import { servedPermille } from './tier.ts';
import { geminiCounts } from './usage.ts';

export interface GeminiMeterOptions {
  readonly feeOf: (tool: string) => HostedToolBound | undefined;
  /** Grounding is billed per query from the third generation on, and once per prompt before. */
  readonly groundedPerQuery: boolean;
}

export class GeminiMeter implements Meter {
  readonly #tally: Tally;
  readonly #tariff: Tariff;
  readonly #options: GeminiMeterOptions;
  readonly #begun = new Set<string>();
  readonly #finished = new Set<string>();
  readonly #queries = new Set<string>();
  #permille: number | null = null;

  constructor(tariff: Tariff, options: GeminiMeterOptions) {
    this.#tally = new Tally(tariff);
    this.#tariff = tariff;
    this.#options = options;
  }

  event(event: StreamEvent): 'pass' {
    this.#read(event.data, false);
    return 'pass';
  }

  answer(body: string): void {
    if (this.#read(body, true)) this.#tally.end();
  }

  reading(): Reading {
    return this.#tally.reading();
  }

  /** False where the text is nothing that Gemini answers. */
  #read(text: string, whole: boolean): boolean {
    const { value, ambiguous } = readAnswer(text);
    if (value !== null) {
      this.#chunk(value, { ambiguous, whole });
      return true;
    }
    // Without alt=sse a stream is an array of what would be its events.
    const chunks = whole ? readAnswers(text) : null;
    if (chunks === null) {
      this.#tally.text(text);
      this.#tally.flag(whole ? 'answer-unreadable' : 'event-unreadable');
      return false;
    }
    for (const chunk of chunks) {
      if (chunk.value !== null) this.#chunk(chunk.value, { ambiguous: chunk.ambiguous, whole });
    }
    return true;
  }

  #chunk(chunk: JsonObject, { ambiguous, whole }: { readonly ambiguous: boolean; readonly whole: boolean }): void {
    const tally = this.#tally;
    tally.model(chunk['modelVersion']);
    if (objectOf(chunk['error']) !== null) {
      tally.fail();
      tally.end();
    }
    for (const candidate of objectsOf(chunk['candidates'])) this.#candidate(candidate);
    const blocked = objectOf(chunk['promptFeedback'])?.['blockReason'] !== undefined;
    const finished = blocked || (this.#finished.size > 0 && this.#finished.size >= this.#begun.size);
    const usage = objectOf(chunk['usageMetadata']);
    if (usage !== null && Object.keys(usage).length > 0) {
      this.#usage(usage, ambiguous, whole || finished);
    }
    if (finished) tally.end();
  }

  #usage(usage: JsonObject, ambiguous: boolean, final: boolean): void {
    const tally = this.#tally;
    const permille = servedPermille(usage['serviceTier']);
    if (permille !== null) {
      this.#permille = permille;
      tally.terms(permille);
    }
    // What tools read is billed as input beside the prompt.
    const read = statedCount(usage, 'toolUsePromptTokenCount');
    if (read > 0) {
      const served = { model: null, permille: this.#permille ?? LIST_PRICE_PERMILLE };
      tally.fee('tool-input', { microUsd: this.#tariff.price({ ...NO_TOKENS, input: read }, served), tokens: read });
    }
    tally.usage(ambiguous || Number.isNaN(read) ? null : geminiCounts(usage), final);
  }

  #candidate(candidate: JsonObject): void {
    const tally = this.#tally;
    const place = JSON.stringify(candidate['index'] ?? 0);
    if (!this.#begun.has(place)) {
      this.#begun.add(place);
      tally.frame();
    }
    for (const part of objectsOf(objectOf(candidate['content'])?.['parts'])) this.#part(part);
    if (textOf(candidate['finishReason']) !== null) this.#finished.add(place);
    const grounding = objectOf(candidate['groundingMetadata']);
    if (grounding !== null) this.#grounding(grounding);
  }

  #part(part: JsonObject): void {
    const tally = this.#tally;
    tally.text(part['text']);
    for (const name of ['functionCall', 'toolCall', 'executableCode']) {
      const made = objectOf(part[name]);
      if (made === null) continue;
      tally.frame();
      tally.text(JSON.stringify(made));
    }
    const media = objectOf(part['inlineData']);
    if (media === null) return;
    const spoken = textOf(media['mimeType'])?.startsWith('audio/') === true;
    const chars = textOf(media['data'])?.length ?? 0;
    tally.tokens(spoken ? Math.ceil(chars / OUTPUT_AUDIO_CHARS_PER_TOKEN) : OUTPUT_IMAGE_TOKENS);
  }

  #grounding(grounding: JsonObject): void {
    const queries = grounding['webSearchQueries'];
    if (Array.isArray(queries)) for (const query of queries) this.#queries.add(String(query));
    if (this.#queries.size > 0) {
      const { groundedPerQuery } = this.#options;
      const fee = this.#fee(groundedPerQuery ? 'googleSearch' : 'googleSearchRetrieval');
      this.#tally.fee('google-search', { microUsd: fee * (groundedPerQuery ? this.#queries.size : 1) });
    }
    const places = objectsOf(grounding['groundingChunks']).some((chunk) => objectOf(chunk['maps']) !== null);
    if (places) this.#tally.fee('google-maps', { microUsd: this.#fee('googleMaps') });
  }

  #fee(tool: string): number {
    return this.#options.feeOf(tool)?.microUsdPerUse ?? 0;
  }
}
