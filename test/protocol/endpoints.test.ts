import { describe, expect, it } from 'vitest';
import type { ProtocolName } from '../../src/policy/policy.ts';
import { callOf, codeOf, requestOf, contextFor } from './fixtures.ts';
import { protocolFor } from '../../src/protocol/registry.ts';

const CHAT = { model: 'gpt-4o', messages: [{ role: 'user', content: 'Hi' }] };
const RESPONSE = { model: 'gpt-4o', input: 'Hi' };
const MESSAGE = { model: 'claude-opus-5', max_tokens: 10, messages: [{ role: 'user', content: 'Hi' }] };
const CONTENT = { contents: [{ parts: [{ text: 'Hi' }] }] };
const GENERATE = '/v1beta/models/gemini-2.5-flash:generateContent';

describe('endpoints', () => {
  const open: readonly (readonly [ProtocolName, string, string, object, string])[] = [
    ['openai', '/v1/chat/completions', '', CHAT, 'chat.completions'],
    ['openai', '/v1/chat/completions', '?api-version=2026-01-01-preview', CHAT, 'chat.completions'],
    ['openai', '/v1/responses', '', RESPONSE, 'responses'],
    ['openai', '/v1/responses/compact', '', RESPONSE, 'responses.compact'],
    ['openai', '/v1/responses/input_tokens', '', RESPONSE, 'responses.input_tokens'],
    ['openai', '/v1/embeddings', '', { model: 'text-embedding-3-small', input: ['a', 'b'] }, 'embeddings'],
    ['anthropic', '/v1/messages', '', MESSAGE, 'messages'],
    ['anthropic', '/v1/messages', '?beta=true', MESSAGE, 'messages'],
    ['anthropic', '/v1/messages/count_tokens', '', MESSAGE, 'messages.count_tokens'],
    ['gemini', GENERATE, '', CONTENT, 'generateContent'],
    ['gemini', '/v1/models/gemini-2.5-flash:generateContent', '?alt=json', CONTENT, 'generateContent'],
    ['gemini', '/v1beta/models/gemini-2.5-flash:streamGenerateContent', '?alt=sse', CONTENT, 'streamGenerateContent'],
    ['gemini', '/v1beta/models/gemini-2.5-flash:streamGenerateContent', '', CONTENT, 'streamGenerateContent'],
    ['gemini', '/v1beta/models/gemini-2.5-flash:countTokens', '', CONTENT, 'countTokens'],
    [
      'gemini',
      '/v1beta/models/gemini-embedding-001:embedContent',
      '',
      { content: CONTENT.contents[0] },
      'embedContent',
    ],
  ];
  it.each(open)('%s takes POST %s%s', (protocol, path, query, body, action) => {
    expect(callOf(protocol, path, body, { query }).action).toBe(action);
  });

  it.each(['responses.input_tokens', 'messages.count_tokens', 'countTokens'])(
    'counts tokens free of charge: %s',
    (action) => {
      const [protocol, path, , body] = open.find((row) => row[4] === action) ?? ['openai', '', '', {}];
      const call = callOf(protocol, path, body);
      expect(call.demand).toEqual({ fixedMicroUsd: 0, inputTokens: 0, output: null });
      expect(call.meter().reading()).toMatchObject({ final: true, ended: true, statedMicroUsd: 0, meteredMicroUsd: 0 });
    },
  );

  const closed: readonly (readonly [ProtocolName, string, string])[] = [
    ['openai', 'POST', '/v1/files'],
    ['openai', 'POST', '/v1/batches'],
    ['openai', 'POST', '/v1/conversations'],
    ['openai', 'POST', '/v1/audio/speech'],
    ['openai', 'POST', '/v1/images/generations'],
    ['openai', 'GET', '/v1/realtime'],
    ['openai', 'POST', '/v1/realtime/sessions'],
    ['openai', 'POST', '/v1/completions'],
    ['openai', 'POST', '/v1/chat/completions/'],
    ['openai', 'POST', '/v1/Chat/Completions'],
    ['openai', 'POST', '/v1/chat%2fcompletions'],
    ['openai', 'POST', '/v1/responses/resp_1/cancel'],
    ['openai', 'POST', '/chat/completions'],
    ['openai', 'GET', '/v1/chat/completions'],
    ['openai', 'post', '/v1/chat/completions'],
    ['openai', 'DELETE', '/v1/responses/resp_1'],
    ['anthropic', 'POST', '/v1/messages/batches'],
    ['anthropic', 'POST', '/v1/files'],
    ['anthropic', 'POST', '/v1/complete'],
    ['anthropic', 'GET', '/v1/messages'],
    ['gemini', 'POST', '/v1beta/models/gemini-2.5-flash:batchGenerateContent'],
    ['gemini', 'POST', '/v1beta/models/gemini-2.5-flash:predictLongRunning'],
    ['gemini', 'POST', '/v1beta/cachedContents'],
    ['gemini', 'POST', '/v1beta/fileSearchStores'],
    ['gemini', 'POST', '/upload/v1beta/files'],
    ['gemini', 'GET', GENERATE],
    ['gemini', 'POST', '/v1beta/models/gemini-2.5-flash%3AgenerateContent'],
    ['gemini', 'POST', '/v1beta/models/../x:generateContent'],
  ];
  it.each(closed)('%s refuses %s %s', (protocol, method, path) => {
    expect(codeOf(protocol, path, { ...CHAT, ...CONTENT }, { method })).toBe('policy-denied');
  });

  const queries: readonly (readonly [ProtocolName, string, string])[] = [
    ['gemini', GENERATE, '?key=AIza-secret'],
    ['gemini', GENERATE, '?alt=sse'],
    ['gemini', GENERATE, '?$alt=json'],
    ['gemini', GENERATE, '?access_token=x'],
    ['gemini', '/v1beta/models/gemini-2.5-flash:streamGenerateContent', '?alt=sse&alt=json'],
    ['gemini', '/v1beta/models/gemini-2.5-flash:streamGenerateContent', '?alt=sse&key=x'],
    ['openai', '/v1/chat/completions', '?api-version=a&api-version=b'],
    ['openai', '/v1/chat/completions', '?stream=true'],
    ['anthropic', '/v1/messages', '?beta=false'],
    ['anthropic', '/v1/messages', '?%62eta=true'],
  ];
  it.each(queries)('%s refuses the query of %s%s', (protocol, path, query) => {
    expect(codeOf(protocol, path, { ...CHAT, ...CONTENT }, { query })).toBe('bad-request');
  });

  const bodies: readonly (readonly [string, unknown])[] = [
    ['none', null],
    ['an empty one', ''],
    ['what is no JSON', 'model=gpt-4o'],
    ['an array', []],
    ['a model given twice', '{"model":"gpt-4o","messages":[],"model":"gpt-4o-mini"}'],
    ['no model', { messages: [] }],
    ['a model that is no name', { model: 5, messages: [] }],
    ['a model with a line break', { model: 'gpt-4o\n', messages: [] }],
    ['messages that are no array', { model: 'gpt-4o', messages: 'Hi' }],
  ];
  it.each(bodies)('refuses %s as a body', (_what, body) => {
    expect(codeOf('openai', '/v1/chat/completions', body)).toBe('bad-request');
  });

  it('sends on exactly the path and query that were read', () => {
    const request = requestOf('/v1/messages', MESSAGE, { query: '?beta=true' });
    const read = protocolFor('anthropic').read(request, contextFor('anthropic'));
    if (!read.ok) throw new Error(read.denial.detail);
    expect(read.value.write({ outputTokens: 10, warnings: [] })).toEqual({
      path: '/v1/messages',
      query: '?beta=true',
      body: request.body,
      clamped: null,
    });
  });
});
