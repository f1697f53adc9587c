// Reads a provider's answer as JSON without trusting it. Must not throw on anything that an upstream can send.
import { isJsonObject, parseStrictJsonText, type JsonObject } from '../json/body-json.ts';

export interface ReadAnswer {
  readonly value: JsonObject | null;
  /** True where it could be read in two ways (a name given twice), so that no count in it can be trusted. */
  readonly ambiguous: boolean;
}

/** An answer or an event as an object; null when it is none. */
export function readAnswer(text: string): ReadAnswer {
  const strict = parseStrictJsonText(text);
  if (strict.ok) return { value: strict.json.value, ambiguous: false };
  try {
    const value: unknown = JSON.parse(text);
    return { value: isJsonObject(value) ? value : null, ambiguous: true };
  } catch {
    return { value: null, ambiguous: false };
  }
}

/** An answer that is an array of objects; null when it is none. */
export function readAnswers(text: string): readonly ReadAnswer[] | null {
  const { value, ambiguous } = readAnswer(`{"answers":${text}}`);
  const answers = value?.['answers'];
  if (!Array.isArray(answers) || !answers.every(isJsonObject)) return null;
  return answers.map((answer) => ({ value: answer, ambiguous }));
}
