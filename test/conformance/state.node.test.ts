// What must outlive the process, the isolate and the quiet: revocations, limits, spend and idempotency keys, whatever
// kills the Worker and whenever.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startStack, type Stack } from '../support/stack.ts';
import { micro, moneyOf, problemOf, settledLedger } from './money.ts';
import { unmoved } from './unmoved.ts';

const TICKET_MICRO_USD = 10_000;

/** After a crash the request rate starts empty and comes back evenly: waits for the first that it lets through. */
async function paced(ask: () => Promise<Response>): Promise<Response> {
  for (let tries = 0; ; tries += 1) {
    const response = await ask();
    if (tries === 10 || !(await response.clone().text()).includes('velocity-exceeded')) return response;
    await new Promise((resolve) => setTimeout(resolve, 300));
  }
}

describe('state', { timeout: 60_000 }, () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack();
  });
  afterAll(() => stack.close());

  const getTicket = (token: string): Promise<Response> => stack.call('/tickets/tickets', { token });
  const codeOf = async (token: string): Promise<string> => (await problemOf(await getTicket(token))).code;
  const crash = async (): Promise<void> => {
    await stack.gateway.kill9();
    await stack.gateway.restart();
  };

  it('a revoked token stays dead in a fresh isolate, by restart and by crash', async () => {
    const { session, token } = await stack.issueSession();
    expect((await getTicket(token)).status).toBe(200);
    await settledLedger(stack, session.id);
    await stack.admin.revoke(session.id, 'stolen');
    expect(await codeOf(token)).toBe('session-revoked');
    for (const end of [() => stack.gateway.restart(), crash, crash]) {
      await end();
      expect(await unmoved(stack, session.id, () => codeOf(token))).toBe('session-revoked');
    }
    expect(await stack.admin.session(session.id)).toMatchObject({
      status: 'revoked',
      revocation: { reason: 'stolen' },
    });
  });

  it('a revocation that was acknowledged survives the crash that follows at once', async () => {
    const { session, token } = await stack.issueSession();
    expect((await getTicket(token)).status).toBe(200);
    await stack.admin.revoke(session.id, 'now');
    await crash();
    expect(await codeOf(token)).toBe('session-revoked');
  });

  it('a trip survives, and no raised cap revives it', async () => {
    const { session, token } = await stack.issueSession({ limits: { spend_usd: '0.01' } });
    expect((await getTicket(token)).status).toBe(200);
    await settledLedger(stack, session.id);
    expect(await codeOf(token)).toBe('spend-limit-exceeded');
    await crash();
    expect(await codeOf(token)).toBe('session-revoked');
    await stack.admin.changeLimits(session.id, { spend_usd: '5' });
    await crash();
    expect(await codeOf(token)).toBe('session-revoked');
    expect(await stack.admin.session(session.id)).toMatchObject({ trip: { reason: 'spend-limit' } });
  });

  it('a changed limit survives, up and down', async () => {
    const lowered = await stack.issueSession({ limits: { spend_usd: '1' } });
    const raised = await stack.issueSession({ limits: { spend_usd: '0.000001' } });
    await stack.admin.changeLimits(lowered.session.id, { spend_usd: '0.005' });
    await stack.admin.changeLimits(raised.session.id, { spend_usd: '0.5' });
    await crash();
    expect(await codeOf(lowered.token)).toBe('spend-limit-exceeded');
    expect((await getTicket(raised.token)).status).toBe(200);
  });

  it('spend that was acknowledged survives; a crash costs at most one block, and never overspends', async () => {
    const limit = 300_000;
    const { session, token } = await stack.issueSession({ limits: { spend_usd: '0.300000' } });
    let served = 0;
    for (let round = 0; round < 3; round += 1) {
      const statuses = await Promise.all(Array.from({ length: 5 }, async () => (await getTicket(token)).status));
      served += statuses.filter((status) => status === 200).length;
      const { settled, held } = await moneyOf(stack, session.id);
      await crash();
      const after = await moneyOf(stack, session.id);
      expect(after.settled + after.held).toBeGreaterThanOrEqual(settled);
      expect(after.settled + after.held).toBeGreaterThanOrEqual(served * TICKET_MICRO_USD - limit / 100);
      expect(after.settled + after.held).toBeLessThanOrEqual(
        Math.max(settled + held, served * TICKET_MICRO_USD) + (round + 1) * (limit / 100),
      );
    }
    for (let call = 0; call < 40; call += 1) if ((await paced(() => getTicket(token))).status === 200) served += 1;
    expect(served * TICKET_MICRO_USD).toBeLessThanOrEqual(limit);
    const { settled, held } = await moneyOf(stack, session.id);
    expect(settled + held).toBeLessThanOrEqual(limit);
  });

  it('a request that was running when the gateway died stays held, and is never given back', async () => {
    const { session, token } = await stack.issueSession({ limits: { spend_usd: '0.015' } });
    stack.upstream.behave('delay:5000', { path: '/tickets', times: 1 });
    const running = getTicket(token).catch(() => null);
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect((await moneyOf(stack, session.id)).held).toBe(TICKET_MICRO_USD);
    await crash();
    await running;
    expect((await moneyOf(stack, session.id)).held).toBeGreaterThanOrEqual(TICKET_MICRO_USD);
    expect((await problemOf(await paced(() => getTicket(token)))).code).toBe('spend-held');
  });

  it('an idempotency key survives: what was charged is not done again, what was lost stays in flight', async () => {
    const { session, token } = await stack.issueSession();
    const order = (body: object, key: string): Promise<Response> =>
      stack.call('/tickets/tickets/1/comments', { token, method: 'POST', body, headers: { 'idempotency-key': key } });
    expect((await order({ a: 1 }, 'done')).status).toBe(201);
    await settledLedger(stack, session.id);
    stack.upstream.behave('delay:5000', { path: '/tickets', times: 1 });
    const running = order({ a: 1 }, 'running').catch(() => null);
    await new Promise((resolve) => setTimeout(resolve, 300));
    await crash();
    await running;
    const heard = stack.upstream.stats().requests;
    expect((await problemOf(await order({ a: 1 }, 'done'))).code).toBe('idempotency-completed');
    expect((await problemOf(await order({ a: 2 }, 'done'))).code).toBe('idempotency-mismatch');
    expect((await problemOf(await order({ a: 1 }, 'running'))).code).toBe('idempotency-in-flight');
    expect((await problemOf(await order({ a: 2 }, 'running'))).code).toBe('idempotency-mismatch');
    expect(stack.upstream.stats().requests).toBe(heard);
  });

  it('an idempotency key belongs to its route and its session', async () => {
    const one = await stack.issueSession();
    const two = await stack.issueSession();
    const headers = { 'idempotency-key': 'shared' };
    const ask = (token: string): Promise<Response> =>
      stack.call('/local-openai/v1/chat/completions', {
        token,
        headers,
        body: { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hi' }] },
      });
    for (const { token } of [one, two]) {
      expect((await stack.call('/tickets/tickets/1/comments', { token, body: { a: 1 }, headers })).status).toBe(201);
      expect((await ask(token)).status).toBe(200);
    }
    await settledLedger(stack, one.session.id);
    expect((await problemOf(await ask(one.token))).code).toBe('idempotency-completed');
  });

  it('a warning is given once, and stays given', async () => {
    const { session, token } = await stack.issueSession({ limits: { spend_usd: '0.105' } });
    for (let call = 0; call < 10; call += 1) await (await getTicket(token)).text();
    await settledLedger(stack, session.id);
    await crash();
    expect((await stack.admin.session(session.id)).warnings).toEqual(['spend-90']);
    const body = { model: 'gpt-4o-mini', max_completion_tokens: 20, messages: [{ role: 'user', content: 'hi' }] };
    const again = await paced(() => stack.call('/local-openai/v1/chat/completions', { token, body }));
    expect(again.headers.get('x-fusebox-warning')).toBe('spend-90');
    expect(JSON.stringify(stack.upstream.requests.at(-1)?.json)).toMatch(/"role":"system".*summar/i);
    expect((await stack.admin.session(session.id)).warnings).toEqual(['spend-90']);
  });

  it('one session in trouble does not slow or stop another', async () => {
    const bad = await stack.issueSession({ limits: { spend_usd: '0.01' } });
    const good = await stack.issueSession();
    const flood = Promise.all(Array.from({ length: 300 }, async () => (await getTicket(bad.token)).status));
    const statuses = await Promise.all(Array.from({ length: 30 }, async () => (await getTicket(good.token)).status));
    expect(new Set(statuses)).toEqual(new Set([200]));
    expect((await flood).filter((status) => status === 200)).toHaveLength(1);
    await settledLedger(stack, good.session.id);
    expect((await moneyOf(stack, good.session.id)).settled).toBe(30 * TICKET_MICRO_USD);
    expect((await stack.admin.session(good.session.id)).status).toBe('active');
  });

  it('a flood of refusals writes no entries and moves no money', async () => {
    const { session, token } = await stack.issueSession();
    await stack.admin.revoke(session.id, 'done');
    const codes = await unmoved(stack, session.id, () => Promise.all(Array.from({ length: 300 }, () => codeOf(token))));
    expect(new Set(codes)).toEqual(new Set(['session-revoked']));
  });

  it('an agent cannot raise, reset or read another session', async () => {
    const { session, token } = await stack.issueSession({ limits: { spend_usd: '0.02' } });
    const asAgent = (method: string, path: string, body?: object): Promise<Response> =>
      stack.call(path, { token, method, ...(body === undefined ? {} : { body }) });
    const attempts = [
      asAgent('PATCH', `/admin/sessions/${session.id}`, { limits: { spend_usd: '1000' }, reason: 'more' }),
      asAgent('POST', `/admin/sessions/${session.id}/reset`, { reason: 'again' }),
      asAgent('POST', `/admin/sessions/${session.id}/credentials`, {}),
      asAgent('GET', '/admin/sessions'),
      asAgent('GET', `/admin/sessions/${session.id}/ledger`),
      asAgent('POST', '/admin/sessions', { agent: 'me', scopes: ['llm:*'] }),
    ];
    for (const attempt of attempts) expect((await attempt).status).toBe(401);
    expect((await asAgent('POST', '/session/reset')).status).toBe(404);
    expect(micro((await stack.admin.session(session.id)).limits.spend_usd)).toBe(20_000);
    expect((await stack.call('/tickets/tickets', { token: stack.adminToken })).status).toBe(401);
  });
});
