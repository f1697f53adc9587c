// The Gemini API as far as agents use it: generate, stream, count and embed, for any model named in the path.
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

const FINISH = { stop: 'STOP', length: 'MAX_TOKENS', tool: 'STOP' } as const;
const STATUS: Readonly<Record<number, string>> = {
  400: 'INVALID_ARGUMENT',
  401: 'UNAUTHENTICATED',
  403: 'PERMISSION_DENIED',
  404: 'NOT_FOUND',
  429: 'RESOURCE_EXHAUSTED',
  500: 'INTERNAL',
  503: 'UNAVAILABLE',
};
const METHOD_PATH = /^\/(?:v1beta|v1)\/models\/([^/:]+):(\w+)$/;
const EMBEDDING = [0.25, -0.5, 0.125, 0.0625];

export const gemini: Provider = {
  answer(request) {
    if (request.method === 'GET' && /^\/v1(beta)?\/models$/.test(request.path)) return json({ models: [] });
    const match = METHOD_PATH.exec(request.path);
    if (request.method !== 'POST' || match === null) return problem(404, 'Requested entity was not found.');
    const [, model = '', action = ''] = match;
    const { behaviour, body } = request;
    switch (action) {
      case 'generateContent': {
        const turn = turnOf(request, model);
        return json(
          withUsage(part(turn, content(turn), FINISH[turn.finish]), 'usageMetadata', usageOf(turn), behaviour.usage),
        );
      }
      case 'streamGenerateContent':
        return {
          kind: 'stream',
          framing: request.query.get('alt') === 'sse' ? 'sse' : 'array',
          events: events(turnOf(request, model), request),
          failure: { data: gemini.error(500, 'An internal error has occurred.') },
        };
      case 'countTokens': {
        const { usage } = turnOf(request, model);
        return json({ totalTokens: usage.input, promptTokensDetails: [{ modality: 'TEXT', tokenCount: usage.input }] });
      }
      case 'embedContent':
        return json({ embedding: { values: EMBEDDING } });
      case 'batchEmbedContents': {
        const tokens = Math.ceil(bytesOf(body['requests']) / 4);
        const embeddings = listOf(body['requests']).map(() => ({ values: EMBEDDING }));
        return json(withUsage({ embeddings }, 'usageMetadata', { promptTokenCount: tokens }, behaviour.usage));
      }
      default:
        return problem(404, 'Requested entity was not found.');
    }
  },
  error: (code, message) => ({ error: { code, message, status: STATUS[code] ?? 'UNKNOWN' } }),
};

function turnOf(request: ProviderRequest, model: string): Turn {
  const { behaviour } = request;
  // countTokens wraps the request that it counts.
  const body =
    request.body['generateContentRequest'] === undefined
      ? request.body
      : objectOf(request.body['generateContentRequest']);
  const config = objectOf(body['generationConfig']);
  const contents = listOf(body['contents']);
  return takeTurn({
    model,
    promptBytes: bytesOf(body['contents']) + bytesOf(body['systemInstruction']) + bytesOf(body['tools']),
    tools: listOf(body['tools']).flatMap((tool) =>
      listOf(objectOf(tool)['functionDeclarations']).flatMap((declared) => textOf(objectOf(declared)['name']) ?? []),
    ),
    toolResults: contents.filter((entry) =>
      listOf(objectOf(entry)['parts']).some((item) => 'functionResponse' in objectOf(item)),
    ).length,
    maxTokens: countOf(config['maxOutputTokens'], 1),
    choices: countOf(config['candidateCount'], 1) ?? 1,
    behaviour,
    key: receivedKey(request.headers),
  });
}

function part(turn: Turn, parts: readonly Json[], finish: string | null): JsonObject {
  const candidates = Array.from({ length: turn.choices }, (_, index) => ({
    content: { parts, role: 'model' },
    ...(finish === null ? {} : { finishReason: finish }),
    index,
  }));
  return { candidates, modelVersion: turn.model, responseId: 'local' };
}

function content(turn: Turn): Json[] {
  return [...(turn.text === '' ? [] : [{ text: turn.text }]), ...functionCall(turn)];
}

function functionCall({ toolCall }: Turn): Json[] {
  return toolCall === null
    ? []
    : [{ functionCall: { name: toolCall.name, args: JSON.parse(toolCall.arguments) as Json } }];
}

function* events(turn: Turn, { behaviour }: ProviderRequest): Iterable<ServerEvent> {
  const add = (body: JsonObject, output: number): JsonObject =>
    withUsage(body, 'usageMetadata', usageOf({ ...turn, usage: { ...turn.usage, output } }), behaviour.usage);
  const { reasoning, output } = turn.usage;
  let seen = reasoning;
  // Gemini states the running usage with every part.
  for (const text of turn.pieces()) {
    seen = Math.min(output, seen + behaviour.tokensPerEvent * turn.choices);
    yield { data: add(part(turn, [{ text }], null), seen) };
  }
  yield { data: add(part(turn, functionCall(turn), FINISH[turn.finish]), output), usage: true };
}

function usageOf({ usage }: { readonly usage: Turn['usage'] }): JsonObject {
  return {
    promptTokenCount: usage.input,
    candidatesTokenCount: usage.output - usage.reasoning,
    totalTokenCount: usage.input + usage.output,
    ...(usage.reasoning === 0 ? {} : { thoughtsTokenCount: usage.reasoning }),
    ...(usage.cached === 0 ? {} : { cachedContentTokenCount: usage.cached }),
    promptTokensDetails: [{ modality: 'TEXT', tokenCount: usage.input }],
  };
}

function json(body: Json): Answer {
  return { kind: 'json', status: 200, body };
}

function problem(status: number, message: string): Answer {
  return { kind: 'json', status, body: gemini.error(status, message) };
}
