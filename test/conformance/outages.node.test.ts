// Relays, KV, the control object and sessions' objects taken away in turn, in pairs and all at once: what goes on, what is
// refused, and that each comes back by itself. Seen from an isolate that has served before and from one that has not.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Issued, IssueRequest } from '../../scripts/admin-client.ts';
import { openaiClient } from '../support/sdk.ts';
import { eventually } from '../support/eventually.ts';
import { becomes, lift, objectOf, pull, sleep, statusAt, TICKET } from '../support/fault-requests.ts';
import { type Faults, type FaultStack, startFaultStack } from '../support/fault-stack.ts';
import { problemOf } from './money.ts';
import { unmoved } from './unmoved.ts';

/** Longer than a relay that never answers is waited for. */
const MAX_AGE_MS = 4_000;
/** Short ages, so that they can be waited for. */
const policy = (upstream: string): string => `version: 1
revocation: { refresh_seconds: 1, max_age_seconds: ${MAX_AGE_MS / 1_000} }
routes:
  tickets: { upstream: "${upstream}", protocol: http, scope: "ticket:read", feature: tickets, fees: [{ usd: "0.01" }] }
  local-openai: { upstream: "${upstream}/openai", protocol: openai, scope: "llm:openai", feature: chat }
`;

// A machine that stands still for seconds makes an isolate stale, as it should: tried again.
describe('an outage', { timeout: 60_000, retry: 2 }, () => {
  let stack: FaultStack;
  beforeAll(async () => {
    stack = await startFaultStack({ policy });
  });
  afterEach(async () => {
    await stack.fail({});
    stack.upstream.reset();
  });
  afterAll(() => stack.close());

  /** Enough for as many requests as an outage is long. */
  const issue = (more: Partial<IssueRequest> = {}): Promise<Issued> =>
    stack.issueSession({ limits: { spend_usd: '1000' }, ...more });

  const harmless: readonly { readonly what: string; readonly faults: Faults }[] = [
    { what: 'relays down', faults: { relay: 'fails' } },
    { what: 'relays that never answer', faults: { relay: 'hangs' } },
    { what: 'relays that cannot reach the control object', faults: { 'relay>control': 'fails' } },
    { what: 'relays that wait for the control object in vain', faults: { 'relay>control': 'hangs' } },
    { what: 'KV and agents down', faults: { 'kv.get': 'fails', 'kv.put': 'fails', agent: 'fails' } },
    { what: 'KV that never answers', faults: { 'kv.get': 'hangs', 'kv.put': 'hangs' } },
  ];

  it.each(harmless)(
    '$what: requests pass past the maximum age, a switch is heard of, and a lift too',
    async ({ faults }) => {
      const agent = `agent-${Math.random().toString(36).slice(2)}`;
      const { token } = await issue({ agent });
      await stack.fail(faults);
      const cold = stack.coldIsolate();
      const untilMs = Date.now() + MAX_AGE_MS + 1_000;
      while (Date.now() < untilMs) {
        expect([await statusAt(stack.warm, token), await statusAt(cold, token)]).toEqual([200, 200]);
        await sleep(100);
      }
      expect((await pull(stack.warm, `agent/${agent}`)).status).toBe(201);
      await becomes(cold, token, 403);
      await becomes(stack.warm, token, 403);
      expect((await lift(cold, `agent/${agent}`)).status).toBe(200);
      await becomes(stack.warm, token, 200);
      await becomes(cold, token, 200);
    },
  );

  it.each<{ readonly what: string; readonly faults: Faults }>([
    { what: 'the control object', faults: { control: 'fails' } },
    { what: 'the control object and relays', faults: { control: 'fails', relay: 'fails' } },
  ])('$what down: all is refused past the maximum age and not before, and comes back', async ({ faults }) => {
    const { session, token } = await issue();
    const running = stack.call('/local-openai/v1/chat/completions', {
      token,
      body: { model: 'gpt-4o-mini', stream: true, messages: [{ role: 'user', content: '[[endless]] [[pace:20]]' }] },
    });
    expect(await statusAt(stack.warm, token)).toBe(200);
    await stack.fail(faults);
    const sinceMs = Date.now();
    expect(await statusAt(stack.warm, token)).toBe(200);
    await becomes(stack.warm, token, 503);
    // What was confirmed last may have been asked for somewhat before it went away.
    expect(Date.now() - sinceMs).toBeGreaterThan(MAX_AGE_MS - 2_500);
    expect(await (await running).text()).toContain('enforcement-unavailable');
    const refusal = await unmovedOnceSettled(session.id, token);
    expect(refusal.headers.get('retry-after')).not.toBeNull();
    expect(await problemOf(refusal)).toMatchObject({ status: 503, code: 'enforcement-unavailable' });
    expect(await stack.warm.health()).toMatchObject({ status: 503, body: { status: 'unavailable' } });
    expect(await stack.warm.admin('PUT', '/kill-switches/global/all', { reason: 'x' })).toMatchObject({
      status: 503,
      body: { code: 'enforcement-unavailable' },
    });
    await stack.fail({});
    await becomes(stack.warm, token, 200);
    expect((await stack.warm.health()).status).toBe(200);
  });

  /** The ledger of a session whose object can be reached, though the list of sessions cannot. */
  async function unmovedOnceSettled(id: string, token: string): Promise<Response> {
    await eventually(
      async () => (await stack.admin.session(id)).spend.held_usd,
      (held) => Number(held) === 0,
    );
    return unmoved(stack, id, () => stack.call(TICKET, { token }));
  }

  it('the official SDK raises an error for a stream that is cut by an outage', async () => {
    const { token } = await issue();
    const client = openaiClient({ url: stack.url, token, maxRetries: 0 });
    const stream = await client.chat.completions.create({
      model: 'gpt-4o-mini',
      stream: true,
      messages: [{ role: 'user', content: '[[endless]] [[pace:20]]' }],
    });
    await stack.fail({ control: 'fails', relay: 'fails', 'kv.get': 'fails' });
    await expect(
      (async () => {
        for await (const _event of stream);
      })(),
    ).rejects.toThrow(/not heard of revocations/);
  });

  it('the control object silent: the same, and nobody is kept waiting for long', async () => {
    const { token } = await issue();
    await stack.fail({ control: 'hangs' });
    await becomes(stack.warm, token, 503);
    const askedMs = performance.now();
    for (let request = 0; request < 20; request += 1) expect(await statusAt(stack.warm, token)).toBe(503);
    // One in half a second asks, and waits for relay and control object in turn; the others are told at once.
    expect(performance.now() - askedMs).toBeLessThan(20_000);
    await stack.fail({});
    await becomes(stack.warm, token, 200);
  });

  it('sessions down: each request is refused, nothing is forwarded, and it comes back', async () => {
    const { session, token } = await issue();
    const other = await issue();
    expect(await statusAt(stack.warm, token)).toBe(200);
    await stack.fail(objectOf(session));
    const heard = stack.upstream.stats().requests;
    const refusal = await stack.call(TICKET, { token });
    expect(await problemOf(refusal)).toMatchObject({ status: 503, code: 'enforcement-unavailable' });
    expect(refusal.headers.get('retry-after')).toBe('1');
    expect(stack.upstream.stats().requests).toBe(heard);
    expect(await statusAt(stack.warm, other.token)).toBe(200);
    await stack.fail({ session: 'fails' });
    expect(await statusAt(stack.warm, other.token)).toBe(503);
    await stack.fail({});
    expect([await statusAt(stack.warm, token), await statusAt(stack.warm, other.token)]).toEqual([200, 200]);
  });

  const everything: Faults = {
    relay: 'fails',
    control: 'fails',
    session: 'fails',
    agent: 'fails',
    'kv.get': 'fails',
    'kv.put': 'fails',
  };

  it('everything at once: all is refused, an answer under way is cut, and all comes back', async () => {
    const { token } = await issue();
    const running = stack.call('/local-openai/v1/chat/completions', {
      token,
      body: { model: 'gpt-4o-mini', stream: true, messages: [{ role: 'user', content: '[[endless]] [[pace:20]]' }] },
    });
    const { body } = await running;
    await stack.fail(everything);
    const heard = stack.upstream.stats().requests;
    expect(await statusAt(stack.warm, token)).toBe(503);
    expect(await statusAt(stack.coldIsolate(), token)).toBe(503);
    expect(await new Response(body).text()).toContain('enforcement-unavailable');
    expect(stack.upstream.stats().requests).toBe(heard);
    await stack.fail({});
    await becomes(stack.warm, token, 200);
  });

  describe('a cold isolate', () => {
    it('is refused nothing while its relay has heard of the control object lately, and all past that', async () => {
      const { token } = await issue();
      const isolate = stack.coldIsolate();
      await statusAt(isolate, token);
      await stack.fail({ control: 'fails', 'kv.get': 'fails' });
      expect(await statusAt(isolate, token)).toBe(200);
      await becomes(isolate, token, 503);
    });

    it('is refused all where what KV has is past the maximum age, and nobody says more', async () => {
      const { token } = await issue();
      await sleep(MAX_AGE_MS + 1_000);
      await stack.fail({ relay: 'fails', control: 'fails' });
      const isolate = stack.coldIsolate();
      expect(await statusAt(isolate, token)).toBe(503);
      await stack.fail({});
      await becomes(isolate, token, 200);
    });
  });
});
