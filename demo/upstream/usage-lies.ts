// Usage figures as a careless or hostile upstream would state them, and the JSON text that carries them: some lies
// (a bare NaN, the same key twice) cannot be said by JSON.stringify alone.
import type { UsageLie } from './behaviour.ts';
import { isObject, type Json, type JsonObject } from './json.ts';

const BARE_NAN = '@@bare-nan@@';
const SECOND = '@@second@@';
const HUGE = 9_007_199_254_740_000;

/**
 * Puts a usage object under `key`, honest or not: `withUsage({ id }, 'usage', { total_tokens: 3 }, null)`.
 * The result must be written by `writeJson`.
 */
export function withUsage(body: JsonObject, key: string, usage: JsonObject, lie: UsageLie | null): JsonObject {
  if (lie === 'none') return body;
  if (lie === 'null') return { ...body, [key]: null };
  // A reader of JSON takes the last of two equal keys: the honest one comes first.
  if (lie === 'twice') return { ...body, [key]: usage, [key + SECOND]: distorted(usage, 'small') };
  return { ...body, [key]: lie === null ? usage : distorted(usage, lie) };
}

/** JSON text of a body made by `withUsage`. */
export function writeJson(body: Json): string {
  const text = JSON.stringify(body);
  return text.includes('@@') ? text.replaceAll(`"${BARE_NAN}"`, 'NaN').replaceAll(`${SECOND}"`, '"') : text;
}

function distorted(value: JsonObject, lie: UsageLie): JsonObject {
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, distort(member, lie)]));
}

function distort(value: Json | undefined, lie: UsageLie): Json {
  if (isObject(value)) return distorted(value, lie);
  if (typeof value !== 'number') return value ?? null;
  switch (lie) {
    case 'negative':
      return -value - 1;
    case 'nan':
      return BARE_NAN;
    case 'huge':
      return HUGE;
    case 'small':
      return Math.min(value, 1);
    case 'strings':
      return String(value);
    case 'fraction':
      return value + 0.5;
    case 'none':
    case 'null':
    case 'twice':
      return value;
  }
}
