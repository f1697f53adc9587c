// embedContent and batchEmbedContents. Input only; each content is read by itself.
import { accepted, type Result } from '../../denial.ts';
import { generation } from '../call.ts';
import { objectsOf, readBody } from '../fields.ts';
import { InputBound } from '../input-bound.ts';
import { priceModelled } from '../modelled.ts';
import type { Call, ReadContext, RouteRequest } from '../protocol.ts';
import { LIST_PRICE_PERMILLE } from '../rate-card.ts';
import { GeminiMeter } from './gemini-meter.ts';
import { modelDisagreement } from './generate.ts';
import { camelNamed } from './names.ts';
import { countContents } from './parts.ts';

/** Reads and prices embeddings of one content, or of several `requests`. */
export function readEmbed(
  request: RouteRequest,
  context: ReadContext,
  target: { readonly model: string; readonly batch: boolean },
): Result<Call> {
  const body = readBody(request.body);
  if (!body.ok) return body;
  const json = body.value;
  const { bounds } = context.policy;
  const modelled = priceModelled(json, target.model, context, 'google');
  if (!modelled.ok) return modelled;
  const { priced } = modelled.value;
  const input = new InputBound({ bounds, imageTokens: bounds.imageTokens, bodyBytes: request.body?.length ?? 0 });
  const requests = target.batch ? objectsOf(json.value['requests']) : [json.value];
  for (const one of requests) {
    const named = camelNamed(one);
    if (!named.ok) return named;
    const refusal = modelDisagreement(named.value['model'], target.model);
    if (refusal !== null) return refusal;
    const counted = countContents(named.value['content'], input);
    if (!counted.ok) return counted;
  }
  return accepted(
    generation({
      request,
      context,
      json,
      provider: 'google',
      action: target.batch ? 'batchEmbedContents' : 'embedContent',
      model: target.model,
      // Each content has a window of its own; a file in one of them can fill it.
      priced: { ...priced, contextTokens: priced.contextTokens * Math.max(1, requests.length) },
      stream: false,
      input,
      hostedUsesMax: null,
      readingsMax: 0,
      cacheWrites: [],
      windowed: true,
      worstPermille: LIST_PRICE_PERMILLE,
      usualPermille: LIST_PRICE_PERMILLE,
      extraMicroUsd: 0,
      output: null,
      hiddenOutput: false,
      always: [],
      warning: () => [],
      meter: (tariff) => new GeminiMeter(tariff, { feeOf: () => undefined, groundedPerQuery: false }),
    }),
  );
}
