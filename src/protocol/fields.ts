// Typed reading of members of a parsed JSON value. Says what is missing or of the wrong kind; must not know any protocol.
import { refused, type Denial, type Result, accepted } from '../denial.ts';
import { MAX_TOKENS } from '../limits.ts';
import { isJsonObject, parseStrictJson, type JsonObject, type StrictJson } from './strict-json.ts';

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
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= MAX_TOKENS) return accepted(value);
  return refused('bad-request', `"${name}" must be a whole number of at least ${least}.`);
}

/** A member that must be a non-empty string, or 400. */
export function requiredText(object: JsonObject, name: string): Result<string> {
  const value = object[name];
  return typeof value === 'string' && value !== ''
    ? accepted(value)
    : refused('bad-request', `"${name}" must be a string that is not empty.`);
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

/** Thrown nowhere, returned everywhere: the first refusal among several readings, or null. */
export function firstDenial(...results: readonly Result<unknown>[]): Denial | null {
  for (const result of results) if (!result.ok) return result.denial;
  return null;
}

/**
 * A count in an answer, where nothing is trusted: 0 when absent or null, NaN when it is anything but a whole number that
 * can be counted.
 */
export function statedCount(object: JsonObject | null, name: string): number {
  const value = object?.[name];
  if (value === undefined || value === null) return 0;
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= MAX_TOKENS ? value : Number.NaN;
}
