// Embeddings: POST /v1/embeddings. Input only; each text is read by itself, so no context window bounds their sum.
import { accepted, type Result } from '../../denial.ts';
import { readAnswer } from '../answer.ts';
import { generation } from '../call.ts';
import { objectOf } from '../fields.ts';
import { InputBound } from '../input-bound.ts';
import { readModelled } from '../modelled.ts';
import type { Call, Meter, ReadContext, Reading, RouteRequest } from '../protocol.ts';
import { LIST_PRICE_PERMILLE } from '../rate-card.ts';
import { Tally, type Tariff } from '../tally.ts';
import { embeddingCounts } from './usage.ts';

/** Reads and prices a request for embeddings. */
export function readEmbeddings(request: RouteRequest, context: ReadContext): Result<Call> {
  const modelled = readModelled(request, context, 'openai');
  if (!modelled.ok) return modelled;
  const { json, model, priced } = modelled.value;
  const { bounds } = context.policy;
  const input = new InputBound({ bounds, imageTokens: bounds.imageTokens, bodyBytes: request.body?.length ?? 0 });
  const texts = json.value['input'];
  if (Array.isArray(texts)) input.messages(texts.length);
  return accepted(
    generation({
      request,
      context,
      json,
      provider: 'openai',
      action: 'embeddings',
      model,
      priced,
      stream: false,
      input,
      hostedUsesMax: null,
      readingsMax: 0,
      cacheWrites: [],
      windowed: false,
      worstPermille: LIST_PRICE_PERMILLE,
      usualPermille: LIST_PRICE_PERMILLE,
      extraMicroUsd: 0,
      output: null,
      hiddenOutput: false,
      always: [],
      warning: () => [],
      meter: (tariff) => new EmbeddingsMeter(tariff),
    }),
  );
}

class EmbeddingsMeter implements Meter {
  readonly #tally: Tally;

  constructor(tariff: Tariff) {
    this.#tally = new Tally(tariff);
  }

  event(): 'pass' {
    this.#tally.flag('event-unreadable');
    return 'pass';
  }

  answer(body: string): void {
    const { value, ambiguous } = readAnswer(body);
    const usage = objectOf(value?.['usage']);
    if (value === null) this.#tally.flag('answer-unreadable');
    this.#tally.model(value?.['model']);
    if (usage !== null) this.#tally.usage(ambiguous ? null : embeddingCounts(usage), true);
    this.#tally.end();
  }

  reading(): Reading {
    return this.#tally.reading();
  }
}
