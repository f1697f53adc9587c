// The local upstream against the official SDKs, directly: if it does not speak as the providers do, what is tested through the
// gateway with it proves little.
import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startUpstream, type Upstream } from '../../demo/upstream/server.ts';

const MODEL = 'gpt-4o-mini';
const CLAUDE = 'claude-sonnet-4-6';
const GEMINI = 'gemini-2.5-flash';
const LOOKUP = {
  type: 'function',
  function: {
    name: 'look_up_order',
    description: 'Looks an order up',
    parameters: { type: 'object', properties: { order: { type: 'string' } } },
  },
} as const;

let upstream: Upstream;
let openai: OpenAI;
let anthropic: Anthropic;
let google: GoogleGenAI;

beforeAll(async () => {
  upstream = await startUpstream({ port: 0 });
  openai = new OpenAI({ apiKey: 'sk-test', baseURL: `${upstream.url}/openai/v1`, maxRetries: 0 });
  anthropic = new Anthropic({ apiKey: 'sk-ant-test', baseURL: `${upstream.url}/anthropic`, maxRetries: 0 });
  google = new GoogleGenAI({ apiKey: 'goog-test', httpOptions: { baseUrl: `${upstream.url}/gemini` } });
});
afterAll(() => upstream.close());
beforeEach(() => upstream.reset());

function user(content: string): { role: 'user'; content: string }[] {
  return [{ role: 'user', content }];
}

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const seen: T[] = [];
  for await (const item of items) seen.push(item);
  return seen;
}

/** The arguments of the tool call that the model asks for after so many results; undefined when it asks for none. */
async function toolWanted(directive: string, results: number): Promise<string | undefined> {
  const call = { id: 'c', type: 'function' as const, function: { name: 'look_up_order', arguments: '{}' } };
  const turns = Array.from({ length: results }, () => [
    { role: 'assistant' as const, tool_calls: [call] },
    { role: 'tool' as const, tool_call_id: 'c', content: 'nothing' },
  ]).flat();
  const answer = await openai.chat.completions.create({
    model: MODEL,
    tools: [LOOKUP],
    messages: [...user(directive), ...turns],
  });
  const wanted = answer.choices[0]?.message.tool_calls?.[0];
  return wanted?.type === 'function' ? wanted.function.arguments : undefined;
}

/** A chat completion without an SDK, so that nothing is hidden. */
function ask(content: string, stream = false): Promise<Response> {
  return fetch(`${upstream.url}/openai/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: 'Bearer sk-secret' },
    redirect: 'manual',
    body: JSON.stringify({ model: MODEL, stream, stream_options: { include_usage: true }, messages: user(content) }),
  });
}

describe('as OpenAI', () => {
  it('answers a chat completion with the tokens asked for', async () => {
    const answer = await openai.chat.completions.create({ model: MODEL, messages: user('hello [[tokens:12]]') });
    expect(answer.choices[0]?.message.content?.split(' ')).toHaveLength(12);
    expect(answer.choices[0]?.finish_reason).toBe('stop');
    expect(answer.usage?.completion_tokens).toBe(12);
    expect(upstream.requests[0]?.headers.authorization).toBe('Bearer sk-test');
  });

  it('takes the maximum as a hard ceiling, per choice', async () => {
    const answer = await openai.chat.completions.create({
      model: MODEL,
      messages: user('[[tokens:500]]'),
      max_completion_tokens: 7,
      n: 2,
    });
    expect(answer.choices.map((choice) => choice.finish_reason)).toEqual(['length', 'length']);
    expect(answer.usage?.completion_tokens).toBe(14);
  });

  it('streams the same words, and states usage only where it was asked for', async () => {
    const body = { model: MODEL, messages: user('hello [[tokens:30]]') };
    const whole = await openai.chat.completions.create(body);
    const bare = await all(await openai.chat.completions.create({ ...body, stream: true }));
    const counted = await all(
      await openai.chat.completions.create({ ...body, stream: true, stream_options: { include_usage: true } }),
    );
    const text = bare.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
    expect(text).toBe(whole.choices[0]?.message.content);
    expect(bare.some((chunk) => chunk.usage)).toBe(false);
    expect(counted.at(-1)?.usage).toEqual(whole.usage);
  });

  it('asks for the same tool call for ever when it loops, and for as many steps as it was told otherwise', async () => {
    const looping = [await toolWanted('[[loop]]', 0), await toolWanted('[[loop]]', 5)];
    expect(looping[0]).toBeTypeOf('string');
    expect(looping[1]).toBe(looping[0]);
    expect(await toolWanted('[[steps:2]]', 1)).toBeTypeOf('string');
    expect(await toolWanted('[[steps:2]]', 2)).toBeUndefined();
  });

  it('streams a tool call that the SDK puts together', async () => {
    const stream = openai.chat.completions.stream({ model: MODEL, tools: [LOOKUP], messages: user('[[loop]]') });
    const message = await stream.finalMessage();
    expect(message.tool_calls?.[0]).toMatchObject({ type: 'function', function: { name: 'look_up_order' } });
  });

  it('answers responses, whole and streamed, with the same usage', async () => {
    const body = { model: MODEL, input: 'hello [[tokens:9]]' };
    const whole = await openai.responses.create(body);
    const stream = openai.responses.stream(body);
    const final = await stream.finalResponse();
    expect(whole.output_text.split(' ')).toHaveLength(9);
    expect(final.output_text).toBe(whole.output_text);
    expect(final.usage).toEqual(whole.usage);
    const short = await openai.responses.create({ ...body, max_output_tokens: 4 });
    expect(short).toMatchObject({
      status: 'incomplete',
      incomplete_details: { reason: 'max_output_tokens' },
      usage: { output_tokens: 4 },
    });
  });

  it('counts, compacts, embeds and lists', async () => {
    const counted = await openai.responses.inputTokens.count({ model: MODEL, input: 'hello' });
    const whole = await openai.responses.create({ model: MODEL, input: 'hello' });
    expect(counted.input_tokens).toBe(whole.usage?.input_tokens);
    const compacted = await openai.responses.compact({ model: MODEL, input: 'hello' });
    expect(compacted.output[0]).toMatchObject({ type: 'compaction' });
    const embedded = await openai.embeddings.create({ model: 'text-embedding-3-small', input: ['a', 'b'] });
    expect(embedded.data.map((entry) => entry.embedding.length)).toEqual([8, 8]);
    expect(embedded.usage.prompt_tokens).toBeGreaterThan(0);
    expect((await all(await openai.models.list())).map((model) => model.id)).toContain('gpt-4o-mini');
  });
});

describe('as Anthropic', () => {
  it('answers messages, whole and streamed, with the same usage', async () => {
    const body = { model: CLAUDE, max_tokens: 100, messages: user('hello [[tokens:11]] [[cached:2]]') };
    const whole = await anthropic.messages.create(body);
    const streamed = await anthropic.messages.stream(body).finalMessage();
    expect(whole.content[0]).toMatchObject({ type: 'text' });
    expect(streamed.content).toEqual(whole.content);
    expect(whole.usage).toMatchObject({ output_tokens: 11, cache_read_input_tokens: 2 });
    expect(streamed.usage).toEqual(whole.usage);
    expect(upstream.requests[0]?.headers.authorization).toBe('Bearer sk-ant-test');
  });

  it('stops at max_tokens, calls tools and counts', async () => {
    const short = await anthropic.messages.create({ model: CLAUDE, max_tokens: 5, messages: user('hello') });
    expect(short).toMatchObject({ stop_reason: 'max_tokens', usage: { output_tokens: 5 } });
    const tools = [{ name: 'look_up_order', input_schema: { type: 'object' as const } }];
    const calling = await anthropic.messages
      .stream({ model: CLAUDE, max_tokens: 100, tools, messages: user('[[loop]]') })
      .finalMessage();
    expect(calling.stop_reason).toBe('tool_use');
    expect(calling.content.at(-1)).toMatchObject({ type: 'tool_use', input: { order: '4411' } });
    const counted = await anthropic.messages.countTokens({ model: CLAUDE, messages: user('hello') });
    expect(counted.input_tokens).toBe(short.usage.input_tokens);
  });

  it('shows an error inside a stream as an error', async () => {
    const stream = anthropic.messages.stream({ model: CLAUDE, max_tokens: 100, messages: user('[[error-event]]') });
    await expect(stream.finalMessage()).rejects.toThrow('Overloaded');
  });
});

describe('as Gemini', () => {
  it('answers, streams and counts', async () => {
    const body = { model: GEMINI, contents: 'hello [[tokens:10]] [[reasoning:3]]' };
    const whole = await google.models.generateContent(body);
    const chunks = await all(await google.models.generateContentStream(body));
    expect(whole.text?.split(' ')).toHaveLength(10);
    expect(chunks.map((chunk) => chunk.text ?? '').join('')).toBe(whole.text);
    expect(whole.usageMetadata).toMatchObject({ candidatesTokenCount: 10, thoughtsTokenCount: 3 });
    expect(chunks.at(-1)?.usageMetadata).toEqual(whole.usageMetadata);
    const counted = await google.models.countTokens(body);
    expect(counted.totalTokens).toBe(whole.usageMetadata?.promptTokenCount);
  });

  it('stops at maxOutputTokens and calls functions', async () => {
    const short = await google.models.generateContent({
      model: GEMINI,
      contents: 'hello',
      config: { maxOutputTokens: 6 },
    });
    expect(short.candidates?.[0]?.finishReason).toBe('MAX_TOKENS');
    const config = { tools: [{ functionDeclarations: [{ name: 'look_up_order' }] }] };
    const calling = await google.models.generateContent({ model: GEMINI, contents: '[[loop]]', config });
    expect(calling.functionCalls?.[0]).toMatchObject({ name: 'look_up_order', args: { order: '4411' } });
  });
});

describe('as a ticket API', () => {
  it('lists, shows, creates, changes and deletes', async () => {
    const at = `${upstream.url}/tickets`;
    const send = (path: string, method: string, body?: object): Promise<Response> =>
      fetch(at + path, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
    expect(await (await fetch(at)).json()).toMatchObject({ tickets: [{ id: '1' }, { id: '2' }, { id: '3' }] });
    const created = await send('', 'POST', { title: 'New' });
    expect(created.status).toBe(201);
    expect(created.headers.get('location')).toBe('/tickets/4');
    expect((await send('/4', 'PATCH', { status: 'closed' })).status).toBe(200);
    expect((await send('/4/comments', 'POST', { text: 'done' })).status).toBe(201);
    expect(await (await fetch(`${at}/4`)).json()).toEqual({
      id: '4',
      title: 'New',
      status: 'closed',
      comments: ['done'],
    });
    expect((await send('/4', 'DELETE')).status).toBe(204);
    expect((await fetch(`${at}/4`)).status).toBe(404);
    expect((await fetch(`${at}/1?behave=status:503`)).status).toBe(503);
  });
});

describe('misbehaving', () => {
  it.each([
    ['none', undefined],
    ['null', null],
    ['negative', -5],
    ['huge', 9_007_199_254_740_000],
    ['small', 1],
    ['strings', '4'],
    ['fraction', 4.5],
    ['twice', 1],
  ])('states usage as %s', async (lie, expected) => {
    const answer: { usage?: { completion_tokens: unknown } | null } = await (
      await ask(`[[tokens:4]] [[usage:${lie}]]`)
    ).json();
    expect(answer.usage === null ? null : answer.usage?.completion_tokens).toEqual(expected);
  });

  it('writes a bare NaN, and the same key twice', async () => {
    expect(await (await ask('[[usage:nan]]')).text()).toContain('"prompt_tokens":NaN');
    expect((await (await ask('[[usage:twice]]')).text()).match(/"usage":/g)).toHaveLength(2);
  });

  it('resets a stream after so many events, truncates, and breaks a JSON body', async () => {
    const reset = await ask('[[tokens:100]] [[reset:3]]', true);
    const seen: string[] = [];
    await expect(
      (async () => {
        for await (const chunk of (reset.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream()))
          seen.push(chunk);
      })(),
    ).rejects.toThrow();
    expect(seen.join('').match(/data: /g)).toHaveLength(3);
    expect(await (await ask('[[truncate]]', true)).text()).not.toContain('[DONE]');
    const half = await (await ask('[[truncate]]')).text();
    expect(() => JSON.parse(half) as unknown).toThrow();
    await expect(ask('[[reset]]').then((answer) => answer.text())).rejects.toThrow();
  });

  it('fails, redirects, echoes the key and names another model', async () => {
    const limited = await ask('[[status:429]]');
    expect([limited.status, limited.headers.get('retry-after')]).toEqual([429, '1']);
    expect((await ask('[[redirect]]')).headers.get('location')).toContain('127.0.0.1');
    expect(await (await ask('[[echo-key]]')).text()).toContain('sk-secret');
    expect(await (await ask('[[model:gpt-5-pro]]')).json()).toMatchObject({ model: 'gpt-5-pro' });
    expect((await (await ask('[[oversized:100000]]')).text()).length).toBeGreaterThan(100_000);
    expect((await (await ask('[[bomb:5000000]]')).text()).length).toBeGreaterThanOrEqual(5_000_000);
  });

  it('goes on for ever until the client leaves, and notices that', async () => {
    const abort = new AbortController();
    const stream = await openai.chat.completions.create(
      { model: MODEL, stream: true, messages: user('[[endless]]') },
      { signal: abort.signal },
    );
    let chunks = 0;
    for await (const _ of stream) if (++chunks === 20) break;
    abort.abort();
    await expect.poll(() => upstream.stats()).toMatchObject({ open: 0, aborted: 1 });
  });

  it('behaves as told at the control endpoint, for as often as told', async () => {
    await fetch(`${upstream.url}/__behave`, {
      method: 'POST',
      body: JSON.stringify({ directives: 'status:500', path: '/openai', times: 1 }),
    });
    expect([(await ask('hello')).status, (await ask('hello')).status]).toEqual([500, 200]);
    const requests: unknown = await (await fetch(`${upstream.url}/__requests`)).json();
    expect(requests).toHaveLength(2);
    expect(upstream.stats().byPath).toEqual({ '/openai/v1/chat/completions': 2 });
    await fetch(`${upstream.url}/__reset`, { method: 'POST' });
    expect(upstream.requests).toHaveLength(0);
  });

  it('replays given bytes, cut where it is told', async () => {
    const body = 'data: {"a":1}\n\ndata: {"a":2}\n\ndata: [DONE]\n\n';
    upstream.replayNext({ body, contentType: 'text/event-stream', cut: { events: 2 }, chunkBytes: 5 });
    upstream.replayNext({ body: 'no', status: 418, path: '/tickets' });
    const cut = await ask('anything', true);
    expect(cut.headers.get('content-type')).toBe('text/event-stream');
    expect(await cut.text()).toBe('data: {"a":1}\n\ndata: {"a":2}\n\n');
    expect((await fetch(`${upstream.url}/tickets`)).status).toBe(418);
    await fetch(`${upstream.url}/__replay`, {
      method: 'POST',
      body: JSON.stringify({ body, cut: { bytes: 6 }, end: 'reset' }),
    });
    await expect(ask('anything').then((answer) => answer.text())).rejects.toThrow();
    expect((await ask('anything')).status).toBe(200);
  });
});
