// What the messages of a request to Anthropic can be billed for beyond their bytes.
import { accepted, refused, type Result } from '../../denial.ts';
import { countBase64 } from '../data-url.ts';
import { objectOf, objectsOf, textOf } from '../fields.ts';
import type { InputBound } from '../input-bound.ts';
import { isJsonObject, type JsonObject } from '../../json/body-json.ts';

/** Blocks that are no more than what they show, contents of their own included. */
const TEXT_BLOCKS: ReadonlySet<unknown> = new Set([
  'text',
  'thinking',
  'redacted_thinking',
  'tool_use',
  'server_tool_use',
  'mcp_tool_use',
  'tool_result',
  'mcp_tool_result',
  'advisor_tool_result',
  'advisor_result',
  'advisor_redacted_result',
  'search_result',
  'web_search_tool_result',
  'web_search_result',
  'web_search_tool_result_error',
  'web_fetch_tool_result',
  'web_fetch_result',
  'web_fetch_tool_result_error',
  'code_execution_tool_result',
  'code_execution_result',
  'encrypted_code_execution_result',
  'code_execution_tool_result_error',
  'bash_code_execution_tool_result',
  'bash_code_execution_result',
  'bash_code_execution_tool_result_error',
  'text_editor_code_execution_tool_result',
  'text_editor_code_execution_view_result',
  'text_editor_code_execution_create_result',
  'text_editor_code_execution_str_replace_result',
  'text_editor_code_execution_tool_result_error',
  'tool_search_tool_result',
  'tool_search_tool_search_result',
  'tool_search_tool_result_error',
  'tool_reference',
  'tool_addition',
  'tool_removal',
  'compaction',
]);

/** Outputs of a container: named by their id, and shown to the model only as the text beside them. */
const CONTAINER_FILES: ReadonlySet<unknown> = new Set([
  'code_execution_output',
  'bash_code_execution_output',
  'container_upload',
]);

/** Counts `messages` into `input`. */
export function countMessages(messages: unknown, input: InputBound): Result<null> {
  if (!Array.isArray(messages)) return refused('bad-request', '"messages" must be an array.');
  input.messages(messages.length);
  for (const message of objectsOf(messages)) countContent(message['content'], input);
  return accepted(null);
}

function countContent(content: unknown, input: InputBound): void {
  if (isJsonObject(content)) countBlock(content, input);
  else for (const block of objectsOf(content)) countBlock(block, input);
}

function countBlock(block: JsonObject, input: InputBound): void {
  const type = block['type'];
  if (type === 'image' || type === 'document') {
    countSource(objectOf(block['source']), type, input);
    return;
  }
  if (CONTAINER_FILES.has(type)) {
    input.listing();
    return;
  }
  if (!TEXT_BLOCKS.has(type)) {
    input.opaque();
    return;
  }
  countContent(block['content'], input);
}

function countSource(source: JsonObject | null, kind: 'image' | 'document', input: InputBound): void {
  switch (source?.['type']) {
    case 'base64':
      countBase64(input, textOf(source['media_type']) ?? '', textOf(source['data'])?.length ?? 0, kind);
      return;
    case 'text':
      return;
    case 'content':
      countContent(source['content'], input);
      return;
    default:
      // A file or a URL: a picture has a bound of its own, a document has none but the context window.
      if (kind === 'image') input.linkedImage();
      else input.opaque();
  }
}
