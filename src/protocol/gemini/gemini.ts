// Google's Gemini API: which endpoints are open, and how a cut stream ends.
import { endpointRefused, freeEndpoint, queryRefusal } from '../endpoints.ts';
import type { Protocol } from '../protocol.ts';
import { geminiError } from '../stream-error.ts';
import { readEmbed } from './embed.ts';
import { readGenerate } from './generate.ts';

/** Model ids with nothing in them that a URL could spell in two ways. */
const MODEL_PATH = /^\/(?:v1|v1beta|v1alpha)\/(?:models|tunedModels)\/([A-Za-z0-9][A-Za-z0-9._-]{0,127}):([A-Za-z]+)$/;

const NO_QUERY: ReadonlyMap<string, RegExp> = new Map([['alt', /^json$/]]);
const STREAM_QUERY: ReadonlyMap<string, RegExp> = new Map([['alt', /^(sse|json)$/]]);

export const gemini: Protocol = {
  requestHeaders: ['x-goog-api-client', 'x-server-timeout'],
  responseHeaders: ['server-timing'],
  errorShape: 'google',

  read(request, context) {
    const match = request.method === 'POST' ? MODEL_PATH.exec(request.path) : null;
    const [, model = '', operation = ''] = match ?? [];
    const stream = operation === 'streamGenerateContent';
    const query = queryRefusal(request.query, stream ? STREAM_QUERY : NO_QUERY);
    switch (operation) {
      case 'generateContent':
      case 'streamGenerateContent':
        return query ?? readGenerate(request, context, { model, stream, sse: request.query.includes('alt=sse') });
      case 'embedContent':
      case 'batchEmbedContents':
        return query ?? readEmbed(request, context, { model, batch: operation === 'batchEmbedContents' });
      case 'countTokens':
        return query ?? freeEndpoint(request, 'countTokens');
      default:
        return endpointRefused(request);
    }
  },

  cut(denial) {
    return geminiError(denial);
  },
};
