// Streams as their clients see them: whole, cut, broken off, abandoned. The official SDKs read them.
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { anthropicClient, googleClient, openaiClient } from '../support/sdk.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { micro, moneyOf, settledLedger } from './money.ts';

interface Drained {
  readonly text: string;
  readonly error: unknown;
}

async function drain<T>(
  stream: AsyncIterable<T>,
  textOf: (event: T) => string,
  onEvent: (count: number) => Promise<void> | void = () => undefined,
): Promise<Drained> {
  let text = '';
  let count = 0;
  try {
    for await (const event of stream) {
      text += textOf(event);
      count += 1;
      await onEvent(count);
    }
    return { text, error: null };
  } catch (error) {
    return { text, error };
  }
}

const chatText = (event: { choices: { delta: { content?: string | null } }[] }): string =>
  event.choices[0]?.delta.content ?? '';

const ENDLESS = '[[endless]] [[pace:20]] talk on';

describe('streams', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack();
  });
  afterAll(() => stack.close());

  const chat = (
    token: string,
    content: string,
    more: object = {},
  ): Promise<AsyncIterable<{ choices: { delta: { content?: string | null } }[] }>> =>
    openaiClient({ url: stack.url, token, maxRetries: 0 }).chat.completions.create({
      model: 'gpt-4o-mini',
      stream: true,
      messages: [{ role: 'user', content }],
      ...more,
    });

  interface Protocol {
    readonly name: string;
    readonly run: (
      token: string,
      content: string,
      onEvent?: (count: number) => Promise<void> | void,
    ) => Promise<Drained>;
  }
  const protocols: readonly Protocol[] = [
    {
      name: 'OpenAI chat',
      run: async (token, content, onEvent) => drain(await chat(token, content), chatText, onEvent),
    },
    {
      name: 'OpenAI responses',
      run: async (token, content, onEvent) =>
        drain(
          await openaiClient({ url: stack.url, token, maxRetries: 0 }).responses.create({
            model: 'gpt-4o-mini',
            stream: true,
            input: content,
          }),
          (event) => (event.type === 'response.output_text.delta' ? event.delta : ''),
          onEvent,
        ),
    },
    {
      name: 'Anthropic messages',
      run: async (token, content, onEvent) =>
        drain(
          await anthropicClient({ url: stack.url, token, maxRetries: 0 }).messages.create({
            model: 'claude-haiku-4-5',
            max_tokens: 4_000,
            stream: true,
            messages: [{ role: 'user', content }],
          }),
          (event) =>
            event.type === 'content_block_delta' && event.delta.type === 'text_delta' ? event.delta.text : '',
          onEvent,
        ),
    },
    {
      name: 'Gemini',
      run: async (token, content, onEvent) =>
        drain(
          await googleClient({ url: stack.url, token }).models.generateContentStream({
            model: 'gemini-2.0-flash',
            contents: content,
          }),
          (event) => event.text ?? '',
          onEvent,
        ),
    },
  ];

  it.each(protocols)('$name: passes whole, and is charged what the provider states', async ({ run }) => {
    const { session, token } = await stack.issueSession();
    const { text, error } = await run(token, 'hello [[tokens:60]]');
    expect(error).toBeNull();
    expect(text.length).toBeGreaterThan(100);
    const [entry] = await settledLedger(stack, session.id);
    expect(entry).toMatchObject({
      state: 'settled',
      estimated: false,
      reason: 'completed',
      usage: { output_tokens: 60 },
    });
    expect(micro(entry?.cost_usd ?? '0')).toBeGreaterThan(0);
  });

  it.each(protocols)(
    '$name: a revocation cuts it within moments, with an error that the SDK raises',
    async ({ run }) => {
      const { session, token } = await stack.issueSession();
      const { text, error } = await run(token, ENDLESS, async (count) => {
        if (count === 20) await stack.admin.revoke(session.id, 'cut it');
      });
      expect(text.length).toBeGreaterThan(0);
      expect(error).toBeInstanceOf(Error);
      expect(String(error)).toMatch(/revoked/i);
      const [entry] = await settledLedger(stack, session.id);
      expect(entry).toMatchObject({ state: 'settled', reason: 'cut-by-revocation', estimated: true });
      expect(micro(entry?.cost_usd ?? '0')).toBeGreaterThan(0);
      expect(stack.upstream.stats().open).toBe(0);
    },
  );

  it.each(protocols)('$name: an upstream that breaks off is no normal end, and is charged in full', async ({ run }) => {
    const { session, token } = await stack.issueSession();
    const { error } = await run(token, 'hello [[tokens:60]] [[reset:5]]');
    expect(error).toBeInstanceOf(Error);
    const [entry] = await settledLedger(stack, session.id);
    expect(entry).toMatchObject({ state: 'settled', reason: 'stream-lost', estimated: true });
    expect(entry?.cost_usd).toBe(entry?.hold_usd);
  });

  it.each(protocols)('$name: a stream that ends early without an error is one', async ({ run }) => {
    const { session, token } = await stack.issueSession();
    const { error } = await run(token, 'hello [[tokens:60]] [[truncate]]');
    expect(error).toBeInstanceOf(Error);
    const [entry] = await settledLedger(stack, session.id);
    expect(entry?.cost_usd).toBe(entry?.hold_usd);
  });

  it.each(protocols)('$name: without usage it is charged in full', async ({ run }) => {
    const { session, token } = await stack.issueSession();
    const { error } = await run(token, 'hello [[tokens:60]] [[usage:none]]');
    expect(error).toBeNull();
    const [entry] = await settledLedger(stack, session.id);
    expect(entry).toMatchObject({ estimated: true });
    expect(micro(entry?.cost_usd ?? '0')).toBeGreaterThan(0);
  });

  it('extends the hold as a stream flows, and cuts it where the session can pay for no more', async () => {
    const { session, token } = await stack.issueSession({ limits: { spend_usd: '0.003' } });
    let most = 0;
    const stream = await chat(token, ENDLESS.replace('20', '1') + '[[ignore-max]] [[chunk:40]]', {
      max_completion_tokens: 4_000,
    });
    const { error } = await drain(stream, chatText, async (count) => {
      if (count % 20 === 0) most = Math.max(most, (await moneyOf(stack, session.id)).held);
      // Somebody else takes what is left.
      if (count === 5) await stack.admin.changeLimits(session.id, { spend_usd: '0.0016' });
    });
    expect(String(error)).toMatch(/limit|pay for no more/i);
    const entries = await settledLedger(stack, session.id);
    expect(entries.at(0)).toMatchObject({ reason: 'cut-by-limit' });
    const { settled } = await moneyOf(stack, session.id);
    expect(settled).toBeLessThanOrEqual(1_600);
    expect(most).toBeLessThanOrEqual(3_000);
  });

  it('a lowered limit cuts what it no longer covers', async () => {
    const { session, token } = await stack.issueSession({ limits: { spend_usd: '1' } });
    const { error } = await drain(await chat(token, ENDLESS), chatText, async (count) => {
      if (count === 60) await stack.admin.changeLimits(session.id, { spend_usd: '0.0001' });
    });
    expect(String(error)).toMatch(/limit/i);
    await settledLedger(stack, session.id);
    expect(stack.upstream.stats().open).toBe(0);
  });

  it('a stream whose upstream is silent is cut all the same', async () => {
    const { session, token } = await stack.issueSession();
    const event = `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'gpt-4o-mini', choices: [{ index: 0, delta: { content: 'one' }, finish_reason: null }] })}\n\n`;
    stack.upstream.replayNext({
      contentType: 'text/event-stream',
      body: event + event,
      chunkBytes: event.length,
      paceMs: 60_000,
    });
    const { error } = await drain(await chat(token, 'hello'), chatText, async (count) => {
      if (count === 1) await stack.admin.revoke(session.id, 'cut it');
    });
    expect(String(error)).toMatch(/revoked/i);
    const [entry] = await settledLedger(stack, session.id);
    expect(entry).toMatchObject({ reason: 'cut-by-revocation' });
  });

  it('a client that goes away takes the upstream with it, and pays for what was generated', async () => {
    const { session, token } = await stack.issueSession();
    const abort = new AbortController();
    const response = await stack.call('/local-openai/v1/chat/completions', {
      token,
      body: { model: 'gpt-4o-mini', stream: true, messages: [{ role: 'user', content: ENDLESS }] },
      signal: abort.signal,
    });
    const reader = response.body?.getReader();
    for (let chunk = 0; chunk < 5; chunk += 1) await reader?.read();
    abort.abort();
    const [entry] = await settledLedger(stack, session.id);
    expect(entry).toMatchObject({ state: 'settled', reason: 'client-aborted', estimated: true });
    expect(micro(entry?.cost_usd ?? '0')).toBeGreaterThan(0);
    expect(micro(entry?.cost_usd ?? '0')).toBeLessThan(micro(entry?.hold_usd ?? '0'));
    for (let tries = 0; tries < 100 && stack.upstream.stats().open > 0; tries += 1)
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(stack.upstream.stats().open).toBe(0);
  });

  it('a client that goes away before the first byte pays the whole hold', async () => {
    const { session, token } = await stack.issueSession();
    const body = JSON.stringify({
      model: 'gpt-4o-mini',
      messages: [{ role: 'user', content: 'hello [[delay:3000]]' }],
    });
    const head = [
      'POST /local-openai/v1/chat/completions HTTP/1.1',
      'host: 127.0.0.1',
      `authorization: Bearer ${token}`,
      'content-type: application/json',
      `content-length: ${body.length}`,
    ];
    // A plain close only ends the sending half, which no server can tell from a client that has said all: reset it.
    const socket = connect(stack.gateway.port, '127.0.0.1', () => socket.write(`${head.join('\r\n')}\r\n\r\n${body}`));
    await new Promise((resolve) => setTimeout(resolve, 400));
    socket.resetAndDestroy();
    const [entry] = await settledLedger(stack, session.id);
    expect(entry).toMatchObject({ reason: 'client-aborted', estimated: true });
    expect(entry?.cost_usd).toBe(entry?.hold_usd);
  });

  it('hides the usage chunk that it asked for itself, and shows it to a client that asked', async () => {
    const { token } = await stack.issueSession();
    const read = async (options: object): Promise<string> =>
      (
        await stack.call('/local-openai/v1/chat/completions', {
          token,
          body: { model: 'gpt-4o-mini', stream: true, messages: [{ role: 'user', content: 'hi' }], ...options },
        })
      ).text();
    expect(await read({})).not.toContain('prompt_tokens');
    expect(stack.upstream.requests.at(-1)?.json).toMatchObject({ stream_options: { include_usage: true } });
    expect(await read({ stream_options: { include_usage: true } })).toContain('prompt_tokens');
  });
});
