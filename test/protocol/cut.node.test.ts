// A stream that Fusebox cuts must end as an error in the provider's own SDK, never as an end: after any event, and before
// the first.
import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';
import { afterEach, describe, expect, it, vi } from 'vitest';
import type { Denial } from '../../src/denial.ts';
import type { ProtocolName } from '../../src/policy/policy.ts';
import { protocolFor } from '../../src/protocol/registry.ts';
import { callOf } from './fixtures.ts';
import { callFor, eventsOf, isStream, listed, PRESENT, sayIfAbsent } from './recorded.ts';

const DENIAL: Denial = { code: 'spend-limit-exceeded', detail: 'The session has spent its limit.' };

type Wire = { readonly event?: string; readonly data: object };

function bytesOf(events: readonly Wire[]): string {
  return events
    .map(({ event, data }) => `${event === undefined ? '' : `event: ${event}\n`}data: ${JSON.stringify(data)}\n\n`)
    .join('');
}

function answerWith(body: string): typeof fetch {
  return () => Promise.resolve(new Response(body, { status: 200, headers: { 'content-type': 'text/event-stream' } }));
}

const CHAT: readonly Wire[] = ['The', ' work', ' goes', ' on'].map((content) => ({
  data: {
    id: 'chatcmpl-1',
    object: 'chat.completion.chunk',
    created: 1,
    model: 'gpt-4o',
    choices: [{ index: 0, delta: { content }, finish_reason: null }],
  },
}));

const RESPONSES: readonly Wire[] = [
  { type: 'response.created', response: { id: 'resp_1', object: 'response', status: 'in_progress', output: [] } },
  {
    type: 'response.output_item.added',
    output_index: 0,
    item: { id: 'msg_1', type: 'message', role: 'assistant', content: [] },
  },
  {
    type: 'response.content_part.added',
    item_id: 'msg_1',
    output_index: 0,
    content_index: 0,
    part: { type: 'output_text', text: '', annotations: [] },
  },
  { type: 'response.output_text.delta', item_id: 'msg_1', output_index: 0, content_index: 0, delta: 'The work' },
].map((data, sequence) => ({ event: data.type, data: { ...data, sequence_number: sequence } }));

const MESSAGES: readonly Wire[] = [
  {
    type: 'message_start',
    message: {
      id: 'msg_1',
      type: 'message',
      role: 'assistant',
      model: 'claude-opus-5',
      content: [],
      stop_reason: null,
      usage: { input_tokens: 3, output_tokens: 1 },
    },
  },
  { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
  { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'The work' } },
].map((data) => ({ event: data.type, data }));

const GEMINI: readonly Wire[] = ['The', ' work'].map((text) => ({
  data: {
    candidates: [{ content: { role: 'model', parts: [{ text }] }, index: 0 }],
    usageMetadata: { promptTokenCount: 3 },
  },
}));

function cutOf(protocol: ProtocolName, path: string, body: object): string {
  return protocolFor(protocol).cut(DENIAL, callOf(protocol, path, body));
}

async function drained(events: AsyncIterable<unknown>): Promise<number> {
  let seen = 0;
  for await (const _event of events) seen += 1;
  return seen;
}

/** Each beginning of a stream, the empty one included. */
function beginnings(events: readonly Wire[]): readonly (readonly Wire[])[] {
  return Array.from({ length: events.length + 1 }, (_, length) => events.slice(0, length));
}

afterEach(() => {
  vi.unstubAllGlobals();
});

describe('a cut stream', () => {
  it('is an error to the OpenAI SDK reading chat completions', async () => {
    const body = { model: 'gpt-4o', messages: [{ role: 'user' as const, content: 'Go on' }] };
    const cut = cutOf('openai', '/v1/chat/completions', body);
    for (const events of beginnings(CHAT)) {
      const client = new OpenAI({ apiKey: 'token', fetch: answerWith(bytesOf(events) + cut), maxRetries: 0 });
      const stream = await client.chat.completions.create({ ...body, stream: true });
      await expect(drained(stream)).rejects.toThrow(DENIAL.detail);
      const helper = client.chat.completions.stream(body);
      await expect(helper.finalChatCompletion()).rejects.toThrow();
    }
  });

  it('is an error to the OpenAI SDK reading responses', async () => {
    const body = { model: 'gpt-4o', input: 'Go on' };
    const cut = cutOf('openai', '/v1/responses', body);
    for (const events of beginnings(RESPONSES)) {
      const client = new OpenAI({ apiKey: 'token', fetch: answerWith(bytesOf(events) + cut), maxRetries: 0 });
      const stream = await client.responses.create({ ...body, stream: true });
      await expect(drained(stream)).rejects.toThrow(DENIAL.detail);
      await expect(client.responses.stream(body).finalResponse()).rejects.toThrow();
    }
  });

  it('is an error to the Anthropic SDK', async () => {
    const body = { model: 'claude-opus-5', max_tokens: 100, messages: [{ role: 'user' as const, content: 'Go on' }] };
    const cut = cutOf('anthropic', '/v1/messages', body);
    for (const events of beginnings(MESSAGES)) {
      const client = new Anthropic({ apiKey: 'token', fetch: answerWith(bytesOf(events) + cut), maxRetries: 0 });
      const stream = await client.messages.create({ ...body, stream: true });
      await expect(drained(stream)).rejects.toThrow(DENIAL.detail);
      await expect(client.messages.stream(body).finalMessage()).rejects.toThrow();
    }
  });

  it('is an error to the Gemini SDK', async () => {
    const cut = cutOf('gemini', '/v1beta/models/gemini-2.5-flash:streamGenerateContent', {
      contents: [{ parts: [{ text: 'Go on' }] }],
    });
    for (const events of beginnings(GEMINI)) {
      vi.stubGlobal('fetch', answerWith(bytesOf(events) + cut));
      const client = new GoogleGenAI({ apiKey: 'token', httpOptions: { baseUrl: 'http://127.0.0.1:1' } });
      const reading = client.models
        .generateContentStream({ model: 'gemini-2.5-flash', contents: 'Go on' })
        .then((stream) => drained(stream));
      await expect(reading).rejects.toThrow(DENIAL.detail);
    }
  });

  it('is an error even when the cut falls into the middle of an event', async () => {
    const body = { model: 'gpt-4o', messages: [{ role: 'user' as const, content: 'Go on' }] };
    const half = bytesOf(CHAT).slice(0, -40);
    const client = new OpenAI({
      apiKey: 'token',
      fetch: answerWith(half + cutOf('openai', '/v1/chat/completions', body)),
      maxRetries: 0,
      logLevel: 'off',
    });
    const stream = await client.chat.completions.create({ ...body, stream: true });
    await expect(drained(stream)).rejects.toThrow();
  });
});

sayIfAbsent();

describe.runIf(PRESENT)('a recorded stream', () => {
  it('of OpenAI is an error to its SDK wherever it is cut', async () => {
    const streams = listed.filter((recording) => recording.provider === 'openai' && isStream(recording));
    expect(streams.length).toBeGreaterThan(0);
    for (const recording of streams) {
      const cut = protocolFor('openai').cut(DENIAL, callFor(recording));
      const events = eventsOf(recording.body).filter(({ data }) => data !== '[DONE]');
      const frames = events.map(
        ({ event, data }) => `${event === undefined ? '' : `event: ${event}\n`}data: ${data}\n\n`,
      );
      for (let passed = 0; passed <= frames.length; passed += 1) {
        const body = frames.slice(0, passed).join('') + cut;
        const client = new OpenAI({ apiKey: 'token', fetch: answerWith(body), maxRetries: 0 });
        const stream = recording.path.endsWith('/responses')
          ? await client.responses.create({ model: 'any', input: '', stream: true })
          : await client.chat.completions.create({ model: 'any', messages: [], stream: true });
        await expect(drained(stream), `${recording.id} after ${passed}`).rejects.toThrow(DENIAL.detail);
      }
    }
  });
});
