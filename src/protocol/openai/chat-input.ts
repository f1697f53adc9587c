// What the messages of a chat completion can be billed for beyond their bytes.
import { accepted, refused, type Result } from '../../denial.ts';
import { countBase64, countUrl } from '../data-url.ts';
import { objectOf, objectsOf, textOf } from '../fields.ts';
import type { InputBound } from '../input-bound.ts';
import type { JsonObject } from '../../json/body-json.ts';

const TEXT_PARTS: ReadonlySet<unknown> = new Set(['text', 'refusal', 'input_text', 'output_text', 'thinking']);

/** Counts `messages` into `input`. */
export function countMessages(messages: unknown, input: InputBound): Result<null> {
  if (!Array.isArray(messages)) return refused('bad-request', '"messages" must be an array.');
  input.messages(messages.length);
  for (const message of objectsOf(messages)) {
    for (const part of objectsOf(message['content'])) countPart(part, input);
    // Speech that was generated earlier is named by its id; only OpenAI knows how long it is.
    if (objectOf(message['audio']) !== null) input.opaque();
  }
  return accepted(null);
}

function countPart(part: JsonObject, input: InputBound): void {
  const type = part['type'];
  if (TEXT_PARTS.has(type)) return;
  if (type === 'image_url') {
    const image = objectOf(part['image_url']);
    countUrl(input, textOf(image?.['url']) ?? textOf(part['image_url']) ?? '', 'image');
    return;
  }
  if (type === 'input_audio') {
    const audio = objectOf(part['input_audio']);
    countBase64(input, 'audio/any', textOf(audio?.['data'])?.length ?? 0, 'audio');
    return;
  }
  if (type === 'file') {
    const data = textOf(objectOf(part['file'])?.['file_data']);
    if (data === null) input.opaque();
    else if (data.startsWith('data:')) countUrl(input, data, 'document');
    else countBase64(input, '', data.length, 'document');
    return;
  }
  input.opaque();
}
