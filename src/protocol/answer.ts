// Reads a provider's answer as JSON without trusting it. Must not throw on anything that an upstream can send.
import { isJsonObject, parseStrictJsonText, type JsonObject } from './strict-json.ts';

export interface ReadAnswer {
  readonly value: JsonObject | null;
  /** True where it could be read in two ways, so that no count in it can be trusted. */
  readonly ambiguous: boolean;
}

/**
 * An answer or an event as an object; null when it is none. Where it carries a usage, names given twice make it ambiguous:
 * parsers differ in which one they keep.
 */
export function readAnswer(text: string): ReadAnswer {
  if (text.includes('"usage')) {
    const strict = parseStrictJsonText(text);
    if (strict.ok) return { value: strict.json.value, ambiguous: false };
  }
  try {
    const value: unknown = JSON.parse(text);
    return { value: isJsonObject(value) ? value : null, ambiguous: text.includes('"usage') };
  } catch {
    return { value: null, ambiguous: false };
  }
}
