// Meters a response: one JSON object, or events that end with response.completed, .incomplete or .failed.
import type { HostedToolBound } from '../../policy/policy.ts';
import { readAnswer } from '../answer.ts';
import { objectOf, objectsOf, statedCount, textOf } from '../fields.ts';
import type { Meter, Reading, StreamEvent } from '../protocol.ts';
import type { JsonObject } from '../../json/body-json.ts';
import { Tally, type Tariff } from '../tally.ts';
import type { TierTerms } from './tier.ts';
import { responseCounts } from './usage.ts';

export interface ResponsesMeterOptions {
  readonly tier: TierTerms;
  /** What one use of a hosted tool costs besides its tokens. */
  readonly feeOf: (tool: string) => HostedToolBound | undefined;
}

const LAST_EVENTS: ReadonlySet<unknown> = new Set(['response.completed', 'response.incomplete', 'response.failed']);

/** Output items that are billed per use, and the tool whose fee they cost. */
const TOOL_OF_ITEM: ReadonlyMap<string, string> = new Map([
  ['web_search_call', 'web_search'],
  ['file_search_call', 'file_search'],
  ['code_interpreter_call', 'code_interpreter'],
  ['shell_call', 'shell'],
  ['image_generation_call', 'image_generation'],
]);

export class ResponsesMeter implements Meter {
  readonly #tally: Tally;
  readonly #options: ResponsesMeterOptions;
  /** Uses seen, per tool, by what tells one billed use from another. */
  readonly #uses = new Map<string, Set<string>>();
  /** The preview of web search has a price of its own, and only the answer's list of tools tells them apart. */
  #searchTool = 'web_search';

  constructor(tariff: Tariff, options: ResponsesMeterOptions) {
    this.#tally = new Tally(tariff);
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
    const type = textOf(value['type']) ?? event.event ?? '';
    if (type.endsWith('.delta')) tally.text(value['delta']);
    else if (type === 'response.output_item.added') tally.frame();
    else if (type === 'response.output_item.done') this.#item(objectOf(value['item']), String(value['output_index']));
    else if (type === 'error') {
      tally.fail();
      tally.end();
    }
    const response = objectOf(value['response']);
    if (response !== null) this.#response(response, ambiguous, LAST_EVENTS.has(type));
    if (LAST_EVENTS.has(type)) tally.end();
    if (type === 'response.failed') tally.fail();
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
    for (const item of objectsOf(value['output'])) {
      tally.frame();
      for (const part of objectsOf(item['content'])) tally.text(part['text'] ?? part['refusal']);
      for (const name of ['name', 'arguments', 'input', 'code']) tally.text(item[name]);
    }
    this.#response(value, ambiguous, true);
    if (value['status'] === 'failed' || objectOf(value['error']) !== null) tally.fail();
    tally.end();
  }

  reading(): Reading {
    return this.#tally.reading();
  }

  #response(response: JsonObject, ambiguous: boolean, last: boolean): void {
    const tally = this.#tally;
    tally.model(response['model']);
    for (const tool of objectsOf(response['tools'])) {
      if (textOf(tool['type'])?.startsWith('web_search_preview') === true) this.#searchTool = 'web_search_preview';
    }
    // Before the end the tier is the one asked for, "auto" included.
    const permille = last ? this.#options.tier.served(response['service_tier']) : null;
    if (permille !== null) tally.terms(permille);
    for (const [index, item] of objectsOf(response['output']).entries()) this.#item(item, String(index));
    const searched = objectOf(objectOf(response['tool_usage'])?.['web_search']);
    const searches = statedCount(searched, 'num_requests');
    if (searches > 0) this.#fee(this.#searchTool, 'web_search', searches);
    const usage = objectOf(response['usage']);
    if (usage !== null) tally.usage(ambiguous ? null : responseCounts(usage), last);
  }

  #item(item: JsonObject | null, place: string): void {
    const type = textOf(item?.['type']);
    const tool = type === null ? undefined : TOOL_OF_ITEM.get(type);
    if (item === null || tool === undefined) return;
    const action = objectOf(item['action'])?.['type'];
    // Opening a page that was found, or searching in it, is part of the search.
    if (tool === 'web_search' && action !== undefined && action !== 'search') return;
    const uses = this.#uses.get(tool) ?? new Set<string>();
    // A container is billed once, however often it runs something.
    uses.add(textOf(item['container_id']) ?? textOf(item['id']) ?? place);
    this.#uses.set(tool, uses);
    this.#fee(tool === 'web_search' ? this.#searchTool : tool, tool, uses.size);
  }

  #fee(tool: string, key: string, uses: number): void {
    const fee = this.#options.feeOf(tool)?.microUsdPerUse ?? 0;
    this.#tally.fee(key, { microUsd: uses * fee });
  }
}
