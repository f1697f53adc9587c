// The OpenAI API as far as agents use it: which endpoint answers what. Chat completions and responses have files of their own.
import { bytesOf, type Answer, type Provider, type ProviderRequest } from './exchange.ts';
import { listOf, textOf, type Json, type JsonObject } from './json.ts';
import { answerChat } from './openai-chat.ts';
import { answerCompact, answerInputTokens, answerResponse } from './openai-responses.ts';
import { withUsage } from './usage-lies.ts';

const MODELS = ['gpt-4o', 'gpt-4o-mini', 'gpt-4.1', 'gpt-5', 'o3', 'text-embedding-3-small'];
const EMBEDDING_DIMENSIONS = 8;

export const openai: Provider = {
  answer(request) {
    const { method, path } = request;
    if (method === 'GET' && path === '/v1/models') return json({ object: 'list', data: MODELS.map(model) });
    if (method === 'GET' && path.startsWith('/v1/models/')) return json(model(path.slice('/v1/models/'.length)));
    if (method !== 'POST') return notFound(request);
    switch (path) {
      case '/v1/chat/completions':
        return answerChat(request);
      case '/v1/responses':
        return answerResponse(request);
      case '/v1/responses/compact':
        return answerCompact(request);
      case '/v1/responses/input_tokens':
        return answerInputTokens(request);
      case '/v1/embeddings':
        return answerEmbeddings(request);
      default:
        return notFound(request);
    }
  },
  error: (status, message) => ({
    error: {
      message,
      type: status >= 500 ? 'server_error' : 'invalid_request_error',
      param: null,
      code: status === 429 ? 'rate_limit_exceeded' : null,
    },
  }),
};

function answerEmbeddings({ body, behaviour }: ProviderRequest): Answer {
  const inputs: readonly Json[] =
    Array.isArray(body['input']) && typeof body['input'][0] !== 'number'
      ? listOf(body['input'])
      : [body['input'] ?? ''];
  const base64 = body['encoding_format'] === 'base64';
  const data = inputs.map((input, index) => ({ object: 'embedding', index, embedding: embedding(input, base64) }));
  const tokens = inputs.reduce((sum: number, input) => sum + Math.ceil(bytesOf(input) / 4), 0);
  const named = behaviour.model ?? textOf(body['model']) ?? 'text-embedding-3-small';
  return json(
    withUsage(
      { object: 'list', data, model: named },
      'usage',
      { prompt_tokens: tokens, total_tokens: tokens },
      behaviour.usage,
    ),
  );
}

function embedding(input: Json, base64: boolean): Json {
  const seed = bytesOf(input);
  const values = Array.from({ length: EMBEDDING_DIMENSIONS }, (_, index) => Math.fround(Math.sin(seed + index)));
  return base64 ? Buffer.from(new Float32Array(values).buffer).toString('base64') : values;
}

function model(id: string): JsonObject {
  return { id, object: 'model', created: 1_750_000_000, owned_by: 'local' };
}

function json(body: Json): Answer {
  return { kind: 'json', status: 200, body };
}

function notFound({ method, path }: ProviderRequest): Answer {
  return { kind: 'json', status: 404, body: openai.error(404, `Unknown request URL: ${method} ${path}.`) };
}
