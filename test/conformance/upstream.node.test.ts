// Upstreams that fail, lie or leak, over HTTP and whole answers: what the agent is shown, and what the ledger says of it.
// (Streams have streams.node.test.ts.)
import { createServer, type AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { LedgerEntryJson } from '../../src/http/session-json.ts';
import { anthropicClient, googleClient, openaiClient } from '../support/sdk.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { micro, problemOf, settledLedger } from './money.ts';

const KEY = 'sk-the-providers-own-key-0123456789';
const MODEL = 'gpt-4o-mini';
const NOWHERE = await unusedPort();

/** Each provider behind a key; a slow and an absent upstream beside them. */
const policy = (upstream: string): string => `version: 1
routes:
  chat: { upstream: "${upstream}/openai", protocol: openai, auth: { header: authorization, value: "Bearer \${PROVIDER_KEY}" }, scope: "llm:openai", timeout_seconds: 2 }
  claude: { upstream: "${upstream}/anthropic", protocol: anthropic, auth: { header: x-api-key, value: "\${PROVIDER_KEY}" }, scope: "llm:anthropic" }
  gemini: { upstream: "${upstream}/gemini", protocol: gemini, auth: { header: x-goog-api-key, value: "\${PROVIDER_KEY}" }, scope: "llm:gemini" }
  keyless: { upstream: "${upstream}/openai", protocol: openai, auth: { header: authorization, value: "Bearer \${KEY_THAT_NOBODY_SET}" }, scope: "llm:openai" }
  absent: { upstream: "http://127.0.0.1:${NOWHERE}", protocol: openai, scope: "llm:openai" }
  tickets: { upstream: "${upstream}", protocol: http, scope: "ticket:read", fees: [{ usd: "0.01" }] }
`;

function unusedPort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}

describe('upstreams that misbehave', { timeout: 30_000 }, () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({ policy, vars: { PROVIDER_KEY: KEY } });
  }, 60_000);
  afterAll(() => stack.close());
  beforeEach(() => stack.upstream.reset());

  interface Asked {
    readonly response: Response;
    readonly text: string;
    /** The ledger's one entry. */
    readonly entry: LedgerEntryJson;
    readonly token: string;
  }

  /** One chat completion on a session of its own. */
  async function ask(
    content: string,
    more: { readonly route?: string; readonly headers?: Readonly<Record<string, string>> } = {},
  ): Promise<Asked> {
    const { session, token } = await stack.issueSession();
    const body = { model: MODEL, max_completion_tokens: 400, messages: [{ role: 'user', content }] };
    const response = await stack.call(`/${more.route ?? 'chat'}/v1/chat/completions`, {
      token,
      body,
      ...(more.headers === undefined ? {} : { headers: more.headers }),
    });
    const text = await response.text();
    const [entry, ...others] = await settledLedger(stack, session.id);
    expect(others).toEqual([]);
    if (entry === undefined) throw new Error(`no ledger entry after ${response.status} ${text}`);
    return { response, text, entry, token };
  }

  it('charges what each provider states, through its own SDK', async () => {
    const { session, token } = await stack.issueSession();
    const { url } = stack;
    const chat = await openaiClient({ url, token, route: 'chat' }).chat.completions.create({
      model: MODEL,
      messages: [{ role: 'user', content: 'hello' }],
    });
    const message = await anthropicClient({ url, token, route: 'claude' }).messages.create({
      model: 'claude-sonnet-4-6',
      max_tokens: 100,
      messages: [{ role: 'user', content: 'hello [[cached:2]]' }],
    });
    const generated = await googleClient({ url, token, route: 'gemini' }).models.generateContent({
      model: 'gemini-2.5-flash',
      contents: 'hello [[reasoning:7]]',
    });
    const entries = await settledLedger(stack, session.id);
    expect(entries.map(({ usage, estimated }) => ({ usage, estimated }))).toEqual([
      { estimated: false, usage: counts(chat.usage?.prompt_tokens, chat.usage?.completion_tokens) },
      {
        estimated: false,
        usage: {
          ...counts(
            message.usage.input_tokens + (message.usage.cache_read_input_tokens ?? 0),
            message.usage.output_tokens,
          ),
          cache_read_tokens: 2,
        },
      },
      {
        estimated: false,
        usage: {
          ...counts(
            generated.usageMetadata?.promptTokenCount,
            (generated.usageMetadata?.candidatesTokenCount ?? 0) + 7,
          ),
          reasoning_tokens: 7,
        },
      },
    ]);
  });

  it("sends the provider's key and nothing of the agent's credential, address or machinery", async () => {
    const { response, token } = await ask('hello', {
      headers: {
        'x-forwarded-for': '203.0.113.9',
        cookie: 'a=b',
        'x-fusebox-session': 'forged',
        'cf-connecting-ip': '203.0.113.9',
        'x-http-method-override': 'DELETE',
      },
    });
    expect(response.status).toBe(200);
    const [received] = stack.upstream.requests;
    expect(received?.headers.authorization).toBe(`Bearer ${KEY}`);
    const wire = JSON.stringify(received);
    for (const secret of [token, '203.0.113.9', 'forged', 'a=b', 'DELETE']) expect(wire).not.toContain(secret);
  });

  it('passes a good answer on byte for byte', async () => {
    const body =
      '{ "id":"x", "object":"chat.completion","model":"gpt-4o-mini", "choices":[{"index":0,"message":{"role":"assistant","content":"h\\u00e9 \u{1F600}"},"finish_reason":"stop"}],\n "usage":{"prompt_tokens":12,"completion_tokens":3,"total_tokens":15} }\n';
    stack.upstream.replayNext({ body, chunkBytes: 7 });
    const { text, entry } = await ask('anything');
    expect(text).toBe(body);
    expect(entry).toMatchObject({ state: 'settled', reason: 'completed', estimated: false });
  });

  it.each([400, 401, 404, 429, 500, 503])('passes a provider error %i on, and charges nothing', async (status) => {
    const { response, text, entry } = await ask(`[[status:${status}]]`);
    expect(response.status).toBe(status);
    expect(text).toContain('This failure was asked for.');
    expect(entry).toMatchObject({ cost_usd: '0.000000', reason: `upstream-error-${status}` });
  });

  it.each(['none', 'null', 'negative', 'nan', 'huge', 'strings', 'fraction'])(
    'charges between nothing seen and the hold when usage is %s, and marks it',
    async (lie) => {
      const { response, entry } = await ask(`[[tokens:50]] [[usage:${lie}]]`);
      expect(response.status).toBe(200);
      expect(entry.estimated || (entry.flags ?? []).length > 0).toBe(true);
      expect(micro(entry.cost_usd)).toBeGreaterThan(0);
      expect(micro(entry.cost_usd)).toBeLessThanOrEqual(micro(entry.hold_usd));
    },
  );

  it('takes no advantage of usage that is stated twice', async () => {
    const honest = await ask('[[tokens:50]]');
    const twice = await ask('[[tokens:50]] [[usage:twice]]');
    expect(micro(twice.entry.cost_usd)).toBeGreaterThanOrEqual(micro(honest.entry.cost_usd));
    expect(micro(twice.entry.cost_usd)).toBeLessThanOrEqual(micro(twice.entry.hold_usd));
  });

  it('prices a substituted model by the dearer of the two, and says so', async () => {
    const honest = await ask('[[tokens:50]]');
    const cheaper = await ask('[[tokens:50]] [[model:gpt-4.1-nano]]');
    const dearer = await ask('[[tokens:50]] [[model:gpt-4o]]');
    expect(micro(cheaper.entry.cost_usd)).toBeGreaterThanOrEqual(micro(honest.entry.cost_usd));
    expect(micro(dearer.entry.cost_usd)).toBeGreaterThan(micro(honest.entry.cost_usd));
    for (const { entry } of [cheaper, dearer]) expect(entry.flags).toContain('model-substituted');
  });

  it.each([
    ['breaks off in mid-body', '[[reset]]'],
    ['ends in mid-JSON', '[[truncate]]'],
    ['sends a page instead of an answer', '[[html]]'],
  ])('charges the full hold when it %s', async (_what, content) => {
    const { entry } = await ask(`[[tokens:300]] ${content}`);
    expect(entry).toMatchObject({ state: 'settled', estimated: true, cost_usd: entry.hold_usd });
  });

  it('does not follow a redirect', async () => {
    const { response, text, entry } = await ask(`[[redirect:${stack.upstream.url}/tickets]]`);
    expect([response.status, (JSON.parse(text) as { code: string }).code]).toEqual([502, 'upstream-refused']);
    expect(response.headers.get('location')).toBeNull();
    expect(stack.upstream.requests).toHaveLength(1);
    expect(entry.cost_usd).toBe('0.000000');
  });

  it('keeps the key from an agent when the upstream echoes it', async () => {
    const { response, text } = await ask('[[echo-key]]');
    expect(JSON.stringify([...response.headers]) + text).not.toContain(KEY);
    const { token } = await stack.issueSession();
    const error = await stack.call('/chat/v1/chat/completions', {
      token,
      body: { model: MODEL, messages: [{ role: 'user', content: '[[echo-key]] [[status:401]]' }] },
    });
    expect(JSON.stringify([...error.headers]) + (await error.text())).not.toContain(KEY);
  });

  it.each([
    ['a larger body than may be held', '[[oversized:36000000]]'],
    ['a body that grows when it is unpacked', '[[bomb:50000000]]'],
  ])('stops reading %s', async (_what, content) => {
    const { response, entry } = await ask(content);
    expect(response.status).toBe(502);
    expect(entry).toMatchObject({ estimated: true, cost_usd: entry.hold_usd, reason: 'answer-too-large' });
  });

  it('waits no longer than the route says, and then assumes the worst', async () => {
    const { response, text, entry } = await ask('[[hang]]');
    expect([response.status, (JSON.parse(text) as { code: string }).code]).toEqual([504, 'upstream-timeout']);
    expect(entry).toMatchObject({ estimated: true, cost_usd: entry.hold_usd, reason: 'upstream-timeout' });
    await expect.poll(() => stack.upstream.stats().open).toBe(0);
  });

  it.each([521, 523, 525, 526, 530])(
    'gives everything back when the platform answers %i: the upstream was never reached',
    async (status) => {
      stack.upstream.replayNext({ status, body: 'error code', contentType: 'text/plain' });
      const { response, text, entry } = await ask('hello');
      expect([response.status, (JSON.parse(text) as { code: string }).code]).toEqual([503, 'upstream-unavailable']);
      expect(entry).toMatchObject({ state: 'voided', cost_usd: '0.000000' });
    },
  );

  it('says that an upstream is not there, and charges no more than the hold', async () => {
    // workerd on its own says "connection lost" for a refused connection as for a broken one: the worst is assumed.
    const { response, text, entry } = await ask('hello', { route: 'absent' });
    expect([response.status, (JSON.parse(text) as { code: string }).code]).toEqual([503, 'upstream-unavailable']);
    expect(micro(entry.cost_usd)).toBeLessThanOrEqual(micro(entry.hold_usd));
  });

  it('disables a route whose key is missing, and no other', async () => {
    const { session, token } = await stack.issueSession();
    const refused = await stack.call('/keyless/v1/chat/completions', {
      token,
      body: { model: MODEL, messages: [{ role: 'user', content: 'hello' }] },
    });
    expect(await problemOf(refused)).toMatchObject({ status: 503, code: 'upstream-unavailable' });
    expect(stack.upstream.requests).toEqual([]);
    expect(await settledLedger(stack, session.id)).toEqual([]);
    const health = await (await fetch(`${stack.url}/healthz`)).json<{ routes: { disabled: unknown } }>();
    expect(health.routes.disabled).toEqual([{ route: 'keyless', missing: ['KEY_THAT_NOBODY_SET'] }]);
  });

  it('passes a tool on as it is: status, headers, no body, and the fee', async () => {
    const { session, token } = await stack.issueSession();
    const created = await stack.call('/tickets/tickets', { token, body: { title: 'New' } });
    expect([created.status, created.headers.get('location')]).toEqual([201, '/tickets/4']);
    const deleted = await stack.call('/tickets/tickets/4', { token, method: 'DELETE' });
    expect([deleted.status, await deleted.text()]).toEqual([204, '']);
    const missing = await stack.call('/tickets/tickets/4', { token });
    expect(missing.status).toBe(404);
    const costs = (await settledLedger(stack, session.id)).map((entry) => entry.cost_usd);
    expect(costs.slice(0, 2)).toEqual(['0.010000', '0.010000']);
  });
});

function counts(input: number | undefined, output: number | undefined): Record<string, number> {
  return {
    input_tokens: input ?? Number.NaN,
    output_tokens: output ?? Number.NaN,
    cache_read_tokens: 0,
    cache_write_tokens: 0,
    reasoning_tokens: 0,
  };
}
