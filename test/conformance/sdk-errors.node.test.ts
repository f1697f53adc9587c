// How a refusal looks to each official SDK: its own error class, with our code and message, tried again only where waiting
// can help.
import {
  APIError as AnthropicError,
  AuthenticationError,
  NotFoundError as AnthropicNotFoundError,
  PermissionDeniedError,
  RateLimitError,
} from '@anthropic-ai/sdk';
import { ApiError } from '@google/genai';
import { APIError, NotFoundError, type OpenAI } from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { anthropicClient, googleClient, openaiClient } from '../support/sdk.ts';
import { startStack, type Stack } from '../support/stack.ts';

const GPT = 'gpt-4o-mini';
const CLAUDE = 'claude-haiku-4-5';
const GEMINI = 'gemini-2.0-flash';

interface Refused {
  readonly what: string;
  readonly status: number;
  readonly code: string;
  readonly issue: () => Promise<string>;
  readonly model?: string;
  readonly route?: string;
}

describe('a refusal', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack();
  });
  beforeEach(() => stack.upstream.reset());
  afterAll(() => stack.close());

  const refusals: readonly Refused[] = [
    { what: 'a stranger', status: 401, code: 'credential-invalid', issue: async () => 'sk-not-a-token' },
    {
      what: 'a revoked session',
      status: 401,
      code: 'session-revoked',
      issue: async () => {
        const { session, token } = await stack.issueSession();
        await stack.admin.revoke(session.id, 'done');
        return token;
      },
    },
    {
      what: 'another scope',
      status: 403,
      code: 'scope-denied',
      issue: async () => (await stack.issueSession({ scopes: ['ticket:read'] })).token,
    },
    {
      what: 'a model without a price',
      status: 403,
      code: 'unpriced-model',
      model: 'no-such-model',
      issue: async () => (await stack.issueSession()).token,
    },
    {
      what: 'a spent limit',
      status: 429,
      code: 'spend-limit-exceeded',
      issue: async () => (await stack.issueSession({ limits: { spend_usd: '0' } })).token,
    },
    {
      what: 'a spent token limit',
      status: 429,
      code: 'token-limit-exceeded',
      issue: async () => (await stack.issueSession({ limits: { tokens: 0 } })).token,
    },
  ];

  it.each(refusals)(
    '$what is an APIError of openai with status, code and message, not tried again',
    async ({ status, code, issue, model }) => {
      const client = openaiClient({ url: stack.url, token: await issue(), maxRetries: 3 });
      const started = Date.now();
      const error: unknown = await client.chat.completions
        .create({ model: model ?? GPT, messages: [{ role: 'user', content: 'hi' }] })
        .catch((thrown: unknown) => thrown);
      if (!(error instanceof APIError)) throw new Error(`not an APIError: ${String(error)}`);
      expect([error.status, error.code]).toEqual([status, code]);
      expect(error.message.length).toBeGreaterThan(`${status} `.length + 10);
      expect(error.requestID).toMatch(/^[0-9a-f-]{36}$/);
      expect(stack.upstream.stats().requests).toBe(0);
      expect(Date.now() - started).toBeLessThan(400);
    },
  );

  it.each(refusals)(
    '$what is an APIError of anthropic with status, type and message, not tried again',
    async ({ status, code, issue, model }) => {
      const client = anthropicClient({ url: stack.url, token: await issue(), maxRetries: 3 });
      const started = Date.now();
      const error: unknown = await client.messages
        .create({ model: model ?? CLAUDE, max_tokens: 50, messages: [{ role: 'user', content: 'hi' }] })
        .catch((thrown: unknown) => thrown);
      if (!(error instanceof AnthropicError)) throw new Error(`not an APIError: ${String(error)}`);
      expect([error.status, JSON.stringify(error.error).includes(`"code":"${code}"`)]).toEqual([status, true]);
      expect(error.message.length).toBeGreaterThan(`${status} `.length + 10);
      expect(error).toBeInstanceOf(
        { 401: AuthenticationError, 403: PermissionDeniedError, 429: RateLimitError }[status],
      );
      expect(stack.upstream.stats().requests).toBe(0);
      expect(Date.now() - started).toBeLessThan(400);
    },
  );

  it.each(refusals)(
    '$what is an ApiError of google with status and message',
    async ({ status, code, issue, model }) => {
      const client = googleClient({ url: stack.url, token: await issue() });
      const error: unknown = await client.models
        .generateContent({ model: model ?? GEMINI, contents: 'hi' })
        .catch((thrown: unknown) => thrown);
      if (!(error instanceof ApiError)) throw new Error(`not an ApiError: ${String(error)}`);
      expect([error.status, error.message.includes(`"reason":"${code}"`)]).toEqual([status, true]);
      expect(stack.upstream.stats().requests).toBe(0);
    },
  );

  it('a route that is not there is a 404 in each of them', async () => {
    const { token } = await stack.issueSession();
    const options = { url: stack.url, token, route: 'nowhere' };
    await expect(openaiClient(options).chat.completions.create({ model: GPT, messages: [] })).rejects.toBeInstanceOf(
      NotFoundError,
    );
    await expect(
      anthropicClient(options).messages.create({ model: CLAUDE, max_tokens: 1, messages: [] }),
    ).rejects.toBeInstanceOf(AnthropicNotFoundError);
    await expect(googleClient(options).models.generateContent({ model: GEMINI, contents: 'x' })).rejects.toMatchObject({
      status: 404,
    });
  });

  it('a request that must wait is tried again by the SDK, as Retry-After says', async () => {
    const { session, token } = await stack.issueSession({ limits: { spend_usd: '0.00045' } });
    const client = openaiClient({ url: stack.url, token, maxRetries: 3 });
    const ask = (content: string): Promise<OpenAI.ChatCompletion> =>
      client.chat.completions.create({
        model: GPT,
        max_completion_tokens: 400,
        messages: [{ role: 'user', content }],
      });
    const [slow, waiting] = await Promise.all([
      ask('[[delay:700]] [[tokens:9]]'),
      new Promise((resolve) => setTimeout(resolve, 200)).then(() => ask('[[tokens:9]]')),
    ]);
    expect([slow.choices, waiting.choices].map((choices) => choices.length)).toEqual([1, 1]);
    expect((await stack.admin.session(session.id)).requests.denied).toBeGreaterThan(0);
  });
});
