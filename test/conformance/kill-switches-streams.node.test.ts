// What is under way when a kill switch is pulled: every kind of answer ends, with an error that its client cannot take for
// an end, and its upstream is let go.
import { APIError as AnthropicError } from '@anthropic-ai/sdk';
import { ApiError as GoogleError } from '@google/genai';
import { APIError as OpenaiError } from 'openai';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { eventually } from '../support/eventually.ts';
import { anthropicClient, googleClient, openaiClient } from '../support/sdk.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { micro, problemOf, settledLedger } from './money.ts';

const VICTIM = { agent: 'billing-7', customer: 'acme', segment: ['retail', 'vulnerable'] };
const TICKET = '/tickets/tickets/1';
const ENDLESS = '[[endless]] [[pace:20]] talk on';

describe('a kill switch, with answers under way', { timeout: 60_000 }, () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack();
  });
  beforeEach(() => stack.upstream.reset());
  afterEach(() => put('DELETE', 'agent/billing-7'));
  afterAll(() => stack.close());

  async function put(method: 'PUT' | 'DELETE', name: string): Promise<void> {
    const answer = await fetch(`${stack.url}/admin/kill-switches/${name}`, {
      method,
      headers: { authorization: `Bearer ${stack.adminToken}` },
      body: JSON.stringify({ reason: 'runaway' }),
    });
    await answer.body?.cancel();
  }
  const isLetGo = (): Promise<unknown> =>
    eventually(
      async () => stack.upstream.stats().open,
      (open) => open === 0,
    );

  /** The error that a stream ends with; pulls the switch once it has begun. */
  async function errorOf(stream: Promise<AsyncIterable<unknown>>, name = 'agent/billing-7'): Promise<unknown> {
    let events = 0;
    try {
      for await (const _event of await stream) {
        events += 1;
        if (events === 10) await put('PUT', name);
      }
    } catch (error) {
      expect(events).toBeGreaterThanOrEqual(10);
      return error;
    }
    return null;
  }

  const chat = (token: string): Promise<AsyncIterable<unknown>> =>
    openaiClient({ url: stack.url, token, maxRetries: 0 }).chat.completions.create({
      model: 'gpt-4o-mini',
      stream: true,
      messages: [{ role: 'user', content: ENDLESS }],
    });

  const protocols: readonly {
    readonly name: string;
    readonly run: (token: string) => Promise<AsyncIterable<unknown>>;
    readonly error: abstract new (...args: never[]) => Error;
  }[] = [
    { name: 'OpenAI chat', run: chat, error: OpenaiError },
    {
      name: 'OpenAI responses',
      run: (token) =>
        openaiClient({ url: stack.url, token, maxRetries: 0 }).responses.create({
          model: 'gpt-4o-mini',
          stream: true,
          input: ENDLESS,
        }),
      error: OpenaiError,
    },
    {
      name: 'Anthropic messages',
      run: (token) =>
        anthropicClient({ url: stack.url, token, maxRetries: 0 }).messages.create({
          model: 'claude-haiku-4-5',
          max_tokens: 4_000,
          stream: true,
          messages: [{ role: 'user', content: ENDLESS }],
        }),
      error: AnthropicError,
    },
    {
      name: 'Gemini',
      run: (token) =>
        googleClient({ url: stack.url, token }).models.generateContentStream({
          model: 'gemini-2.0-flash',
          contents: ENDLESS,
        }),
      error: GoogleError,
    },
  ];

  it.each(protocols)('$name: ends in an error of its SDK', async ({ run, error }) => {
    const { session, token } = await stack.issueSession(VICTIM);
    const thrown = await errorOf(run(token));
    expect(thrown).toBeInstanceOf(error);
    expect(String(thrown)).toContain('stopped by an operator');
    await isLetGo();
    const [entry] = await settledLedger(stack, session.id);
    expect(entry).toMatchObject({ state: 'settled', reason: 'cut-by-kill-switch', estimated: true });
    expect(micro(entry?.cost_usd ?? '0')).toBeGreaterThan(0);
    expect(micro(entry?.cost_usd ?? '0')).toBeLessThan(micro(entry?.hold_usd ?? '0'));
  });

  /** A tool's answer that would take minutes. */
  const slowDownload = (token: string, signal?: AbortSignal): Promise<Response> => {
    const body = 'x'.repeat(1_000_000);
    stack.upstream.replayNext({
      body,
      contentType: 'application/octet-stream',
      chunkBytes: 100,
      paceMs: 20,
      path: '/tickets/1',
    });
    return stack.call(TICKET, { token, ...(signal === undefined ? {} : { signal }) });
  };

  it.each(['agent/billing-*', 'feature/chat', 'feature/chat@billing-7', 'customer/acme', 'segment/vulnerable'])(
    '%s cuts a stream, and not what another gets',
    async (name) => {
      const { token } = await stack.issueSession(VICTIM);
      const other = await stack.issueSession({ agent: 'other', customer: 'other', segment: 'other' });
      const abort = new AbortController();
      const bystander = (await slowDownload(other.token, abort.signal)).body?.getReader();
      try {
        expect(String(await errorOf(chat(token), name))).toContain('stopped by an operator');
        for (let chunk = 0; chunk < 50; chunk += 1) expect((await bystander?.read())?.done).toBe(false);
      } finally {
        await put('DELETE', name);
        abort.abort();
        await isLetGo();
      }
    },
  );

  it('a download gets no further, and its fee is due', async () => {
    const { session, token } = await stack.issueSession(VICTIM);
    const response = await slowDownload(token);
    expect(response.status).toBe(200);
    // workerd ends an answer that breaks as if that were its end, and whoever wants to know compares lengths.
    const reading = response.arrayBuffer().then(
      ({ byteLength }) => byteLength,
      () => 0,
    );
    await put('PUT', 'agent/billing-7');
    expect(await reading).toBeLessThan(500_000);
    await isLetGo();
    const [entry] = await settledLedger(stack, session.id);
    expect(entry).toMatchObject({ reason: 'cut-by-kill-switch', cost_usd: '0.010000' });
  });

  it.each([
    ['an LLM call', '/local-openai/v1/chat/completions', 'before its headers', '[[hang]]'],
    ['an LLM call', '/local-anthropic/v1/messages', 'before its headers', '[[hang]]'],
    ['an LLM call', '/local-openai/v1/chat/completions', 'in the middle of its body', '[[pace:60000]]'],
  ])('%s (%s) that waits %s is refused', async (_what, path, _where, content) => {
    const { session, token } = await stack.issueSession(VICTIM);
    const model = path.includes('anthropic') ? 'claude-haiku-4-5' : 'gpt-4o-mini';
    const body = { model, max_tokens: 50, messages: [{ role: 'user', content }] };
    const answer = stack.call(path, { token, body });
    await eventually(
      async () => stack.upstream.stats().open,
      (open) => open === 1,
    );
    await put('PUT', 'agent/billing-7');
    const refusal = await answer;
    expect(refusal.headers.get('x-should-retry')).toBe('false');
    expect(await problemOf(refusal)).toMatchObject({
      status: 403,
      code: 'kill-switch-active',
      body: { level: 'agent', target: 'billing-7' },
    });
    await isLetGo();
    // It may all have been generated: nobody has seen that it was not.
    const [entry] = await settledLedger(stack, session.id);
    expect(entry).toMatchObject({ state: 'settled', reason: 'cut-by-kill-switch', estimated: true });
    expect(entry?.cost_usd).toBe(entry?.hold_usd);
  });

  it('a tool that does not answer is let go, and its fee is due', async () => {
    const { session, token } = await stack.issueSession(VICTIM);
    const answer = stack.call(`${TICKET}?behave=hang`, { token });
    await eventually(
      async () => stack.upstream.stats().open,
      (open) => open === 1,
    );
    await put('PUT', 'agent/billing-7');
    expect(await problemOf(await answer)).toMatchObject({ status: 403, code: 'kill-switch-active' });
    await isLetGo();
    const [entry] = await settledLedger(stack, session.id);
    expect(entry).toMatchObject({ state: 'settled', cost_usd: '0.010000' });
  });

  it('a stream whose upstream is silent is cut', async () => {
    const { token } = await stack.issueSession(VICTIM);
    const event = `data: ${JSON.stringify({ id: 'c', object: 'chat.completion.chunk', created: 1, model: 'gpt-4o-mini', choices: [{ index: 0, delta: { content: 'one' }, finish_reason: null }] })}\n\n`;
    const replay = { contentType: 'text/event-stream', body: event + event, chunkBytes: event.length };
    stack.upstream.replayNext({ ...replay, paceMs: 60_000 });
    let error: unknown = null;
    try {
      for await (const _event of await chat(token)) await put('PUT', 'agent/billing-7');
    } catch (thrown) {
      error = thrown;
    }
    expect(String(error)).toContain('stopped by an operator');
    await isLetGo();
  });

  it('a hundred streams at once all end', async () => {
    const { session, token } = await stack.issueSession({ ...VICTIM, limits: { spend_usd: '100' } });
    const body = {
      model: 'gpt-4o-mini',
      stream: true,
      messages: [{ role: 'user', content: '[[endless]] [[pace:200]]' }],
    };
    const ends = Array.from({ length: 100 }, async () => {
      const response = await stack.call('/local-openai/v1/chat/completions', { token, body });
      return (await response.text()).includes('kill-switch-active');
    });
    await eventually(
      async () => stack.upstream.stats().open,
      (open) => open === 100,
    );
    await put('PUT', 'agent/billing-7');
    expect(new Set(await Promise.all(ends))).toEqual(new Set([true]));
    await isLetGo();
    expect((await settledLedger(stack, session.id)).length).toBe(100);
  });
});
