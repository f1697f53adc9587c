// OpenAI and what speaks its API: which endpoints are open, and how a cut stream ends.
import type { Denial, Result } from '../../denial.ts';
import { endpointRefused, freeEndpoint, queryRefusal } from '../endpoints.ts';
import type { Call, Protocol, ReadContext, RouteRequest } from '../protocol.ts';
import { chatError, responsesError } from '../stream-error.ts';
import { readChat } from './chat.ts';
import { readEmbeddings } from './embeddings.ts';
import { readCompaction, readResponses } from './responses.ts';

const ENDPOINTS: ReadonlyMap<string, (request: RouteRequest, context: ReadContext) => Result<Call>> = new Map([
  ['/v1/chat/completions', readChat],
  ['/v1/responses', readResponses],
  ['/v1/responses/compact', readCompaction],
  ['/v1/responses/input_tokens', (request: RouteRequest) => freeEndpoint(request, 'responses.input_tokens')],
  ['/v1/embeddings', readEmbeddings],
]);

const QUERY: ReadonlyMap<string, RegExp> = new Map([['api-version', /^[\w.-]{1,64}$/]]);

export const openai: Protocol = {
  requestHeaders: ['openai-beta'],
  responseHeaders: ['openai-model', 'openai-processing-ms', 'openai-version', 'x-ratelimit-*'],
  errorShape: 'problem',

  read(request, context) {
    const endpoint = request.method === 'POST' ? ENDPOINTS.get(request.path) : undefined;
    if (endpoint === undefined) return endpointRefused(request);
    return queryRefusal(request.query, QUERY) ?? endpoint(request, context);
  },

  cut(denial: Denial, call: Call) {
    return call.action === 'chat.completions' ? chatError(denial) : responsesError(denial);
  },
};
