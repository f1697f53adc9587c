// Meters a chat completion: one JSON object, or chunks with the usage in the last one before [DONE].
import type { MicroUsd } from '../../money.ts';
import { readAnswer } from '../answer.ts';
import { OUTPUT_AUDIO_CHARS_PER_TOKEN } from '../bounds.ts';
import { objectOf, objectsOf, textOf } from '../fields.ts';
import type { Meter, Reading, StreamEvent } from '../protocol.ts';
import type { JsonObject } from '../../json/body-json.ts';
import { Tally, type Tariff } from '../tally.ts';
import type { TierTerms } from './tier.ts';
import { chatCounts } from './usage.ts';

export interface ChatMeterOptions {
  /** The client did not ask for the usage chunk, so it does not see it. */
  readonly usageHidden: boolean;
  readonly tier: TierTerms;
  /** Charged once where the request searches the web: the answer does not say whether it did. */
  readonly searchFeeMicroUsd: MicroUsd;
}

export class ChatMeter implements Meter {
  readonly #tally: Tally;
  readonly #options: ChatMeterOptions;
  readonly #begun = new Set<string>();

  constructor(tariff: Tariff, options: ChatMeterOptions) {
    this.#tally = new Tally(tariff);
    this.#options = options;
    if (options.searchFeeMicroUsd > 0) this.#tally.fee('web_search', { microUsd: options.searchFeeMicroUsd });
  }

  event(event: StreamEvent): 'pass' | 'hide' {
    if (event.data === '[DONE]') {
      this.#tally.end();
      return 'pass';
    }
    const { value, ambiguous } = readAnswer(event.data);
    if (value === null) {
      this.#tally.text(event.data);
      this.#tally.flag('event-unreadable');
      return 'pass';
    }
    this.#chunk(value, 'delta', ambiguous);
    const usageOnly =
      Array.isArray(value['choices']) && value['choices'].length === 0 && objectOf(value['usage']) !== null;
    return usageOnly && this.#options.usageHidden ? 'hide' : 'pass';
  }

  answer(body: string): void {
    const { value, ambiguous } = readAnswer(body);
    if (value === null) {
      this.#tally.text(body);
      this.#tally.flag('answer-unreadable');
      return;
    }
    this.#chunk(value, 'message', ambiguous);
    this.#tally.end();
  }

  reading(): Reading {
    return this.#tally.reading();
  }

  #chunk(chunk: JsonObject, member: 'delta' | 'message', ambiguous: boolean): void {
    const tally = this.#tally;
    tally.model(chunk['model']);
    const permille = this.#options.tier.served(chunk['service_tier']);
    if (permille !== null) tally.terms(permille);
    if (objectOf(chunk['error']) !== null) {
      tally.fail();
      tally.end();
    }
    for (const choice of objectsOf(chunk['choices'])) {
      this.#begin(`choice ${String(choice['index'])}`);
      const generated = objectOf(choice[member]);
      if (generated !== null) this.#generated(generated, String(choice['index']));
    }
    const usage = objectOf(chunk['usage']);
    if (usage !== null) tally.usage(ambiguous ? null : chatCounts(usage), true);
  }

  #generated(generated: JsonObject, choice: string): void {
    const tally = this.#tally;
    for (const name of ['content', 'refusal', 'reasoning_content', 'reasoning']) tally.text(generated[name]);
    for (const call of [...objectsOf(generated['tool_calls']), { ...objectOf(generated['function_call']) }]) {
      const called = objectOf(call['function']) ?? objectOf(call['custom']) ?? call;
      if (textOf(called['name']) !== null) this.#begin(`call ${choice} ${String(call['index'] ?? call['id'])}`);
      for (const name of ['name', 'arguments', 'input']) tally.text(called[name]);
    }
    const audio = objectOf(generated['audio']);
    tally.text(audio?.['transcript']);
    const speech = textOf(audio?.['data']);
    if (speech !== null) tally.tokens(Math.ceil(speech.length / OUTPUT_AUDIO_CHARS_PER_TOKEN));
  }

  #begin(part: string): void {
    if (this.#begun.has(part)) return;
    this.#begun.add(part);
    this.#tally.frame();
  }
}
