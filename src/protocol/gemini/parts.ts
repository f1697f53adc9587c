// What the contents of a request to Gemini can be billed for beyond their bytes.
import { accepted, refused, type Result } from '../../denial.ts';
import { countBase64 } from '../data-url.ts';
import { objectOf, objectsOf, textOf } from '../fields.ts';
import type { InputBound } from '../input-bound.ts';
import { isJsonObject, type JsonObject } from '../../json/body-json.ts';
import { camelNamed } from './names.ts';

/** Members of a part that are no more than what they show. */
const TEXT_MEMBERS: ReadonlySet<string> = new Set([
  'text',
  'thought',
  'thoughtSignature',
  'functionCall',
  'functionResponse',
  'executableCode',
  'codeExecutionResult',
  'toolCall',
  'toolResponse',
  'partMetadata',
]);

/** Counts one content or an array of them into `input`. */
export function countContents(contents: unknown, input: InputBound): Result<null> {
  if (contents === undefined || contents === null || typeof contents === 'string') return accepted(null);
  const list = isJsonObject(contents) ? [contents] : contents;
  if (!Array.isArray(list)) return refused('bad-request', '"contents" must be an array.');
  input.messages(list.length);
  for (const content of objectsOf(list)) {
    const parts = content['parts'];
    for (const part of isJsonObject(parts) ? [parts] : objectsOf(parts)) {
      const counted = countPart(part, input);
      if (!counted.ok) return counted;
    }
  }
  return accepted(null);
}

function countPart(part: JsonObject, input: InputBound): Result<null> {
  const named = camelNamed(part);
  if (!named.ok) return named;
  for (const [name, value] of Object.entries(named.value)) {
    if (name === 'inlineData') {
      const data = camelNamed(objectOf(value) ?? {});
      if (!data.ok) return data;
      countBase64(input, textOf(data.value['mimeType']) ?? '', textOf(data.value['data'])?.length ?? 0, 'document');
    } else if (name === 'functionResponse') {
      for (const inner of objectsOf(objectOf(value)?.['parts'])) {
        const counted = countPart(inner, input);
        if (!counted.ok) return counted;
      }
    } else if (!TEXT_MEMBERS.has(name)) {
      // Files by their URI, pictures per second of a video, finer resolutions: only the window bounds those.
      input.opaque();
    }
  }
  return accepted(null);
}
