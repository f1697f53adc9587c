// What the input of a response can be billed for beyond its bytes: media, files, and whatever OpenAI keeps.
import { accepted, refused, type Result } from '../../denial.ts';
import type { UsageBounds } from '../../policy/policy.ts';
import { countBase64, countUrl } from '../data-url.ts';
import { objectsOf, textOf } from '../fields.ts';
import type { InputBound } from '../input-bound.ts';
import type { JsonObject } from '../../json/body-json.ts';
import { countTools } from './tools.ts';

/** Items that are no more than what they show. */
const TEXT_ITEMS: ReadonlySet<string> = new Set([
  'message',
  'function_call',
  'function_call_output',
  'custom_tool_call',
  'custom_tool_call_output',
  'computer_call',
  'computer_call_output',
  'web_search_call',
  'file_search_call',
  'code_interpreter_call',
  'mcp_list_tools',
  'mcp_call',
  'mcp_approval_request',
  'mcp_approval_response',
  'tool_search_call',
  'tool_search_output',
  'additional_tools',
  'local_shell_call',
  'local_shell_call_output',
  'shell_call',
  'shell_call_output',
  'apply_patch_call',
  'apply_patch_call_output',
  'compaction',
  'compaction_summary',
]);

const TEXT_PARTS: ReadonlySet<unknown> = new Set([
  'input_text',
  'output_text',
  'text',
  'refusal',
  'summary_text',
  'reasoning_text',
  'stdout',
  'logs',
]);

/** Counts `input` (a string or items) into `bound`. */
export function countInput(value: unknown, bound: InputBound, bounds: UsageBounds): Result<null> {
  if (value === undefined || value === null || typeof value === 'string') return accepted(null);
  if (!Array.isArray(value)) return refused('bad-request', '"input" must be a string or an array.');
  bound.messages(value.length);
  for (const item of objectsOf(value)) {
    const counted = countItem(item, bound, bounds);
    if (!counted.ok) return counted;
  }
  return accepted(null);
}

function countItem(item: JsonObject, bound: InputBound, bounds: UsageBounds): Result<null> {
  const type = textOf(item['type']) ?? (item['role'] === undefined ? 'item_reference' : 'message');
  for (const name of ['content', 'output', 'outputs']) {
    const parts = item[name];
    if (Array.isArray(parts)) for (const part of objectsOf(parts)) countPart(part, bound);
    else for (const part of objectsOf([parts])) countPart(part, bound);
  }
  if (type === 'reasoning') {
    // Without its encrypted content a reasoning item is a name for what OpenAI has stored.
    if (textOf(item['encrypted_content']) === null) bound.opaque();
    return accepted(null);
  }
  if (type === 'image_generation_call') {
    const picture = textOf(item['result']);
    if (picture === null) bound.linkedImage();
    else countBase64(bound, 'image/any', picture.length, 'image');
    return accepted(null);
  }
  if (!TEXT_ITEMS.has(type)) {
    bound.opaque();
    return accepted(null);
  }
  return countTools(item['tools'], bound, bounds);
}

function countPart(part: JsonObject, bound: InputBound): void {
  const type = part['type'];
  if (TEXT_PARTS.has(type)) return;
  if (type === 'input_image' || type === 'computer_screenshot' || type === 'image') {
    const url = textOf(part['image_url']) ?? textOf(part['url']);
    if (url === null) bound.linkedImage();
    else countUrl(bound, url, 'image');
    return;
  }
  if (type === 'input_file') {
    const data = textOf(part['file_data']);
    if (data === null) bound.opaque();
    else if (data.startsWith('data:')) countUrl(bound, data, 'document');
    else countBase64(bound, '', data.length, 'document');
    return;
  }
  bound.opaque();
}
