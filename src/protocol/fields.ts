// Typed reading of members of a parsed JSON value. Says what is missing or of the wrong kind; must not know any protocol.
import { refused, type Denial, type Result, accepted } from '../denial.ts';
import { MAX_TOKENS } from '../limits.ts';
import { isJsonObject, parseStrictJson, type JsonObject, type StrictJson } from '../json/body-json.ts';

/** The body as strict JSON, or 400. */
export function readBody(body: Uint8Array | null): Result<StrictJson> {
  if (body === null) return refused('bad-request', 'The request has no body.');
  const parsed = parseStrictJson(body);
  return parsed.ok ? accepted(parsed.json) : refused('bad-request', parsed.message);
}

/** A count in a request: null when absent or null, a whole number from `least` up, or a refusal. */
export function optionalCount(object: JsonObject, name: string, least: number): Result<number | null> {
  const value = object[name];
  if (value === undefined || value === null) return accepted(null);
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= MAX_TOKENS)
    return accepted(value);
  return refused('bad-request', `"${name}" must be a whole number of at least ${least}.`);
}

/** Several counts at once, by name with the least that each may be; the first refusal where one is none. */
export function optionalCounts<Name extends string>(
  object: JsonObject,
  least: Readonly<Record<Name, number>>,
): Result<Readonly<Record<Name, number | null>>> {
  const counts: Partial<Record<Name, number | null>> = {};
  for (const name in least) {
    const count = optionalCount(object, name, least[name]);
    if (!count.ok) return count;
    counts[name] = count.value;
  }
  return accepted(counts as Readonly<Record<Name, number | null>>);
}

/** Model ids reach URLs, logs and the ledger. The longest in use, of fine-tuned models, have about 80 characters. */
const MODEL_ID = /^[\x21-\x7e]{1,256}$/;

/** Whether this is the id of a model, as a request or an answer may name one. */
export function isModelId(value: unknown): value is string {
  return typeof value === 'string' && MODEL_ID.test(value);
}

/** The `model` of a request, or 400. */
export function requiredModel(object: JsonObject): Result<string> {
  const value = object['model'];
  return isModelId(value) ? accepted(value) : refused('bad-request', '"model" must be the id of a model.');
}

/** Why a request for this model is refused: neither the policy nor the price library prices it. */
export function unpriced(model: string): { readonly ok: false; readonly denial: Denial } {
  return refused('unpriced-model', `Nobody prices the model "${model}".`, { evidence: { model } });
}

/** A switch in a request: false when absent or null, 400 when it is no boolean. */
export function optionalSwitch(object: JsonObject, name: string): Result<boolean> {
  const value = object[name] ?? false;
  return typeof value === 'boolean' ? accepted(value) : refused('bad-request', `"${name}" must be true or false.`);
}

/** 403 where a body has a member that changes what a request costs in ways that nothing here can bound. */
export function unboundedMember(
  object: JsonObject,
  names: readonly string[],
): { readonly ok: false; readonly denial: Denial } | null {
  const name = names.find((candidate) => object[candidate] !== undefined && object[candidate] !== null);
  return name === undefined
    ? null
    : refused('policy-denied', `Nothing bounds what "${name}" adds to the cost of a request.`);
}

/** The objects of an array member; empty when it is absent or no array. Other elements are left out. */
export function objectsOf(value: unknown): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter(isJsonObject) : [];
}

/** An object member, or null. */
export function objectOf(value: unknown): JsonObject | null {
  return isJsonObject(value) ? value : null;
}

/** A string member, or null. */
export function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

/**
 * A count in an answer, where nothing is trusted: 0 when absent or null, NaN when it is anything but a whole number that
 * can be counted.
 */
export function statedCount(object: JsonObject | null, name: string): number {
  const value = object?.[name];
  if (value === undefined || value === null) return 0;
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= MAX_TOKENS
    ? value
    : Number.NaN;
}
