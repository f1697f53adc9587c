// The first steps that every priced endpoint shares: strict JSON, a model, its price.
import { accepted, type Result } from '../denial.ts';
import { readBody, requiredModel, unpriced } from './fields.ts';
import type { Provider } from './models.ts';
import { priceOfModel, type PricedModel } from './prices.ts';
import type { ReadContext, RouteRequest } from './protocol.ts';
import type { StrictJson } from '../json/body-json.ts';

export interface Modelled {
  readonly json: StrictJson;
  readonly model: string;
  readonly priced: PricedModel;
}

/** Reads a body that names its model. */
export function readModelled(request: RouteRequest, context: ReadContext, provider: Provider): Result<Modelled> {
  const body = readBody(request.body);
  if (!body.ok) return body;
  const model = requiredModel(body.value.value);
  return model.ok ? priceModelled(body.value, model.value, context, provider) : model;
}

/** Prices a body whose model is named elsewhere. */
export function priceModelled(
  json: StrictJson,
  model: string,
  context: ReadContext,
  provider: Provider,
): Result<Modelled> {
  const priced = priceOfModel(context.policy, provider, model, context.nowMs);
  return priced === null ? unpriced(model) : accepted({ json, model, priced });
}
