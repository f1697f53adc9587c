// POST /v1/chat/completions: one turn as a chat completion, whole or as chunks.
import { bytesOf, receivedKey, type Answer, type ProviderRequest, type ServerEvent } from './exchange.ts';
import { countOf, listOf, objectOf, textOf, type Json, type JsonObject } from './json.ts';
import { takeTurn, type Turn } from './turn.ts';
import { withUsage } from './usage-lies.ts';

const CREATED = 1_750_000_000;
const FINISH = { stop: 'stop', length: 'length', tool: 'tool_calls' } as const;

/** Answers a chat completion; a request without model or messages gets the provider's 400. */
export function answerChat(request: ProviderRequest): Answer {
  const { body, behaviour } = request;
  const model = textOf(body['model']);
  const messages = listOf(body['messages']);
  if (model === null || messages.length === 0) return invalid(model === null ? 'model' : 'messages');
  const turn = takeTurn({
    model,
    promptBytes: bytesOf(body['messages']) + bytesOf(body['tools']) + bytesOf(body['response_format']),
    tools: functionNames(body['tools']),
    toolResults: trailingToolResults(messages),
    maxTokens: countOf(body['max_completion_tokens'], 1) ?? countOf(body['max_tokens'], 1),
    choices: countOf(body['n'], 1) ?? 1,
    behaviour,
    key: receivedKey(request.headers),
  });
  const usage = usageOf(turn);
  if (body['stream'] !== true)
    return { kind: 'json', status: 200, body: withUsage(completion(turn), 'usage', usage, behaviour.usage) };
  const wantsUsage = objectOf(body['stream_options'])['include_usage'] === true;
  return {
    kind: 'stream',
    framing: 'sse',
    events: chunks(turn, wantsUsage ? (body_) => withUsage(body_, 'usage', usage, behaviour.usage) : null),
    failure: {
      data: {
        error: {
          message: 'The server had an error while processing your request.',
          type: 'server_error',
          param: null,
          code: null,
        },
      },
    },
  };
}

function completion(turn: Turn): JsonObject {
  const message: JsonObject = {
    role: 'assistant',
    content: turn.text === '' ? null : turn.text,
    refusal: null,
    ...(turn.toolCall === null ? {} : { tool_calls: [toolCall(turn)] }),
  };
  const choices = Array.from({ length: turn.choices }, (_, index) => ({
    index,
    message,
    logprobs: null,
    finish_reason: FINISH[turn.finish],
  }));
  return {
    id: 'chatcmpl-local',
    object: 'chat.completion',
    created: CREATED,
    model: turn.model,
    choices,
    service_tier: 'default',
  };
}

function* chunks(turn: Turn, addUsage: ((body: JsonObject) => JsonObject) | null): Iterable<ServerEvent> {
  const chunk = (choices: readonly Json[]): JsonObject => ({
    id: 'chatcmpl-local',
    object: 'chat.completion.chunk',
    created: CREATED,
    model: turn.model,
    service_tier: 'default',
    ...(addUsage === null ? {} : { usage: null }),
    choices,
  });
  const each = function* (delta: JsonObject, finish: string | null): Iterable<ServerEvent> {
    for (let index = 0; index < turn.choices; index++) {
      yield { data: chunk([{ index, delta, logprobs: null, finish_reason: finish }]) };
    }
  };
  yield* each({ role: 'assistant', content: '', refusal: null }, null);
  for (const content of turn.pieces()) yield* each({ content }, null);
  if (turn.toolCall !== null) {
    yield* each(
      { tool_calls: [{ index: 0, ...toolCall(turn), function: { name: turn.toolCall.name, arguments: '' } }] },
      null,
    );
    yield* each({ tool_calls: [{ index: 0, function: { arguments: turn.toolCall.arguments } }] }, null);
  }
  yield* each({}, FINISH[turn.finish]);
  if (addUsage !== null) yield { data: addUsage(chunk([])), usage: true };
  yield { data: '[DONE]' };
}

function toolCall({ toolCall: call }: Turn): JsonObject {
  return {
    id: 'call_local_1',
    type: 'function',
    function: { name: call?.name ?? '', arguments: call?.arguments ?? '' },
  };
}

function usageOf({ usage }: Turn): JsonObject {
  return {
    prompt_tokens: usage.input,
    completion_tokens: usage.output,
    total_tokens: usage.input + usage.output,
    prompt_tokens_details: { cached_tokens: usage.cached, audio_tokens: 0 },
    completion_tokens_details: {
      reasoning_tokens: usage.reasoning,
      audio_tokens: 0,
      accepted_prediction_tokens: 0,
      rejected_prediction_tokens: 0,
    },
  };
}

function functionNames(tools: Json | undefined): string[] {
  return listOf(tools).flatMap((tool) => textOf(objectOf(objectOf(tool)['function'])['name']) ?? []);
}

function trailingToolResults(messages: readonly Json[]): number {
  let count = 0;
  for (const message of messages.toReversed()) {
    const { role } = objectOf(message);
    if (role === 'tool') count++;
    else if (role === 'user') break;
  }
  return count;
}

function invalid(param: string): Answer {
  const error = {
    message: `Missing required parameter: '${param}'.`,
    type: 'invalid_request_error',
    param,
    code: 'missing_required_parameter',
  };
  return { kind: 'json', status: 400, body: { error } };
}
