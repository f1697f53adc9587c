// The three official SDKs, unmodified, doing what agents do all day: another base URL and another key, and nothing else.
import { APIUserAbortError, type Anthropic } from '@anthropic-ai/sdk';
import type OpenAI from 'openai';
import { zodResponseFormat } from 'openai/helpers/zod';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import * as z from 'zod';
import { anthropicClient, googleClient, openaiClient } from '../support/sdk.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { micro, settledLedger } from './money.ts';

const GPT = 'gpt-4o-mini';
const CLAUDE = 'claude-haiku-4-5';
const GEMINI = 'gemini-2.0-flash';
const EMBEDDER = 'text-embedding-3-small';

const LOOK_UP = { type: 'object' as const, properties: { order: { type: 'string' } }, required: ['order'] };

const ask = (content: string): Anthropic.MessageCreateParamsNonStreaming => ({
  model: CLAUDE,
  max_tokens: 500,
  messages: [{ role: 'user', content }],
});

describe('the official SDKs', () => {
  let stack: Stack;
  let id: string;
  let openai: OpenAI;
  let anthropic: Anthropic;
  let google: ReturnType<typeof googleClient>;
  beforeAll(async () => {
    stack = await startStack();
  });
  beforeEach(async () => {
    stack.upstream.reset();
    const { session, token } = await stack.issueSession();
    id = session.id;
    const options = { url: stack.url, token };
    openai = openaiClient(options);
    anthropic = anthropicClient(options);
    google = googleClient(options);
  });
  afterAll(() => stack.close());

  /** How many requests reached the upstream, each settled with what its provider stated. */
  const expectCharged = async (requests: number): Promise<void> => {
    const entries = await settledLedger(stack, id);
    expect(entries.map(({ state, estimated }) => ({ state, estimated }))).toEqual(
      Array.from({ length: requests }, () => ({ state: 'settled', estimated: false })),
    );
    expect(stack.upstream.stats().requests).toBe(requests);
  };

  // ----------------------------------------------------------------------------------------------------------- OpenAI

  describe('openai', () => {
    it('chats, over several turns and several choices', async () => {
      const messages: OpenAI.ChatCompletionMessageParam[] = [{ role: 'system', content: 'Be brief.' }];
      for (const content of ['hello', 'and then?', 'and at last?']) {
        messages.push({ role: 'user', content });
        const { choices } = await openai.chat.completions.create({ model: GPT, messages });
        messages.push({ role: 'assistant', content: choices[0]?.message.content ?? '' });
      }
      expect(messages.every(({ content }) => content !== '')).toBe(true);
      expect((await openai.chat.completions.create({ model: GPT, messages, n: 3 })).choices).toHaveLength(3);
      await expectCharged(4);
    });

    it('streams through its helper, and knows the whole at the end', async () => {
      const stream = openai.chat.completions.stream({
        model: GPT,
        messages: [{ role: 'user', content: '[[tokens:30]]' }],
        stream_options: { include_usage: true },
      });
      let text = '';
      for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
      expect(await stream.finalContent()).toBe(text);
      expect((await stream.totalUsage()).completion_tokens).toBe(30);
      const unasked = openai.chat.completions.stream({
        model: GPT,
        messages: [{ role: 'user', content: '[[tokens:30]]' }],
      });
      expect((await unasked.finalChatCompletion()).usage ?? null).toBeNull();
      await expectCharged(2);
    });

    it('runs tools until the model has an answer', async () => {
      const asked: string[] = [];
      const runner = openai.chat.completions.runTools({
        model: GPT,
        messages: [{ role: 'user', content: 'where is it? [[steps:2]]' }],
        tools: [
          {
            type: 'function',
            function: {
              name: 'look_up',
              description: 'Looks an order up.',
              parameters: LOOK_UP,
              parse: (input: string) => z.object({ order: z.string() }).parse(JSON.parse(input)),
              function: ({ order }: { order: string }) => {
                asked.push(order);
                return 'on its way';
              },
            },
          },
        ],
      });
      expect((await runner.finalContent())?.length).toBeGreaterThan(10);
      expect(asked).toHaveLength(2);
      await expectCharged(3);
    });

    it('parses structured output', async () => {
      stack.upstream.replayNext({
        body: JSON.stringify({
          id: 'x',
          object: 'chat.completion',
          model: GPT,
          choices: [{ index: 0, finish_reason: 'stop', message: { role: 'assistant', content: '{"order":"4411"}' } }],
          usage: { prompt_tokens: 20, completion_tokens: 6, total_tokens: 26 },
        }),
      });
      const format = zodResponseFormat(z.object({ order: z.string() }), 'order');
      const parsed = await openai.chat.completions.parse({
        model: GPT,
        messages: [{ role: 'user', content: 'which?' }],
        response_format: format,
      });
      expect(parsed.choices[0]?.message.parsed).toEqual({ order: '4411' });
      expect(stack.upstream.requests[0]?.json).toMatchObject({ response_format: { type: 'json_schema' } });
      await expectCharged(1);
    });

    it('uses responses: whole, streamed, with tools, counted and compacted', async () => {
      const whole = await openai.responses.create({ model: GPT, input: '[[tokens:20]]' });
      expect(whole.output_text.length).toBeGreaterThan(20);
      const stream = openai.responses.stream({ model: GPT, input: '[[tokens:20]]' });
      expect((await stream.finalResponse()).output_text).toBe(whole.output_text);
      const called = await openai.responses.create({
        model: GPT,
        input: 'x [[steps:1]]',
        tools: [{ type: 'function', name: 'look_up', parameters: LOOK_UP, strict: false }],
      });
      expect(called.output.some(({ type }) => type === 'function_call')).toBe(true);
      await expectCharged(3);
      expect(
        (await openai.responses.inputTokens.count({ model: GPT, input: 'how long?' })).input_tokens,
      ).toBeGreaterThan(0);
      expect((await openai.responses.compact({ model: GPT, input: 'a long story' })).object).toBe(
        'response.compaction',
      );
      const entries = await settledLedger(stack, id);
      expect(entries.map(({ action, cost_usd: cost }) => ({ action, free: micro(cost) === 0 })).slice(3)).toEqual([
        { action: 'responses.input_tokens', free: true },
        { action: 'responses.compact', free: false },
      ]);
    });

    it('embeds, in the base64 that it asks for by itself and in floats', async () => {
      const packed = await openai.embeddings.create({ model: EMBEDDER, input: ['one', 'two'] });
      const plain = await openai.embeddings.create({ model: EMBEDDER, input: 'one', encoding_format: 'float' });
      expect(stack.upstream.requests.map(({ json }) => json?.['encoding_format'])).toEqual(['base64', 'float']);
      expect(packed.data).toHaveLength(2);
      expect(packed.data[0]?.embedding.map((value) => Math.fround(value))).toEqual(
        plain.data[0]?.embedding.map((value) => Math.fround(value)),
      );
      await expectCharged(2);
    });

    it('aborts in mid-stream, and takes the upstream with it', async () => {
      const stream = await openai.chat.completions.create({
        model: GPT,
        stream: true,
        messages: [{ role: 'user', content: '[[endless]] [[pace:20]]' }],
      });
      let seen = 0;
      for await (const _chunk of stream) {
        seen += 1;
        if (seen === 5) stream.controller.abort();
      }
      const [entry] = await settledLedger(stack, id);
      expect(entry).toMatchObject({ reason: 'client-aborted', estimated: true });
      await expect.poll(() => stack.upstream.stats().open).toBe(0);
    });

    it('reads the raw answer and the request id', async () => {
      const {
        data,
        response,
        request_id: requestId,
      } = await openai.chat.completions
        .create({ model: GPT, messages: [{ role: 'user', content: 'hi' }] })
        .withResponse();
      expect(data.choices).toHaveLength(1);
      expect(response.headers.get('x-fusebox-session')).toBe(id);
      const [entry] = await settledLedger(stack, id);
      expect(requestId).toBe(entry?.id);
    });
  });

  // -------------------------------------------------------------------------------------------------------- Anthropic

  describe('anthropic', () => {
    it('writes messages, counts tokens for nothing, and caches', async () => {
      const message = await anthropic.messages.create({
        ...ask('[[tokens:20]] [[cached:5]]'),
        system: [{ type: 'text', text: 'Be brief.', cache_control: { type: 'ephemeral' } }],
      });
      expect(message.usage.cache_read_input_tokens).toBe(5);
      await expectCharged(1);
      expect(
        (await anthropic.messages.countTokens({ model: CLAUDE, messages: [{ role: 'user', content: 'hi' }] }))
          .input_tokens,
      ).toBeGreaterThan(0);
      const [paid, free] = await settledLedger(stack, id);
      expect([micro(paid?.cost_usd ?? '0') > 0, free?.cost_usd]).toEqual([true, '0.000000']);
    });

    it('streams through its helper, and knows the whole at the end', async () => {
      const stream = anthropic.messages.stream(ask('[[tokens:30]]'));
      let text = '';
      stream.on('text', (delta) => (text += delta));
      const message = await stream.finalMessage();
      expect([message.content[0]?.type, message.usage.output_tokens, message.stop_reason]).toEqual([
        'text',
        30,
        'end_turn',
      ]);
      expect(await stream.finalText()).toBe(text);
      await expectCharged(1);
    });

    it('calls tools and takes their results', async () => {
      const tools: Anthropic.Tool[] = [{ name: 'look_up', input_schema: LOOK_UP }];
      const messages: Anthropic.MessageParam[] = [{ role: 'user', content: 'where is it? [[steps:1]]' }];
      const first = await anthropic.messages.create({ ...ask(''), tools, messages });
      const use = first.content.find((block) => block.type === 'tool_use');
      messages.push(
        { role: 'assistant', content: first.content },
        { role: 'user', content: [{ type: 'tool_result', tool_use_id: use?.id ?? '', content: 'on its way' }] },
      );
      const second = await anthropic.messages.stream({ ...ask(''), tools, messages }).finalMessage();
      expect([first.stop_reason, second.stop_reason]).toEqual(['tool_use', 'end_turn']);
      await expectCharged(2);
    });

    it('aborts in mid-stream, and takes the upstream with it', async () => {
      const stream = anthropic.messages.stream(ask('[[endless]] [[pace:20]]'));
      let seen = 0;
      stream.on('text', () => {
        seen += 1;
        if (seen === 5) stream.abort();
      });
      await expect(stream.done()).rejects.toBeInstanceOf(APIUserAbortError);
      const [entry] = await settledLedger(stack, id);
      expect(entry).toMatchObject({ reason: 'client-aborted', estimated: true });
      await expect.poll(() => stack.upstream.stats().open).toBe(0);
    });
  });

  // ----------------------------------------------------------------------------------------------------------- Google

  describe('google', () => {
    it('generates, whole and streamed, over several turns', async () => {
      const whole = await google.models.generateContent({ model: GEMINI, contents: '[[tokens:20]]' });
      let text = '';
      for await (const chunk of await google.models.generateContentStream({ model: GEMINI, contents: '[[tokens:20]]' }))
        text += chunk.text ?? '';
      expect(text).toBe(whole.text);
      const chat = google.chats.create({
        model: GEMINI,
        config: { systemInstruction: 'Be brief.', maxOutputTokens: 60 },
      });
      for (const message of ['hello', 'and then?'])
        expect((await chat.sendMessage({ message })).text?.length).toBeGreaterThan(0);
      await expectCharged(4);
    });

    it('calls functions', async () => {
      const answer = await google.models.generateContent({
        model: GEMINI,
        contents: 'where is it? [[steps:1]]',
        config: { tools: [{ functionDeclarations: [{ name: 'look_up', parametersJsonSchema: LOOK_UP }] }] },
      });
      expect(answer.functionCalls?.[0]?.name).toBe('look_up');
      await expectCharged(1);
    });

    it('counts tokens for nothing, and embeds', async () => {
      expect((await google.models.countTokens({ model: GEMINI, contents: 'hi' })).totalTokens).toBeGreaterThan(0);
      expect(
        (await google.models.embedContent({ model: 'gemini-embedding-001', contents: ['one', 'two'] })).embeddings,
      ).toHaveLength(2);
      const [free, embedded] = await settledLedger(stack, id);
      expect([free?.cost_usd, embedded?.state]).toEqual(['0.000000', 'settled']);
    });

    it('aborts in mid-stream, and takes the upstream with it', async () => {
      const abort = new AbortController();
      const stream = await google.models.generateContentStream({
        model: GEMINI,
        contents: '[[endless]] [[pace:20]]',
        config: { abortSignal: abort.signal },
      });
      const drained = (async () => {
        let seen = 0;
        for await (const _chunk of stream) {
          seen += 1;
          if (seen === 5) abort.abort();
        }
      })();
      await expect(drained).rejects.toThrow();
      const [entry] = await settledLedger(stack, id);
      expect(entry).toMatchObject({ reason: 'client-aborted', estimated: true });
      await expect.poll(() => stack.upstream.stats().open).toBe(0);
    });
  });
});
