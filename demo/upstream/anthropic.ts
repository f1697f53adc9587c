// The Anthropic API as far as agents use it: messages, whole or streamed, and the free token count.
import {
  bytesOf,
  receivedKey,
  type Answer,
  type Provider,
  type ProviderRequest,
  type ServerEvent,
} from './exchange.ts';
import { countOf, listOf, objectOf, textOf, type Json, type JsonObject } from './json.ts';
import { takeTurn, type Turn } from './turn.ts';
import { withUsage } from './usage-lies.ts';

const STOP = { stop: 'end_turn', length: 'max_tokens', tool: 'tool_use' } as const;
const ERROR_TYPES: Readonly<Record<number, string>> = {
  400: 'invalid_request_error',
  401: 'authentication_error',
  403: 'permission_error',
  404: 'not_found_error',
  413: 'request_too_large',
  429: 'rate_limit_error',
  529: 'overloaded_error',
};

export const anthropic: Provider = {
  answer(request) {
    const { method, path, body } = request;
    if (method === 'GET' && path === '/v1/models')
      return json({ data: [], has_more: false, first_id: null, last_id: null });
    if (method !== 'POST' || (path !== '/v1/messages' && path !== '/v1/messages/count_tokens'))
      return problem(404, 'Not found');
    const model = textOf(body['model']);
    if (model === null) return problem(400, 'model: Field required');
    const turn = turnOf(request, model);
    if (path === '/v1/messages/count_tokens') return json({ input_tokens: turn.usage.input });
    if (countOf(body['max_tokens'], 1) === null) return problem(400, 'max_tokens: Field required');
    const { usage: lie } = request.behaviour;
    if (body['stream'] !== true)
      return json(withUsage(message(turn, content(turn), STOP[turn.finish]), 'usage', usageOf(turn), lie));
    return {
      kind: 'stream',
      framing: 'sse',
      events: events(turn, (whole, usage) => withUsage(whole, 'usage', usage, lie)),
      failure: { event: 'error', data: { type: 'error', error: { type: 'overloaded_error', message: 'Overloaded' } } },
    };
  },
  error: (status, text) => ({
    type: 'error',
    error: { type: ERROR_TYPES[status] ?? 'api_error', message: text },
    request_id: 'req_local',
  }),
};

function turnOf(request: ProviderRequest, model: string): Turn {
  const { body, behaviour } = request;
  const messages = listOf(body['messages']);
  return takeTurn({
    model,
    promptBytes: bytesOf(body['messages']) + bytesOf(body['system']) + bytesOf(body['tools']),
    // Tools with a `type` of their own are hosted by the provider; the pretend model calls only the client's.
    tools: listOf(body['tools']).flatMap((tool) => {
      const { type, name } = objectOf(tool);
      return type === undefined || type === 'custom' ? (textOf(name) ?? []) : [];
    }),
    toolResults: messages.filter((entry) =>
      listOf(objectOf(entry)['content']).some((part) => objectOf(part)['type'] === 'tool_result'),
    ).length,
    maxTokens: countOf(body['max_tokens'], 1),
    choices: 1,
    behaviour,
    key: receivedKey(request.headers),
  });
}

function message(turn: Turn, blocks: readonly Json[], stop: string | null): JsonObject {
  return {
    id: 'msg_local',
    type: 'message',
    role: 'assistant',
    model: turn.model,
    content: blocks,
    stop_reason: stop,
    stop_sequence: null,
  };
}

function content(turn: Turn): Json[] {
  const blocks: Json[] = [];
  if (turn.text !== '') blocks.push({ type: 'text', text: turn.text });
  if (turn.toolCall !== null) {
    const input: Json = JSON.parse(turn.toolCall.arguments) as Json;
    blocks.push({ type: 'tool_use', id: 'toolu_local_1', name: turn.toolCall.name, input });
  }
  return blocks;
}

function* events(turn: Turn, addUsage: (whole: JsonObject, usage: JsonObject) => JsonObject): Iterable<ServerEvent> {
  yield named({
    type: 'message_start',
    message: addUsage(message(turn, [], null), { ...usageOf(turn), output_tokens: 1 }),
  });
  let index = 0;
  if (turn.text !== '') {
    yield named({ type: 'content_block_start', index, content_block: { type: 'text', text: '' } });
    yield named({ type: 'ping' });
    for (const text of turn.pieces())
      yield named({ type: 'content_block_delta', index, delta: { type: 'text_delta', text } });
    yield named({ type: 'content_block_stop', index: index++ });
  }
  if (turn.toolCall !== null) {
    const block = { type: 'tool_use', id: 'toolu_local_1', name: turn.toolCall.name, input: {} };
    yield named({ type: 'content_block_start', index, content_block: block });
    yield named({
      type: 'content_block_delta',
      index,
      delta: { type: 'input_json_delta', partial_json: turn.toolCall.arguments },
    });
    yield named({ type: 'content_block_stop', index });
  }
  const end = { type: 'message_delta', delta: { stop_reason: STOP[turn.finish], stop_sequence: null } };
  yield { event: end.type, data: addUsage(end, { output_tokens: turn.usage.output }), usage: true };
  yield named({ type: 'message_stop' });
}

function named(data: JsonObject & { type: string }): ServerEvent {
  return { event: data.type, data };
}

function usageOf({ usage }: Turn): JsonObject {
  return {
    input_tokens: usage.input - usage.cached,
    cache_creation_input_tokens: 0,
    cache_read_input_tokens: usage.cached,
    cache_creation: { ephemeral_5m_input_tokens: 0, ephemeral_1h_input_tokens: 0 },
    output_tokens: usage.output,
    service_tier: 'standard',
  };
}

function json(body: Json): Answer {
  return { kind: 'json', status: 200, body };
}

function problem(status: number, text: string): Answer {
  return { kind: 'json', status, body: anthropic.error(status, text) };
}
