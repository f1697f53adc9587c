// What can be read in two ways is refused before anyone hears of it, and nothing but the allow-list goes to an upstream.
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startStack, type Stack } from '../support/stack.ts';
import { micro, settledLedger } from './money.ts';
import { sendRaw, type RawAnswer, type RawRequest } from './raw-http.ts';
import { unmoved } from './unmoved.ts';

const KEY = 'provider-key-0123456789abcdef';

const policy = (upstream: string): string => `version: 1
sessions: { limits: { spend_usd: "10.00" } }
routes:
  tools: { upstream: ${upstream}, protocol: http, scope: "ticket:read", fees: [{ usd: "0.01" }], auth: { header: x-tool-key, value: "\${PROVIDER_KEY}" } }
  chat: { upstream: ${upstream}/openai, protocol: openai, scope: "llm:openai", auth: { header: authorization, value: "Bearer \${PROVIDER_KEY}" } }
  claude: { upstream: ${upstream}/anthropic, protocol: anthropic, scope: "llm:anthropic", auth: { header: x-api-key, value: "\${PROVIDER_KEY}" } }
  gemini: { upstream: ${upstream}/gemini, protocol: gemini, scope: "llm:gemini", auth: { header: x-goog-api-key, value: "\${PROVIDER_KEY}" } }
  keyless: { upstream: ${upstream}/openai, protocol: openai, scope: "llm:openai", auth: { header: authorization, value: "Bearer \${NOBODYS_KEY}" } }
  elsewhere: { upstream: ${upstream}/openai, protocol: openai, scope: "other:thing" }
`;

const CHAT = '/chat/v1/chat/completions';
const HELLO = '{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hello"}]}';

describe('routing and HTTP', () => {
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

  const send = (request: RawRequest): Promise<RawAnswer> =>
    sendRaw(stack.gateway.port, {
      ...request,
      headers: [`authorization: Bearer ${token}`, ...(request.headers ?? [])],
    });
  const post = (
    body: string | Buffer,
    headers: readonly string[] = ['content-type: application/json'],
    target = CHAT,
  ): Promise<RawAnswer> => send({ method: 'POST', target, headers, body });
  const refusal = async (attempt: () => Promise<RawAnswer>): Promise<{ status: number; code: string | null }> => {
    const { status, code } = await unmoved(stack, id, attempt);
    return { status, code };
  };

  // ------------------------------------------------------------------------------------------------------------ paths

  it.each([
    ['an encoded dot', '/tools/tickets/%2e%2e/secret'],
    ['an encoded dot in capitals', '/tools/tickets/%2E%2E/secret'],
    ['half an encoded pair of dots', '/tools/tickets/.%2e/secret'],
    ['a dot encoded twice', '/tools/tickets/%252e%252e/secret'],
    ['an encoded slash', '/tools/tickets%2fsecret'],
    ['an encoded slash in capitals', '/tools/tickets%2Fsecret'],
    ['a slash encoded twice', '/tools/tickets%252fsecret'],
    ['an encoded backslash', '/tools/tickets%5csecret'],
    ['a backslash', '/tools\\..\\secret'],
    ['an encoded semicolon', '/tools/tickets%3bx'],
    ['a semicolon', '/tools/tickets;x=1/y'],
    ['two slashes', '/tools//tickets'],
    ['two slashes before the route', '//tools/tickets'],
    ['two slashes at the end', '/tools/tickets//'],
    ['a segment that ends in a dot', '/tools/tickets./x'],
    ['three dots', '/tools/.../x'],
    ['a fragment', '/tools/tickets#x'],
    ['an encoded letter', '/tools/%74ickets'],
    ['an encoded letter in the route', '/%74ools/tickets'],
    ['an encoded reserved name', '/%61dmin/sessions'],
    ['an encoded question mark', '/tools/tickets%3fx'],
    ['a fullwidth dot', '/tools/%ef%bc%8e%ef%bc%8e/secret'],
    ['a fullwidth slash', '/tools/tickets%ef%bc%8fsecret'],
  ])('refuses %s in a path', async (_what, target) => {
    expect(await refusal(() => send({ target }))).toEqual({ status: 400, code: 'ambiguous-path' });
  });

  it.each([
    ['raw UTF-8', '/tools/\u00e2\u0082\u00ac'],
    ['an encoded NUL', '/tools/a%00b'],
    ['an encoded line break', '/tools/a%0d%0ax-injected:%201'],
    ['a broken escape', '/tools/a%2'],
    ['an escape that is not hexadecimal', '/tools/a%zz'],
    ['overlong UTF-8', '/tools/%c0%ae%c0%ae/secret'],
    ['8 KiB of path', `/tools/${'a'.repeat(9_000)}`],
  ])('refuses %s in a path as unreadable', async (_what, target) => {
    expect(await refusal(() => send({ target }))).toEqual({ status: 400, code: 'bad-request' });
  });

  it('authorises a folded path as what it has become', async () => {
    expect((await unmoved(stack, id, () => send({ target: '/tools/../admin/sessions' }))).status).toBe(401);
    expect((await send({ target: '/nowhere/../tools/tickets' })).status).toBe(200);
    expect(stack.upstream.requests.map(({ path }) => path)).toEqual(['/tickets']);
    await settledLedger(stack, id);
  });

  it('sends exactly the path and query that it authorised', async () => {
    const target = '/tools/tickets/a%20b%C3%A9~_-!$&()*+,=:@?a=%2e%2e%2f&b=1&b=2&c=?x/y';
    await send({ target });
    const [received] = stack.upstream.requests;
    expect(`${received?.path}${received?.query}`).toBe(target.slice('/tools'.length));
    await settledLedger(stack, id);
  });

  it.each([
    ['a route that is not there', '/nothing/v1/chat/completions', 404, 'route-unknown'],
    ['a route in other letters', '/CHAT/v1/chat/completions', 404, 'route-unknown'],
    ['a member of every object', '/constructor/v1', 404, 'route-unknown'],
    ['a reserved name', '/decide/x', 404, 'route-unknown'],
    ['the root', '/', 404, 'route-unknown'],
    ['a route whose key is missing', '/keyless/v1/chat/completions', 503, 'upstream-unavailable'],
    ['a route outside of the scopes', '/elsewhere/v1/chat/completions', 403, 'scope-denied'],
    ['an endpoint that is not listed', '/chat/v1/files', 403, 'policy-denied'],
    ['an endpoint in other letters', '/chat/v1/Chat/Completions', 403, 'policy-denied'],
    ['an endpoint with a slash more', '/chat/v1/chat/completions/', 403, 'policy-denied'],
    ['a credential in the query', `${CHAT}?key=abc`, 400, 'bad-request'],
    [
      'a credential in a Gemini query',
      '/gemini/v1beta/models/gemini-2.0-flash:generateContent?key=abc',
      400,
      'bad-request',
    ],
    ['a method in the query', `${CHAT}?_method=DELETE`, 400, 'bad-request'],
  ])('refuses %s', async (_what, target, status, code) => {
    expect(
      await refusal(() => send({ method: 'POST', target, headers: ['content-type: application/json'], body: HELLO })),
    ).toEqual({ status, code });
  });

  it.each(['OPTIONS', 'CONNECT', 'FOO', 'post', 'Post'])(
    'does nothing for the method %s on a model route',
    async (method) => {
      const answer = await unmoved(stack, id, () => send({ method, target: CHAT, body: HELLO, timeoutMs: 800 }));
      expect(answer.status === 0 || answer.status >= 400).toBe(true);
    },
  );

  it.each([
    ['every resource', 'OPTIONS', '*'],
    ['another host, in absolute form', 'GET', 'http://127.0.0.1:1/tools/tickets'],
    ['another host with a name before it', 'GET', 'http://gateway.example@127.0.0.1:1/tools/tickets'],
    ['a path without its slash', 'GET', 'tools/tickets'],
  ])('reaches nothing by a request for %s', async (_what, method, target) => {
    const answer = await unmoved(stack, id, () => send({ method, target, timeoutMs: 800 }));
    expect(answer.status === 0 || answer.status >= 400).toBe(true);
  });

  // ----------------------------------------------------------------------------------------------------------- bodies

  it.each([
    ['GET', ['content-length: 2'], '{}'],
    ['GET', ['transfer-encoding: chunked'], '2\r\n{}\r\n0\r\n\r\n'],
    ['HEAD', ['content-length: 2'], '{}'],
    ['TRACE', [], undefined],
  ])('refuses what could not be sent, or not safely: %s with %j', async (method, headers, body) => {
    const answer = await unmoved(stack, id, () =>
      send({ method, target: '/tools/tickets', headers, ...(body === undefined ? {} : { body }) }),
    );
    expect(answer.status).toBe(400);
  });

  it('takes an empty body with GET for none', async () => {
    expect(
      (await send({ target: '/tools/tickets', headers: ['transfer-encoding: chunked'], body: '0\r\n\r\n' })).status,
    ).toBe(200);
    expect((await send({ target: '/tools/tickets', headers: ['content-length: 0'] })).status).toBe(200);
    await settledLedger(stack, id);
  });

  it.each([
    ['two different lengths', ['content-length: 70', 'content-length: 5']],
    ['a negative length', ['content-length: -1']],
    ['a length with a sign', ['content-length: +70']],
    ['a length in hexadecimal', ['content-length: 0x46']],
    ['a transfer coding of its own', ['transfer-encoding: xchunked', 'content-length: 70']],
    ['a folded header', ['x-a: b\r\n c: d', 'content-length: 70']],
    ['a space before the colon', ['content-length : 70']],
  ])('reaches nothing by a body with %s', async (_what, headers) => {
    const answer = await unmoved(stack, id, () =>
      send({
        method: 'POST',
        target: CHAT,
        headers: ['content-type: application/json', ...headers],
        body: HELLO,
        timeoutMs: 800,
      }),
    );
    expect(answer.status === 0 || answer.status >= 400).toBe(true);
  });

  it('lets one message be one message: nothing behind its end becomes a second', async () => {
    // Whoever reads it as a request of its own finds no credential in it.
    const smuggled = 'GET /tools/tickets HTTP/1.1\r\nhost: x\r\n\r\n';
    const chunked = `${HELLO.length.toString(16)}\r\n${HELLO}\r\n0\r\n\r\n`;
    await post(`${chunked}${smuggled}`, [
      'content-type: application/json',
      'transfer-encoding: chunked',
      `content-length: ${chunked.length}`,
    ]);
    expect(stack.upstream.requests.map(({ path }) => path)).toEqual(['/openai/v1/chat/completions']);
    const [received] = stack.upstream.requests;
    expect(received?.headers['transfer-encoding']).toBeUndefined();
    expect(Number(received?.headers['content-length'])).toBe(Buffer.byteLength(received?.body ?? ''));
    await settledLedger(stack, id);
  });

  const MIB = 1024 * 1024;
  it.each([
    ['stated', (bytes: string) => ({ headers: [`content-length: ${bytes.length}`], body: bytes })],
    [
      'chunked',
      (bytes: string) => ({
        headers: ['transfer-encoding: chunked'],
        body: `${bytes.length.toString(16)}\r\n${bytes}\r\n0\r\n\r\n`,
      }),
    ],
  ])('refuses a body over its bound, %s', async (_how, framed) => {
    const { headers, body } = framed(`{"model":"gpt-4o-mini","x":"${'x'.repeat(16 * MIB)}"}`);
    expect(
      await refusal(() =>
        send({ method: 'POST', target: CHAT, headers: ['content-type: application/json', ...headers], body }),
      ),
    ).toEqual({ status: 413, code: 'body-too-large' });
  });

  it.each(['gzip', 'br', 'deflate', 'zstd', 'gzip, identity', 'x-none'])(
    'refuses a body in content-encoding %s',
    async (encoding) => {
      const body = encoding === 'gzip' ? gzipSync(HELLO) : HELLO;
      expect(
        await refusal(() => post(body, ['content-type: application/json', `content-encoding: ${encoding}`])),
      ).toEqual({ status: 415, code: 'encoding-unsupported' });
    },
  );

  it.each([
    ['no JSON', 'model=gpt-4o-mini'],
    ['nothing', ''],
    ['an array', `[${HELLO}]`],
    ['JSON that goes on', `${HELLO}${HELLO}`],
    ['a comment', HELLO.replace('{', '{/* */')],
    ['a trailing comma', HELLO.replace('}]}', '}],}')],
    ['a NaN', HELLO.replace('{', '{"temperature":NaN,')],
    ['200 levels', HELLO.replace('"hello"', `${'['.repeat(200)}${']'.repeat(200)}`)],
    ['100,000 levels', HELLO.replace('"hello"', '['.repeat(100_000))],
    ['a name twice', HELLO.replace('{', '{"model":"gpt-4o",')],
    ['a name twice, once escaped', HELLO.replace('{', String.raw`{"mod\u0065l":"gpt-4o",`)],
    ['a ceiling twice', HELLO.replace('{', '{"max_tokens":1,"max_tokens":100000,')],
    ['a name twice, deep inside', HELLO.replace('"role"', '"role":"system","role"')],
    ['bytes that are not UTF-8', Buffer.from(HELLO.replace('hello', 'h\u00e9llo'), 'latin1')],
    ['UTF-16', Buffer.from(HELLO, 'utf16le')],
    ['no model', '{"messages":[]}'],
    ['a model that is no text', HELLO.replace('"gpt-4o-mini"', '["gpt-4o-mini"]')],
    ['-1 choices', HELLO.replace('{', '{"n":-1,')],
    ['a fraction of a choice', HELLO.replace('{', '{"n":1.5,')],
    ['choices as text', HELLO.replace('{', '{"n":"2",')],
    ['1e9 choices', HELLO.replace('{', '{"n":1000000000,')],
  ])('refuses a body with %s', async (_what, body) => {
    expect(await refusal(() => post(body))).toEqual({ status: 400, code: 'bad-request' });
  });

  it('tells the provider that JSON is JSON in UTF-8, whatever the client calls it', async () => {
    for (const type of ['application/json; charset=utf-16', 'text/plain', 'application/json;charset=shift_jis'])
      await post(HELLO, [`content-type: ${type}`]);
    expect(stack.upstream.requests.map(({ headers }) => headers['content-type'])).toEqual(
      Array.from({ length: 3 }, () => 'application/json'),
    );
    await settledLedger(stack, id);
  });

  // ---------------------------------------------------------------------------------------------------------- headers

  const FORGED = [
    'x-forwarded-for: 10.0.0.1',
    'x-forwarded-host: internal',
    'x-forwarded-proto: https',
    'forwarded: for=10.0.0.1',
    'via: 1.1 x',
    'x-real-ip: 10.0.0.1',
    'true-client-ip: 10.0.0.1',
    'cf-connecting-ip: 10.0.0.1',
    'cf-access-jwt-assertion: x',
    'cf-worker: x',
    'x-fusebox-session: forged',
    'x-fusebox-clamped: max_tokens=1',
    'x-request-id: forged',
    'x-http-method-override: DELETE',
    'x-http-method: DELETE',
    'x-method-override: DELETE',
    'x-original-url: /admin',
    'x-rewrite-url: /admin',
    'cookie: a=b',
    'proxy-authorization: Basic x',
    'dpop: x',
    'signature: x',
    'te: trailers',
    'upgrade: websocket',
    'sec-websocket-key: x',
    'expect-ct: x',
    'x-unheard-of: 1',
  ];

  it.each([
    ['chat', CHAT, 'authorization', `Bearer ${KEY}`],
    ['claude', '/claude/v1/messages', 'x-api-key', KEY],
    ['gemini', '/gemini/v1beta/models/gemini-2.0-flash:generateContent', 'x-goog-api-key', KEY],
    ['tools', '/tools/tickets', 'x-tool-key', KEY],
  ])('gives the upstream of %s its key, and nothing of what a client forged', async (route, target, header, value) => {
    const body =
      {
        chat: HELLO,
        claude: HELLO.replace('gpt-4o-mini', 'claude-haiku-4-5').replace('{', '{"max_tokens":9,'),
        gemini: '{"contents":[{"parts":[{"text":"hi"}]}]}',
      }[route] ?? '{"title":"x"}';
    const carriers = ['x-api-key', 'x-goog-api-key', 'api-key'].map((name) => `${name}: ${token}`);
    const answer = await post(body, ['content-type: application/json', ...carriers, ...FORGED], target);
    expect(answer.status).toBeLessThan(300);
    const [received] = stack.upstream.requests;
    expect(received?.headers[header]).toBe(value);
    expect(JSON.stringify(received?.headers)).not.toContain(token);
    const names = Object.keys(received?.headers ?? {});
    const forged = new Set(FORGED.map((line) => line.split(':')[0]));
    expect(names.filter((name) => forged.has(name))).toEqual([]);
    expect(
      names.filter((name) => ['authorization', 'x-api-key', 'x-goog-api-key', 'api-key', 'x-tool-key'].includes(name)),
    ).toEqual([header]);
    expect(received?.headers.host).toBe(new URL(stack.upstream.url).host);
    expect(answer.headers.get('x-fusebox-session')).toBe(id);
    expect(answer.headers.get('x-request-id')).not.toBe('forged');
    await settledLedger(stack, id);
  });

  it('drops what the Connection header names, the key itself aside', async () => {
    await post(HELLO, [
      'content-type: application/json',
      'openai-organization: org-1',
      'connection: openai-organization, authorization, content-type',
    ]);
    const [received] = stack.upstream.requests;
    expect(received?.headers['openai-organization']).toBeUndefined();
    expect(received?.headers.authorization).toBe(`Bearer ${KEY}`);
    await settledLedger(stack, id);
  });

  it('answers a method override as the method that was sent', async () => {
    await send({ target: '/tools/tickets?_method=DELETE', headers: ['x-http-method-override: DELETE'] });
    expect(stack.upstream.requests.map(({ method }) => method)).toEqual(['GET']);
    await settledLedger(stack, id);
  });

  it.each([
    ['an empty key', 'idempotency-key:'],
    ['a key of 256 characters', `idempotency-key: ${'k'.repeat(256)}`],
  ])('refuses %s for idempotency', async (_what, header) => {
    expect(
      await refusal(() => send({ method: 'POST', target: '/tools/tickets', headers: [header], body: '{}' })),
    ).toEqual({ status: 400, code: 'bad-request' });
  });

  it('lets no browser of another origin read an answer', async () => {
    const answer = await send({ target: '/tools/tickets', headers: ['origin: https://evil.example'] });
    expect([...answer.headers.keys()].filter((name) => name.startsWith('access-control-'))).toEqual([]);
    await settledLedger(stack, id);
  });

  it('adds up after all of this, and still serves', async () => {
    const entries = await settledLedger(stack, id);
    expect(entries.reduce((sum, entry) => sum + micro(entry.cost_usd), 0)).toBeGreaterThan(0);
    expect((await post(HELLO)).status).toBe(200);
  });
});
