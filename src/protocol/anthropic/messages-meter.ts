// Meters a message: one JSON object, or message_start, deltas with running totals, and message_stop.
import type { HostedToolBound } from '../../policy/policy.ts';
import { readAnswer } from '../answer.ts';
import { objectOf, objectsOf, statedCount, textOf } from '../fields.ts';
import type { PricedModel } from '../prices.ts';
import type { Meter, Reading, StreamEvent } from '../protocol.ts';
import { costOf } from '../rate-card.ts';
import type { JsonObject } from '../../json/body-json.ts';
import { Tally, type Tariff } from '../tally.ts';
import type { PriceTerms } from './terms.ts';
import { messageCounts, otherPasses } from './usage.ts';

export interface MessagesMeterOptions {
  readonly terms: PriceTerms;
  readonly feeOf: (tool: string) => HostedToolBound | undefined;
  /** The price of another model that took part; of the request's own for null, or where nobody prices it. */
  readonly priceOf: (model: string | null) => PricedModel;
}

export class MessagesMeter implements Meter {
  readonly #tally: Tally;
  readonly #tariff: Tariff;
  readonly #options: MessagesMeterOptions;
  /** Running totals: each event states only what has changed. */
  #usage: JsonObject = {};
  #ambiguous = false;
  #searches = 0;

  constructor(tariff: Tariff, options: MessagesMeterOptions) {
    this.#tally = new Tally(tariff);
    this.#tariff = tariff;
    this.#options = options;
  }

  event(event: StreamEvent): 'pass' {
    const tally = this.#tally;
    const { value, ambiguous } = readAnswer(event.data);
    if (value === null) {
      tally.text(event.data);
      tally.flag('event-unreadable');
      return 'pass';
    }
    this.#ambiguous ||= ambiguous;
    switch (textOf(value['type']) ?? event.event ?? '') {
      case 'message_start': {
        const message = objectOf(value['message']);
        tally.model(message?.['model']);
        this.#counts(objectOf(message?.['usage']), false);
        break;
      }
      case 'content_block_start':
        this.#block(objectOf(value['content_block']));
        break;
      case 'content_block_delta': {
        const delta = objectOf(value['delta']);
        for (const name of ['text', 'thinking', 'partial_json']) tally.text(delta?.[name]);
        break;
      }
      case 'message_delta':
        this.#counts(objectOf(value['usage']), true);
        break;
      case 'message_stop':
        tally.end();
        break;
      case 'error':
        tally.fail();
        tally.end();
        break;
    }
    return 'pass';
  }

  answer(body: string): void {
    const tally = this.#tally;
    const { value, ambiguous } = readAnswer(body);
    if (value === null) {
      tally.text(body);
      tally.flag('answer-unreadable');
      return;
    }
    this.#ambiguous ||= ambiguous;
    tally.model(value['model']);
    for (const block of objectsOf(value['content'])) this.#block(block);
    this.#counts(objectOf(value['usage']), true);
    if (value['type'] === 'error') tally.fail();
    tally.end();
  }

  reading(): Reading {
    return this.#tally.reading();
  }

  #block(block: JsonObject | null): void {
    const tally = this.#tally;
    const type = textOf(block?.['type']);
    // Results are put in by the provider's tools; they are input, not output.
    if (block === null || type === null || type.endsWith('_result')) return;
    tally.frame();
    for (const name of ['text', 'thinking', 'name']) tally.text(block[name]);
    const input = objectOf(block['input']);
    if (input !== null && Object.keys(input).length > 0) tally.text(JSON.stringify(input));
    if (type !== 'server_tool_use') return;
    const tool = block['name'];
    if (tool === 'web_search') {
      this.#searches += 1;
      tally.fee('web_search', { microUsd: this.#searches * this.#fee('web_search') });
    }
    // One container serves all executions of an answer, and is billed for one stretch of time.
    if (textOf(tool)?.endsWith('code_execution') === true)
      tally.fee('code_execution', { microUsd: this.#fee('code_execution') });
  }

  #counts(stated: JsonObject | null, final: boolean): void {
    if (stated === null) return;
    const tally = this.#tally;
    const known = Object.fromEntries(Object.entries(stated).filter(([, count]) => count !== null));
    this.#usage = { ...this.#usage, ...known };
    const permille = this.#options.terms.served(this.#usage);
    if (permille !== null) tally.terms(permille);
    const tools = objectOf(this.#usage['server_tool_use']);
    const searches = statedCount(tools, 'web_search_requests');
    if (searches > 0) tally.fee('web_search', { microUsd: searches * this.#fee('web_search') });
    this.#otherPasses(permille ?? this.#tariff.usualPermille);
    tally.usage(this.#ambiguous || Number.isNaN(searches) ? null : messageCounts(this.#usage), final);
  }

  #otherPasses(permille: number): void {
    const passes = otherPasses(this.#usage);
    if (passes === null) {
      this.#tally.flag('usage-malformed');
      return;
    }
    let microUsd = 0;
    let tokens = 0;
    for (const { model, counts } of passes) {
      microUsd += costOf(this.#options.priceOf(model).card, counts, permille);
      tokens += counts.input + counts.output;
    }
    if (tokens > 0) this.#tally.fee('other-passes', { microUsd, tokens });
  }

  #fee(tool: string): number {
    return this.#options.feeOf(tool)?.microUsdPerUse ?? 0;
  }
}
