// POST /v1/responses and its two companions: one turn as a response object, whole or as events.
import { bytesOf, receivedKey, type Answer, type ProviderRequest, type ServerEvent } from './exchange.ts';
import { countOf, listOf, objectOf, textOf, type Json, type JsonObject } from './json.ts';
import { takeTurn, type Turn } from './turn.ts';
import { withUsage } from './usage-lies.ts';

const CREATED = 1_750_000_000;

/** Answers `POST /v1/responses`. */
export function answerResponse(request: ProviderRequest): Answer {
  const { body, behaviour } = request;
  const model = textOf(body['model']);
  if (model === null) return missingModel();
  const turn = turnOf(request, model);
  const finish = (status: string): JsonObject =>
    withUsage(response(turn, body, status, output(turn)), 'usage', usageOf(turn), behaviour.usage);
  const status = turn.finish === 'length' ? 'incomplete' : 'completed';
  if (body['stream'] !== true) return { kind: 'json', status: 200, body: finish(status) };
  return {
    kind: 'stream',
    framing: 'sse',
    events: numbered(events(turn, response(turn, body, 'in_progress', []), finish(status), status)),
    failure: {
      event: 'error',
      data: {
        type: 'error',
        code: 'server_error',
        message: 'The server had an error while processing your request.',
        param: null,
        sequence_number: 999,
      },
    },
  };
}

/** Answers `POST /v1/responses/compact`: the conversation in one opaque item. */
export function answerCompact(request: ProviderRequest): Answer {
  const { body, behaviour } = request;
  const model = textOf(body['model']);
  if (model === null) return missingModel();
  const turn = turnOf(request, model);
  const compacted: JsonObject = {
    id: 'resp_local_compact',
    object: 'response.compaction',
    created_at: CREATED,
    output: [{ id: 'cmp_local', type: 'compaction', encrypted_content: Buffer.from(turn.text).toString('base64') }],
  };
  return { kind: 'json', status: 200, body: withUsage(compacted, 'usage', usageOf(turn), behaviour.usage) };
}

/** Answers `POST /v1/responses/input_tokens`, which costs nothing. */
export function answerInputTokens(request: ProviderRequest): Answer {
  const turn = turnOf(request, textOf(request.body['model']) ?? 'unnamed');
  return { kind: 'json', status: 200, body: { object: 'response.input_tokens', input_tokens: turn.usage.input } };
}

function turnOf(request: ProviderRequest, model: string): Turn {
  const { body, behaviour } = request;
  return takeTurn({
    model,
    promptBytes: bytesOf(body['input']) + bytesOf(body['instructions']) + bytesOf(body['tools']),
    tools: listOf(body['tools']).flatMap((tool) => {
      const { type, name } = objectOf(tool);
      return type === 'function' ? (textOf(name) ?? []) : [];
    }),
    toolResults: listOf(body['input']).filter((item) => objectOf(item)['type'] === 'function_call_output').length,
    maxTokens: countOf(body['max_output_tokens'], 1),
    choices: 1,
    behaviour,
    key: receivedKey(request.headers),
  });
}

function response(turn: Turn, body: JsonObject, status: string, items: readonly Json[]): JsonObject {
  return {
    id: 'resp_local',
    object: 'response',
    created_at: CREATED,
    status,
    background: false,
    error: null,
    incomplete_details: status === 'incomplete' ? { reason: 'max_output_tokens' } : null,
    instructions: body['instructions'] ?? null,
    max_output_tokens: body['max_output_tokens'] ?? null,
    model: turn.model,
    output: items,
    parallel_tool_calls: true,
    previous_response_id: body['previous_response_id'] ?? null,
    reasoning: { effort: null, summary: null },
    service_tier: 'default',
    store: true,
    temperature: 1,
    text: { format: { type: 'text' } },
    tool_choice: 'auto',
    tools: body['tools'] ?? [],
    top_p: 1,
    truncation: 'disabled',
    usage: null,
    metadata: {},
  };
}

function output(turn: Turn): Json[] {
  const items: Json[] = [];
  if (turn.text !== '')
    items.push(message(turn, 'completed', [{ type: 'output_text', text: turn.text, annotations: [], logprobs: [] }]));
  if (turn.toolCall !== null) items.push(functionCall(turn, 'completed', turn.toolCall.arguments));
  return items;
}

function message(turn: Turn, status: string, content: readonly Json[]): JsonObject {
  return {
    id: 'msg_local',
    type: 'message',
    role: 'assistant',
    status: turn.finish === 'length' ? 'incomplete' : status,
    content,
  };
}

function functionCall(turn: Turn, status: string, args: string): JsonObject {
  return {
    id: 'fc_local',
    type: 'function_call',
    call_id: 'call_local_1',
    name: turn.toolCall?.name ?? '',
    arguments: args,
    status,
  };
}

function* events(
  turn: Turn,
  begun: JsonObject,
  finished: JsonObject,
  status: string,
): Iterable<JsonObject & { type: string }> {
  yield { type: 'response.created', response: begun };
  yield { type: 'response.in_progress', response: begun };
  let index = 0;
  if (turn.text !== '') {
    const at = { item_id: 'msg_local', output_index: index++, content_index: 0 };
    const empty = { type: 'output_text', text: '', annotations: [], logprobs: [] };
    const full = { ...empty, text: turn.text };
    yield { type: 'response.output_item.added', output_index: at.output_index, item: message(turn, 'in_progress', []) };
    yield { type: 'response.content_part.added', ...at, part: empty };
    for (const delta of turn.pieces()) yield { type: 'response.output_text.delta', ...at, delta, logprobs: [] };
    yield { type: 'response.output_text.done', ...at, text: turn.text, logprobs: [] };
    yield { type: 'response.content_part.done', ...at, part: full };
    yield {
      type: 'response.output_item.done',
      output_index: at.output_index,
      item: message(turn, 'completed', [full]),
    };
  }
  if (turn.toolCall !== null) {
    const at = { item_id: 'fc_local', output_index: index };
    const args = turn.toolCall.arguments;
    yield { type: 'response.output_item.added', output_index: index, item: functionCall(turn, 'in_progress', '') };
    yield { type: 'response.function_call_arguments.delta', ...at, delta: args };
    yield { type: 'response.function_call_arguments.done', ...at, name: turn.toolCall.name, arguments: args };
    yield { type: 'response.output_item.done', output_index: index, item: functionCall(turn, 'completed', args) };
  }
  yield { type: `response.${status}`, response: finished };
}

function* numbered(all: Iterable<JsonObject & { type: string }>): Iterable<ServerEvent> {
  let sequence = 0;
  for (const data of all) {
    const last = data.type === 'response.completed' || data.type === 'response.incomplete';
    yield { event: data.type, data: { ...data, sequence_number: sequence++ }, usage: last };
  }
}

function usageOf({ usage }: Turn): JsonObject {
  return {
    input_tokens: usage.input,
    input_tokens_details: { cached_tokens: usage.cached },
    output_tokens: usage.output,
    output_tokens_details: { reasoning_tokens: usage.reasoning },
    total_tokens: usage.input + usage.output,
  };
}

function missingModel(): Answer {
  const error = {
    message: "Missing required parameter: 'model'.",
    type: 'invalid_request_error',
    param: 'model',
    code: 'missing_required_parameter',
  };
  return { kind: 'json', status: 400, body: { error } };
}
