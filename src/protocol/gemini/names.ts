// Google's APIs take each name in camelCase and in snake_case. This reads both, and refuses an object that uses both for
// one member: only Google knows which of them would win.
import { accepted, refused, type Result } from '../../denial.ts';
import type { JsonObject } from '../../json/body-json.ts';

/** "max_output_tokens" and "maxOutputTokens" are one name. */
function camelName(name: string): string {
  return name.includes('_') ? name.replace(/_([a-z0-9])/g, (_match, letter: string) => letter.toUpperCase()) : name;
}

/** The object with its names in camelCase, its values untouched; 400 where two names are one. */
export function camelNamed(object: JsonObject): Result<JsonObject> {
  const named: { [name: string]: unknown } = {};
  for (const [name, value] of Object.entries(object)) {
    const camel = camelName(name);
    if (Object.hasOwn(named, camel)) return refused('bad-request', `"${camel}" is given in two spellings.`);
    named[camel] = value;
  }
  return accepted(named);
}

/** The spelling in which an object has a member; `camel` itself where it has none. */
export function spellingOf(object: JsonObject, camel: string): string {
  if (Object.hasOwn(object, camel)) return camel;
  return Object.keys(object).find((name) => camelName(name) === camel) ?? camel;
}
