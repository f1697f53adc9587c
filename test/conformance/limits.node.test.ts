// The warning, the trip and what lies between, over HTTP: docs/http-api.md, "Warning and trip".
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startStack, type Stack } from '../support/stack.ts';
import { micro, moneyOf, problemOf, settledLedger } from './money.ts';

const policy =
  (more: string) =>
  (upstream: string): string =>
    `version: 1
sessions: { ttl_seconds_max: 86400, limits: { spend_usd: "10.00" }${more} }
routes:
  tickets:
    upstream: ${upstream}
    protocol: http
    scope: ticket:read
    fees:
      - { method: POST, path: /tickets/*, usd: "0.05", scope: ticket:write }
      - { method: GET, path: /tickets/free, usd: "0" }
      - { usd: "0.01" }
  chat:
    upstream: ${upstream}/openai
    protocol: openai
    scope: llm:openai
`;

describe('limits', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({ policy: policy('') });
  });
  afterAll(() => stack.close());

  const getTicket = (token: string): Promise<Response> => stack.call('/tickets/tickets', { token });

  it('charges each call its fee, to the micro-dollar, and says what is left', async () => {
    const { session, token } = await stack.issueSession({ limits: { spend_usd: '1' } });
    const response = await getTicket(token);
    expect(response.status).toBe(200);
    expect(response.headers.get('ratelimit')).toContain('"spend";r=990000');
    expect(response.headers.get('ratelimit-policy')).toContain('"spend";q=1000000');
    expect(response.headers.get('x-fusebox-session')).toBe(session.id);
    const entries = await settledLedger(stack, session.id);
    expect(entries).toHaveLength(1);
    expect(entries[0]).toMatchObject({
      id: response.headers.get('x-request-id'),
      state: 'settled',
      cost_usd: '0.010000',
      reason: 'completed',
    });
  });

  it('warns once at 90 %, tells every later request, trips at 100 % and revokes for good', async () => {
    const { session, token } = await stack.issueSession({ limits: { spend_usd: '0.105' } });
    const warnings: (string | null)[] = [];
    for (let call = 0; call < 10; call += 1) {
      const response = await getTicket(token);
      expect(response.status).toBe(200);
      await response.text();
      warnings.push(response.headers.get('x-fusebox-warning'));
      await settledLedger(stack, session.id);
    }
    expect(warnings.slice(0, 9)).toEqual(Array.from({ length: 9 }, () => null));
    expect((await stack.admin.session(session.id)).warnings).toEqual(['spend-90']);
    // 5,000 micro-USD are left: less than a ticket, more than the least useful request (1,050).
    const tooBig = await problemOf(await getTicket(token));
    expect(tooBig).toMatchObject({ status: 429, code: 'spend-limit-exceeded' });
    expect(tooBig.body).toMatchObject({ left_usd: '0.005000' });
    expect((await stack.admin.session(session.id)).status).toBe('warned');
    expect((await stack.call('/tickets/tickets/free', { token })).headers.get('x-fusebox-warning')).toBe('spend-90');

    await stack.admin.changeLimits(session.id, { spend_usd: '0.101' });
    const trip = await getTicket(token);
    expect(trip.headers.get('x-should-retry')).toBe('false');
    expect(await problemOf(trip)).toMatchObject({ status: 429, code: 'spend-limit-exceeded' });
    const after = await problemOf(await getTicket(token));
    expect(after).toMatchObject({ status: 401, code: 'session-revoked' });
    expect(after.body).toMatchObject({ trip: 'spend-limit' });
    expect(await stack.admin.session(session.id)).toMatchObject({
      status: 'revoked',
      trip: { reason: 'spend-limit' },
      spend: { settled_usd: '0.100000' },
    });

    await stack.admin.changeLimits(session.id, { spend_usd: '5' });
    expect((await getTicket(token)).status).toBe(401);
  });

  it('lets a request that costs nothing pass at the limit', async () => {
    const { token } = await stack.issueSession({ limits: { spend_usd: '0' } });
    expect((await stack.call('/tickets/tickets/free', { token })).status).toBe(404);
    expect(await problemOf(await getTicket(token))).toMatchObject({ status: 429, code: 'spend-limit-exceeded' });
    expect(await problemOf(await getTicket(token))).toMatchObject({ status: 401, code: 'session-revoked' });
  });

  it('trips at the tenth request in a row that is too big, and forgets the count at one that fits', async () => {
    const { session, token } = await stack.issueSession({ limits: { spend_usd: '0.04' } });
    const order = (): Promise<Response> =>
      stack.call('/tickets/tickets/1/comments', { token, method: 'POST', body: { title: 'x' } });
    for (let call = 0; call < 9; call += 1) expect((await problemOf(await order())).code).toBe('spend-limit-exceeded');
    expect((await stack.admin.session(session.id)).warnings).toEqual(['spend-90']);
    expect((await getTicket(token)).status).toBe(200);
    await settledLedger(stack, session.id);
    for (let call = 0; call < 9; call += 1) expect((await problemOf(await order())).code).toBe('spend-limit-exceeded');
    expect((await stack.admin.session(session.id)).status).toBe('warned');
    expect((await problemOf(await order())).code).toBe('spend-limit-exceeded');
    expect((await stack.admin.session(session.id)).status).toBe('revoked');
  });

  it('asks to wait where other holds are in the way, without counting a violation', async () => {
    const { session, token } = await stack.issueSession({ limits: { spend_usd: '0.015' } });
    stack.upstream.behave('delay:600', { path: '/tickets', times: 1 });
    const slow = getTicket(token);
    await new Promise((resolve) => setTimeout(resolve, 200));
    const held = await getTicket(token);
    expect(held.headers.get('retry-after')).toMatch(/^\d+$/);
    expect(held.headers.get('x-should-retry')).toBeNull();
    const { code, body } = await problemOf(held);
    expect(code).toBe('spend-held');
    expect(micro(String(body['available_usd']))).toBeLessThan(micro(String(body['hold_usd'])));
    expect((await slow).status).toBe(200);
    await settledLedger(stack, session.id);
  });

  it('takes a lowered limit at once, and a raised one', async () => {
    const { session, token } = await stack.issueSession({ limits: { spend_usd: '1' } });
    for (let call = 0; call < 3; call += 1) expect((await getTicket(token)).status).toBe(200);
    await settledLedger(stack, session.id);
    const lowered = await stack.admin.changeLimits(session.id, { spend_usd: '0.02' });
    expect(lowered.spend).toMatchObject({ settled_usd: '0.030000', available_usd: '0.000000' });
    expect(await problemOf(await getTicket(token))).toMatchObject({ code: 'spend-limit-exceeded' });
    expect((await stack.admin.session(session.id)).status).toBe('revoked');

    const other = await stack.issueSession({ limits: { spend_usd: '0.02' } });
    for (let call = 0; call < 2; call += 1) expect((await getTicket(other.token)).status).toBe(200);
    await stack.admin.changeLimits(other.session.id, { spend_usd: '0.5' });
    expect((await getTicket(other.token)).status).toBe(200);
  });

  it('holds the request rate, with a truthful Retry-After', async () => {
    const { session, token } = await stack.issueSession({ limits: { spend_usd: '1', requests_per_minute: 3 } });
    const statuses = await Promise.all(Array.from({ length: 8 }, async () => (await getTicket(token)).status));
    expect(statuses.filter((status) => status === 200)).toHaveLength(3);
    const refused = await getTicket(token);
    expect((await problemOf(refused)).code).toBe('velocity-exceeded');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(50);
    expect(Number(refused.headers.get('retry-after'))).toBeLessThanOrEqual(61);
    expect(refused.headers.get('ratelimit')).toMatch(/"requests";r=0;t=\d+/);
    expect(await settledLedger(stack, session.id)).toHaveLength(3);
  });

  it('lowers the output ceiling to what is affordable, and announces it', async () => {
    const { session, token } = await stack.issueSession({ limits: { spend_usd: '0.002' } });
    const body = {
      model: 'gpt-4o-mini',
      max_completion_tokens: 16_000,
      messages: [{ role: 'user', content: 'hello' }],
    };
    const response = await stack.call('/chat/v1/chat/completions', { token, body });
    expect(response.status).toBe(200);
    const announced = /^max_tokens=(\d+)$/.exec(response.headers.get('x-fusebox-clamped') ?? '');
    const ceiling = Number(announced?.[1]);
    expect(ceiling).toBeGreaterThan(1_000);
    expect(ceiling).toBeLessThan(3_400);
    expect(stack.upstream.requests.at(-1)?.json).toMatchObject({ max_completion_tokens: ceiling });
    await settledLedger(stack, session.id);
  });

  it('keeps one request within its own cap, and refuses without a trip what cannot be', async () => {
    const { session, token } = await stack.issueSession({ limits: { spend_usd: '1', tokens_per_request: 1_000 } });
    const ask = (content: string): Promise<Response> =>
      stack.call('/chat/v1/chat/completions', {
        token,
        body: { model: 'gpt-4o-mini', messages: [{ role: 'user', content }] },
      });
    const small = await ask('hello');
    expect(small.status).toBe(200);
    expect(small.headers.get('x-fusebox-clamped')).toMatch(/^max_tokens=\d{3}$/);
    for (let call = 0; call < 12; call += 1) {
      expect(await problemOf(await ask('x'.repeat(5_000)))).toMatchObject({
        status: 429,
        code: 'token-limit-exceeded',
      });
    }
    expect((await stack.admin.session(session.id)).status).toBe('active');
  });

  it('counts tokens as it counts money', async () => {
    const { session, token } = await stack.issueSession({ limits: { spend_usd: '1', tokens: 2_000 } });
    const ask = (): Promise<Response> =>
      stack.call('/chat/v1/chat/completions', {
        token,
        body: { model: 'gpt-4o-mini', messages: [{ role: 'user', content: '[[tokens:2000]] hello' }] },
      });
    let last = await ask();
    for (let call = 0; call < 30 && last.status === 200; call += 1) {
      await last.text();
      await settledLedger(stack, session.id);
      last = await ask();
    }
    expect((await problemOf(last)).code).toBe('token-limit-exceeded');
    const standing = await stack.admin.session(session.id);
    expect(standing.tokens.settled).toBeLessThanOrEqual(2_000);
    expect(standing.warnings).toContain('tokens-90');
  });

  it('revokes by hand, and lets an agent see and stop itself', async () => {
    const { session, token } = await stack.issueSession();
    expect(await (await stack.call('/session', { token })).json()).toMatchObject({ id: session.id, status: 'active' });
    await stack.admin.revoke(session.id, 'by hand');
    expect(await problemOf(await getTicket(token))).toMatchObject({ status: 401, code: 'session-revoked' });
    expect(await (await stack.call('/session', { token })).json()).toMatchObject({
      status: 'revoked',
      revocation: { reason: 'by hand' },
    });

    const another = await stack.issueSession();
    expect((await stack.call('/session/revoke', { token: another.token, method: 'POST' })).status).toBe(200);
    expect((await getTicket(another.token)).status).toBe(401);
    expect((await stack.admin.session(another.session.id)).status).toBe('revoked');
  });

  it('answers a repeated idempotency key without doing or charging it twice', async () => {
    const { session, token } = await stack.issueSession();
    const order = (body: object, key: string): Promise<Response> =>
      stack.call('/tickets/tickets/1/comments', { token, method: 'POST', body, headers: { 'idempotency-key': key } });
    stack.upstream.reset();
    stack.upstream.behave('delay:400', { path: '/tickets', times: 1 });
    const first = order({ a: 1 }, 'key-1');
    await new Promise((resolve) => setTimeout(resolve, 150));
    const running = await order({ a: 1 }, 'key-1');
    expect(running.headers.get('retry-after')).not.toBeNull();
    expect(await problemOf(running)).toMatchObject({ status: 409, code: 'idempotency-in-flight' });
    expect(await problemOf(await order({ a: 2 }, 'key-1'))).toMatchObject({
      status: 422,
      code: 'idempotency-mismatch',
    });
    expect((await first).status).toBeLessThan(300);
    await settledLedger(stack, session.id);
    const completed = await order({ a: 1 }, 'key-1');
    expect(completed.headers.get('x-should-retry')).toBe('false');
    expect(await problemOf(completed)).toMatchObject({ status: 409, code: 'idempotency-completed' });
    expect(stack.upstream.stats().requests).toBe(1);
    expect((await moneyOf(stack, session.id)).settled).toBe(50_000);

    // A zero charge frees the key.
    stack.upstream.behave('status:500', { path: '/tickets', times: 1 });
    expect((await order({ b: 1 }, 'key-2')).status).toBe(500);
    await settledLedger(stack, session.id);
    expect((await order({ b: 1 }, 'key-2')).status).toBeLessThan(300);
  });
});

describe('on_limit: pause', () => {
  it('opens the breaker at the limit, and goes on when an operator raises the cap', async () => {
    const stack = await startStack({ policy: policy(', on_limit: pause') });
    try {
      const { session, token } = await stack.issueSession({ limits: { spend_usd: '0.01' } });
      const getTicket = (): Promise<Response> => stack.call('/tickets/tickets', { token });
      expect((await getTicket()).status).toBe(200);
      await settledLedger(stack, session.id);
      expect((await problemOf(await getTicket())).code).toBe('spend-limit-exceeded');
      const paused = await getTicket();
      expect(paused.headers.get('x-should-retry')).toBe('false');
      expect(await problemOf(paused)).toMatchObject({ status: 429, code: 'breaker-open' });
      expect(await stack.admin.session(session.id)).toMatchObject({
        status: 'tripped',
        breaker: { state: 'open', reason: 'spend-limit' },
      });
      await stack.admin.changeLimits(session.id, { spend_usd: '0.5' });
      expect((await getTicket()).status).toBe(200);
    } finally {
      await stack.close();
    }
  });
});
