// The route's time: for headers, and for the whole of an answer that is no stream.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startStack, type Stack } from '../support/stack.ts';
import { problemOf, settledLedger } from './money.ts';

describe('an upstream that falls silent', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({
      policy: (upstream) => `version: 1
routes:
  chat: { upstream: "${upstream}/openai", protocol: openai, scope: llm:openai, timeout_seconds: 1 }
`,
    });
  });
  afterAll(() => stack.close());

  const BODY = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }] };

  it.each([
    [
      'before its headers',
      () => stack.upstream.replayNext({ contentType: 'application/json', body: '{}', delayMs: 20_000 }),
    ],
    [
      'in the middle of its answer',
      () =>
        stack.upstream.replayNext({
          contentType: 'application/json',
          body: '{"choices":[]}',
          chunkBytes: 5,
          paceMs: 20_000,
        }),
    ],
  ])('%s is given up in the time of its route, at the price of the whole hold', async (_when, silence) => {
    const { session, token } = await stack.issueSession();
    silence();
    const response = await stack.call('/chat/v1/chat/completions', { token, body: BODY });
    expect(response.headers.get('x-should-retry')).toBe('false');
    expect(await problemOf(response)).toMatchObject({ status: 504, code: 'upstream-timeout' });
    const [entry] = await settledLedger(stack, session.id);
    expect(entry).toMatchObject({ reason: 'upstream-timeout', estimated: true });
    expect(entry?.cost_usd).toBe(entry?.hold_usd);
  });
});
