// Anthropic's API: which endpoints are open, and how a cut stream ends.
import { endpointRefused, freeEndpoint, queryRefusal } from '../endpoints.ts';
import type { Protocol } from '../protocol.ts';
import { anthropicError } from '../stream-error.ts';
import { readMessages } from './messages.ts';

const QUERY: ReadonlyMap<string, RegExp> = new Map([['beta', /^true$/]]);

export const anthropic: Protocol = {
  requestHeaders: ['anthropic-version', 'anthropic-beta'],
  responseHeaders: ['anthropic-ratelimit-*', 'request-id'],
  errorShape: 'problem',

  read(request, context) {
    if (request.method !== 'POST') return endpointRefused(request);
    if (request.path === '/v1/messages') return queryRefusal(request.query, QUERY) ?? readMessages(request, context);
    if (request.path === '/v1/messages/count_tokens') {
      return queryRefusal(request.query, QUERY) ?? freeEndpoint(request, 'messages.count_tokens');
    }
    return endpointRefused(request);
  },

  cut(denial) {
    return anthropicError(denial);
  },
};
