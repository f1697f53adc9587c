// Ways to get more than was paid for. Whatever the request or the answer says, nothing costs less than what was seen, and
// the cap holds to the micro-dollar.
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LedgerEntryJson } from '../../src/http/session-json.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { micro, moneyOf, problemOf, settledLedger } from './money.ts';
import { unmoved } from './unmoved.ts';

const KEY = 'sk-provider/key-0123456789abcdef';

const policy = (upstream: string): string => `version: 1
sessions: { limits: { spend_usd: "10.00" } }
routes:
  tickets: { upstream: ${upstream}, protocol: http, scope: "ticket:read", fees: [{ method: POST, usd: "0.000003" }, { usd: "0.01" }], auth: { header: x-api-key, value: "\${PROVIDER_KEY}" } }
  chat: { upstream: ${upstream}/openai, protocol: openai, scope: "llm:openai", auth: { header: authorization, value: "Bearer \${PROVIDER_KEY}" } }
  claude: { upstream: ${upstream}/anthropic, protocol: anthropic, scope: "llm:anthropic", auth: { header: x-api-key, value: "\${PROVIDER_KEY}" } }
  gemini: { upstream: ${upstream}/gemini, protocol: gemini, scope: "llm:gemini", auth: { header: x-goog-api-key, value: "\${PROVIDER_KEY}" } }
`;

interface Endpoint {
  readonly name: string;
  readonly path: string;
  readonly body: (text: string) => object;
}

const say = (content: string): readonly object[] => [{ role: 'user', content }];
const CHAT: Endpoint = {
  name: 'chat',
  path: '/chat/v1/chat/completions',
  body: (text) => ({ model: 'gpt-4o-mini', max_completion_tokens: 900, messages: say(text) }),
};
const RESPONSES: Endpoint = {
  name: 'responses',
  path: '/chat/v1/responses',
  body: (text) => ({ model: 'gpt-4o-mini', max_output_tokens: 900, input: text }),
};
const MESSAGES: Endpoint = {
  name: 'messages',
  path: '/claude/v1/messages',
  body: (text) => ({ model: 'claude-haiku-4-5', max_tokens: 900, messages: say(text) }),
};
const GEMINI_URL = '/gemini/v1beta/models/gemini-2.0-flash';
const gemini = (text: string): object => ({
  contents: [{ role: 'user', parts: [{ text }] }],
  generationConfig: { maxOutputTokens: 900 },
});
const streamed = (endpoint: Endpoint): Endpoint => ({
  ...endpoint,
  name: `${endpoint.name}, streamed`,
  body: (text) => ({ ...endpoint.body(text), stream: true }),
});
const ENDPOINTS: readonly Endpoint[] = [
  CHAT,
  streamed(CHAT),
  RESPONSES,
  streamed(RESPONSES),
  MESSAGES,
  streamed(MESSAGES),
  { name: 'generateContent', path: `${GEMINI_URL}:generateContent`, body: gemini },
  { name: 'streamGenerateContent', path: `${GEMINI_URL}:streamGenerateContent?alt=sse`, body: gemini },
  { name: 'streamGenerateContent as an array', path: `${GEMINI_URL}:streamGenerateContent`, body: gemini },
];

const sse = (data: object): string => `data: ${JSON.stringify({ model: 'gpt-4o-mini', ...data })}\n\n`;
const chunk = (content: string): string => sse({ choices: [{ index: 0, delta: { content } }] });
const usage = (output: number): string => sse({ choices: [], usage: { prompt_tokens: 9, completion_tokens: output } });

describe('money', () => {
  let stack: Stack;
  let id: string;
  let token: string;
  beforeAll(async () => {
    stack = await startStack({ policy, vars: { PROVIDER_KEY: KEY } });
    const issued = await stack.issueSession({ limits: { spend_usd: '10' } });
    id = issued.session.id;
    token = issued.token;
  });
  beforeEach(() => stack.upstream.reset());
  afterAll(() => stack.close());

  const post = (path: string, body: unknown, credential = token): Promise<Response> =>
    stack.call(path, { token: credential, body });
  /** One request in a session of its own: what its client got, and its one entry. */
  const charged = async (
    path: string,
    body: object,
  ): Promise<{ text: string; headers: Headers; status: number; entry: LedgerEntryJson }> => {
    const { session, token: own } = await stack.issueSession({ limits: { spend_usd: '10' } });
    const response = await post(path, body, own);
    const text = await response.text().catch(String);
    const entries = await settledLedger(stack, session.id);
    const [entry] = entries;
    if (entry === undefined || entries.length > 1) throw new Error(`${entries.length} entries: ${text}`);
    return { text, headers: response.headers, status: response.status, entry };
  };

  // ------------------------------------------------------------------------------------------------- forged usage

  describe.each(ENDPOINTS)('$name', ({ path, body }) => {
    it('is charged what an honest provider states', async () => {
      const { entry } = await charged(path, body('[[tokens:50]]'));
      expect(entry).toMatchObject({ state: 'settled', estimated: false, usage: { output_tokens: 50 } });
      expect(entry.flags).toBeUndefined();
    });

    it.each(['none', 'null', 'negative', 'nan', 'huge', 'small', 'strings', 'fraction', 'twice'])(
      'is never cheaper for a usage that is %s',
      async (lie) => {
        const { entry } = await charged(path, body(`[[tokens:800]] [[usage:${lie}]]`));
        const cost = micro(entry.cost_usd);
        expect(cost).toBeLessThanOrEqual(micro(entry.hold_usd));
        expect(cost).toBeGreaterThan(0);
        expect(entry.estimated || entry.flags !== undefined).toBe(true);
        // What is told of and may not be believed is charged in full; a small lie at least at what the text seen can be.
        if (lie !== 'small' && lie !== 'huge') expect(cost).toBeGreaterThanOrEqual(micro(entry.hold_usd) / 2);
      },
    );

    it('is priced by what served it, and at least by what was asked', async () => {
      const honest = await charged(path, body('[[tokens:50]] '));
      for (const model of ['gpt-4.1-nano', 'gemini-2.0-flash-lite', 'no-such-model', 'claude-opus-4-1']) {
        const { entry } = await charged(path, body(`[[tokens:50]] [[model:${model}]]`));
        expect(micro(entry.cost_usd)).toBeGreaterThanOrEqual(micro(honest.entry.cost_usd));
        expect(entry.flags).toContain('model-substituted');
      }
    });

    it('shows nobody the key of the provider', async () => {
      for (const more of ['', '[[status:401]]', '[[error-event]]', '[[truncate]]']) {
        const { text, headers } = await charged(path, body(`[[tokens:8]] [[echo-key]] ${more}`));
        expect(text + JSON.stringify([...headers])).not.toContain(KEY);
      }
    });

    it('does not follow a redirect, and is charged nothing for one', async () => {
      const { status, entry } = await charged(path, body(`[[redirect:${stack.upstream.url}/tickets]]`));
      expect({ status, cost: entry.cost_usd, heard: stack.upstream.stats().requests }).toEqual({
        status: 502,
        cost: '0.000000',
        heard: 1,
      });
    });
  });

  it('hides an escaped key, in an answer and in a tool that answers in pieces', async () => {
    const escaped = KEY.replaceAll('/', String.raw`\/`).replaceAll('-', String.raw`\u002D`);
    const body = `{"model":"gpt-4o-mini","choices":[{"index":0,"message":{"content":"${escaped}"}}],"usage":{"prompt_tokens":3,"completion_tokens":9}}`;
    stack.upstream.replayNext({ body });
    expect(JSON.stringify(JSON.parse((await charged(CHAT.path, CHAT.body('x'))).text))).not.toContain(KEY);
    stack.upstream.replayNext({ body, chunkBytes: 3 });
    const tool = await stack.call('/tickets/tickets', { token });
    expect(JSON.stringify(JSON.parse((await tool.text()).replaceAll(/"[^"]*\*+[^"]*"/g, '"masked"')))).toContain(
      'masked',
    );
    await settledLedger(stack, id);
  });

  // ---------------------------------------------------------------------------------------------- streams' first holds

  const long = { ...streamed(CHAT).body('x'), max_completion_tokens: 9_000 };

  it.each([
    [
      'one event of 40,000 bytes, and then nothing',
      { contentType: 'text/event-stream', body: chunk('x'.repeat(40_000)), end: 'reset' as const },
      9_000,
    ],
    [
      'a usage that its text does not show',
      { contentType: 'text/event-stream', body: `${chunk('x')}${usage(7_000)}data: [DONE]\n\n` },
      7_000,
    ],
    [
      'a whole answer where a stream was asked for',
      {
        body: '{"model":"gpt-4o-mini","choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":9,"completion_tokens":7000}}',
      },
      7_000,
    ],
  ])('covers %s', async (_what, replay, outputTokens) => {
    stack.upstream.replayNext(replay);
    const { entry } = await charged(CHAT.path, long);
    expect(entry.cost_tokens).toBeGreaterThanOrEqual(outputTokens);
    expect(micro(entry.cost_usd)).toBeGreaterThanOrEqual(Math.floor(outputTokens * 0.6));
    expect(entry.flags ?? []).not.toContain('charge-clamped');
  });

  it('charges in full what comes behind a usage that was called the last', async () => {
    for (const body of [
      `${usage(1)}${chunk('word '.repeat(900))}data: [DONE]\n\n`,
      `${usage(1)}data: [DONE]\n\n${chunk('word '.repeat(900))}`,
    ]) {
      stack.upstream.replayNext({ contentType: 'text/event-stream', body });
      const { entry } = await charged(CHAT.path, long);
      expect(entry).toMatchObject({ estimated: true, cost_usd: entry.hold_usd });
      expect(entry.hold_tokens).toBeGreaterThan(4_500);
    }
  });

  // -------------------------------------------------------------------------------------------------- unpriced, unbounded

  it.each([
    ['a model that nobody prices', CHAT.path, { model: 'no-such-model', messages: say('x') }, 'unpriced-model'],
    ['a model that is a pattern', CHAT.path, { model: 'gpt-*', messages: say('x') }, 'unpriced-model'],
    [
      'a model of another provider',
      MESSAGES.path,
      { model: 'gpt-4o-mini', max_tokens: 9, messages: say('x') },
      'unpriced-model',
    ],
    ['a member of every object for a model', CHAT.path, { model: '__proto__', messages: say('x') }, 'unpriced-model'],
    ['two models at once', CHAT.path, { model: 'gpt-4o-mini', models: ['gpt-5'], messages: say('x') }, 'policy-denied'],
    [
      'a run in the background',
      RESPONSES.path,
      { model: 'gpt-4o-mini', input: 'x', background: true },
      'policy-denied',
    ],
    [
      'a tool that nothing bounds',
      RESPONSES.path,
      { model: 'gpt-4o-mini', input: 'x', tools: [{ type: 'teleport' }] },
      'policy-denied',
    ],
    ['a tier that nobody prices', CHAT.path, { model: 'gpt-4o-mini', service_tier: 'warp', messages: say('x') }, null],
    ['129 choices', CHAT.path, { model: 'gpt-4o-mini', n: 129, messages: say('x') }, 'bad-request'],
    [
      'a ceiling beyond numbers',
      CHAT.path,
      { model: 'gpt-4o-mini', max_tokens: 1e300, messages: say('x') },
      'bad-request',
    ],
  ])('refuses %s', async (_what, path, body, code) => {
    const problem = await unmoved(stack, id, async () => problemOf(await post(path, body)));
    expect(problem.status).toBeGreaterThanOrEqual(400);
    expect(problem.status).toBeLessThan(404);
    if (code !== null) expect(problem.code).toBe(code);
  });

  it('refuses a model in the body that is not the one in the path, and paths that hide one', async () => {
    const asked = [
      [`${GEMINI_URL}:generateContent`, { ...gemini('x'), model: 'models/gemini-2.5-pro' }, 400],
      ['/gemini/v1beta/models/gemini-2.0-flash:batchGenerateContent', gemini('x'), 403],
      ['/gemini/v1beta/models/no-such-model:generateContent', gemini('x'), 403],
      ['/gemini/v1beta/tunedModels/x:generateContent', gemini('x'), 403],
      [`${GEMINI_URL}:generateContent?alt=sse&alt=json`, gemini('x'), 400],
    ] as const;
    for (const [path, body, status] of asked)
      expect([path, await unmoved(stack, id, async () => (await post(path, body)).status)]).toEqual([path, status]);
  });

  it.each([
    ['choices', { n: 8 }, 6],
    ['the dearer of two ceilings', { max_tokens: 8_000, max_completion_tokens: 10 }, 7],
    ['a search', { web_search_options: {} }, 20],
    ['predicted text', { prediction: { type: 'content', content: 'y'.repeat(9_000) } }, 5],
  ])('holds for %s', async (_what, more, times) => {
    const plain = await charged(CHAT.path, CHAT.body('x'));
    const dear = await charged(CHAT.path, { ...CHAT.body('x'), ...more });
    expect(micro(dear.entry.hold_usd)).toBeGreaterThan(micro(plain.entry.hold_usd) * times);
  });

  // ------------------------------------------------------------------------------------------------------- the cap

  it('serves to the last micro-dollar, and not one more', async () => {
    const { session, token: own } = await stack.issueSession({ limits: { spend_usd: '0.000100' } });
    const statuses = await Promise.all(
      Array.from({ length: 60 }, async () => (await post('/tickets/tickets', { title: 'x' }, own)).status),
    );
    expect(statuses.filter((status) => status < 300)).toHaveLength(33);
    await settledLedger(stack, session.id);
    expect(await moneyOf(stack, session.id)).toMatchObject({ settled: 99, held: 0, available: 1 });
    expect((await problemOf(await post('/tickets/tickets', { title: 'x' }, own))).code).toMatch(
      /spend-limit-exceeded|session-revoked/,
    );
    expect((await moneyOf(stack, session.id)).settled).toBe(99);
  });

  it('is not talked out of its cap by answers that cost the whole hold, all at once', async () => {
    const { session, token: own } = await stack.issueSession({ limits: { spend_usd: '0.005003' } });
    const lies = ['none', 'huge', 'nan', 'negative', 'twice'];
    await Promise.all(
      Array.from({ length: 60 }, async (_, index) => {
        const { path, body } = ENDPOINTS[index % ENDPOINTS.length] ?? CHAT;
        const response = await post(path, body(`[[tokens:${index * 20}]] [[usage:${lies[index % lies.length]}]]`), own);
        await response.text();
      }),
    );
    await settledLedger(stack, session.id);
    expect((await moneyOf(stack, session.id)).settled).toBeLessThanOrEqual(5_003);
  });
});
