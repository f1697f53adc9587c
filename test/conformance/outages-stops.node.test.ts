// Stops that are pulled while other parts are away: kill switches, revocations and HALT hold where they can be heard of, and
// what could not be told is told later, by itself.
import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Issued, IssueRequest } from '../../scripts/admin-client.ts';
import { eventually } from '../support/eventually.ts';
import { becomes, objectOf, pull, sleep, statusAt, ticket } from '../support/fault-requests.ts';
import { type Faults, type FaultStack, startFaultStack } from '../support/fault-stack.ts';
import { problemOf } from './money.ts';

// A machine that stands still for seconds makes an isolate stale, as it should: tried again.
describe('a stop, with parts of the gateway away', { timeout: 60_000, retry: 2 }, () => {
  let stack: FaultStack;
  beforeAll(async () => {
    stack = await startFaultStack();
  });
  afterEach(async () => {
    await stack.fail({});
    stack.upstream.reset();
  });
  afterAll(() => stack.close());

  let agents = 0;
  /** Each of an agent of its own, so that no test stops another's. */
  const issue = (more: Partial<IssueRequest> = {}): Promise<Issued> =>
    stack.issueSession({ agent: `agent-${(agents += 1)}`, limits: { spend_usd: '1000' }, ...more });

  describe('a kill switch', () => {
    it.each<{ readonly what: string; readonly faults: Faults }>([
      { what: 'KV down', faults: { 'kv.get': 'fails', 'kv.put': 'fails' } },
      { what: 'KV that forgets what is written', faults: { 'kv.put': 'withheld' } },
      { what: 'no session reachable', faults: { session: 'fails' } },
      { what: 'relays down', faults: { relay: 'fails' } },
      {
        what: 'relays, KV and sessions down',
        faults: { relay: 'fails', 'kv.get': 'fails', 'kv.put': 'fails', session: 'fails' },
      },
    ])('is pulled with $what: at once where it is pulled, soon elsewhere', async ({ faults }) => {
      const { session, token } = await issue();
      const there = stack.coldIsolate();
      expect([await statusAt(stack.warm, token), await statusAt(there, token)]).toEqual([200, 200]);
      await stack.fail(faults);
      expect((await pull(stack.warm, `agent/${session.agent}`)).status).toBe(201);
      expect(await problemOf(await ticket(stack.warm, token))).toMatchObject({
        status: 403,
        code: 'kill-switch-active',
      });
      await becomes(there, token, 403);
    });

    it('is previewed with what answers, which is said', async () => {
      const customer = 'previewed';
      const [up, down] = [await issue({ customer }), await issue({ customer })];
      for (const { token } of [up, down]) expect(await statusAt(stack.warm, token)).toBe(200);
      await stack.fail(objectOf(down.session));
      const preview = await stack.warm.admin('PUT', `/kill-switches/customer/${customer}?dry_run=true`);
      expect(preview).toMatchObject({
        status: 200,
        body: { live_sessions: 2, sessions_asked: 1, spend_last_minute_usd: '0.010000' },
      });
    });

    it('is known from KV alone to a cold isolate, while KV is young enough', async () => {
      const { session, token } = await issue();
      const other = await issue();
      await pull(stack.warm, `agent/${session.agent}`);
      // KV takes one write a second.
      await sleep(2_500);
      await stack.fail({ relay: 'fails', control: 'fails' });
      const cold = stack.coldIsolate();
      expect([await statusAt(cold, token), await statusAt(cold, other.token)]).toEqual([403, 200]);
    });

    it('survives a crash, and is known to the first request after it', async () => {
      const { session, token } = await issue();
      await pull(stack.warm, `agent/${session.agent}`);
      await stack.gateway.kill9();
      await stack.gateway.restart();
      expect(await statusAt(stack.warm, token)).toBe(403);
    });

    it('holds beside a policy that cannot be read, and the policy before it stays in force', async () => {
      const { session, token } = await issue();
      const before = (await stack.warm.health()).body['policy'];
      const act = { by: 'test', owner: 'test', reason: 'broken on purpose' };
      const deployed = { digest: String(before), deployedAtMs: null };
      const text = 'routes: [this is no policy';
      await stack.object('CONTROL', 'control', 'setPolicy', { text, deployed, act });
      const there = stack.coldIsolate();
      const digest = createHash('sha256').update(text).digest('hex');
      await eventually(
        async () => (await there.health()).body,
        (health) => health['policy_refused'] === digest,
      );
      expect((await there.health()).body['policy']).toBe(before);
      expect(await statusAt(there, token)).toBe(200);
      expect((await pull(stack.warm, `agent/${session.agent}`)).status).toBe(201);
      expect(await statusAt(stack.warm, token)).toBe(403);
      await becomes(there, token, 403);
      expect((await stack.warm.admin('PUT', '/policy', { deployed: true, reason: 'let go' })).status).toBe(200);
      expect((await stack.warm.health()).body['policy_refused']).toBeNull();
    });

    it('holds beside a policy that comes broken from everywhere, which is adopted once it comes whole', async () => {
      const { session, token } = await issue();
      const yaml = String((await stack.warm.admin('GET', '/policy')).body['yaml']);
      await stack.fail({ blobs: 'corrupt' });
      const next = `${yaml}\n# the same, and another version\n`;
      const digest = createHash('sha256').update(next).digest('hex');
      expect((await stack.warm.admin('PUT', '/policy', { yaml: next, reason: 'new' })).status).toBe(200);
      expect((await pull(stack.warm, `agent/${session.agent}`)).status).toBe(201);
      const there = stack.coldIsolate();
      expect([await statusAt(stack.warm, token), await statusAt(there, token)]).toEqual([403, 403]);
      expect((await there.health()).body['policy_drift']).toBeNull();
      await stack.fail({});
      for (const isolate of [stack.warm, there]) {
        await eventually(
          async () => JSON.stringify((await isolate.health()).body['policy_drift']),
          (drift) => drift.includes(digest),
        );
      }
      await stack.warm.admin('PUT', '/policy', { deployed: true, reason: 'let go' });
    });
  });

  describe('a revocation', () => {
    it('of a session holds on the next request with the control object down, and is listed later by itself', async () => {
      const { session, token } = await issue();
      const there = stack.coldIsolate();
      expect(await statusAt(there, token)).toBe(200);
      await stack.fail({ control: 'fails' });
      const answer = await stack.warm.admin('POST', `/sessions/${session.id}/revoke`, { reason: 'stolen' });
      expect(answer).toMatchObject({ status: 503, body: { code: 'enforcement-unavailable' } });
      expect(String(answer.body['detail'])).toContain('session is revoked and refuses');
      expect(await problemOf(await ticket(there, token))).toMatchObject({ status: 401, code: 'session-revoked' });
      await stack.fail(objectOf(session));
      // Refused from memory, without its object, where nobody has ever asked it.
      const cold = stack.coldIsolate();
      await becomes(cold, token, 401);
    });

    it('of a session is refused from memory once the list has spread, and at once by a cold isolate', async () => {
      const { session, token } = await issue();
      const there = stack.coldIsolate();
      expect(await statusAt(there, token)).toBe(200);
      await stack.admin.revoke(session.id, 'done');
      await stack.fail(objectOf(session));
      await becomes(there, token, 401);
      const refusal = await ticket(stack.coldIsolate(), token);
      expect(await problemOf(refusal)).toMatchObject({ status: 401, code: 'session-revoked' });
      expect(refusal.headers.get('x-should-retry')).toBe('false');
    });

    it('of an agent goes on by itself where some of its sessions do not answer', async () => {
      const agent = 'agent-of-three';
      const sessions = [await issue({ agent }), await issue({ agent }), await issue({ agent })];
      const [first] = sessions;
      const there = stack.coldIsolate();
      for (const { token } of sessions) expect(await statusAt(there, token)).toBe(200);
      await stack.fail(objectOf(first?.session ?? { id: '' }));
      expect(await stack.warm.admin('POST', `/agents/${agent}/revoke`, { reason: 'gone wild' })).toMatchObject({
        status: 200,
        body: { agent, sessions: 3, pending: 1, listed: true },
      });
      // Here from memory, though one of their objects has not heard of it.
      for (const { token } of sessions) expect(await statusAt(stack.warm, token)).toBe(401);
      for (const { token } of sessions.slice(1)) expect(await statusAt(there, token)).toBe(401);
      await becomes(there, first?.token ?? '', 401);
      await stack.fail({});
      await eventually(
        async () => (await stack.admin.session(first?.session.id ?? '')).status,
        (status) => status === 'revoked',
      );
      // What is issued from now on is a new beginning.
      expect(await statusAt(there, (await issue({ agent })).token)).toBe(200);
    });

    it('of an agent holds in its sessions with the control object down', async () => {
      const { session, token } = await issue();
      const there = stack.coldIsolate();
      expect(await statusAt(there, token)).toBe(200);
      await stack.fail({ control: 'fails' });
      expect(await stack.warm.admin('POST', `/agents/${session.agent}/revoke`, { reason: 'gone wild' })).toMatchObject({
        status: 200,
        body: { sessions: 1, pending: 0, listed: false },
      });
      expect([await statusAt(there, token), await statusAt(stack.warm, token)]).toEqual([401, 401]);
    });

    it('of a session cannot be said to hold while its object is down, and the operator is told so', async () => {
      const { session, token } = await issue();
      await stack.fail(objectOf(session));
      const answer = await stack.warm.admin('POST', `/sessions/${session.id}/revoke`, { reason: 'stolen' });
      expect(answer).toMatchObject({ status: 503, body: { code: 'enforcement-unavailable' } });
      expect(await statusAt(stack.warm, token)).toBe(503);
    });
  });

  it('HALT: a Worker that starts with it refuses all and can be operated, objects that start with it cut what runs', async () => {
    const { session, token } = await issue();
    const running = await stack.call('/local-openai/v1/chat/completions', {
      token,
      body: { model: 'gpt-4o-mini', stream: true, messages: [{ role: 'user', content: '[[endless]] [[pace:20]]' }] },
    });
    await stack.fail({ halt: 'fails', relay: 'fails', control: 'fails', 'kv.get': 'fails', 'kv.put': 'fails' });
    const deployed = stack.coldIsolate();
    const heard = stack.upstream.stats().requests;
    expect(await problemOf(await ticket(deployed, token))).toMatchObject({ status: 403, code: 'kill-switch-active' });
    expect(stack.upstream.stats().requests).toBe(heard);
    // What an earlier Worker runs: a deploy restarts the objects, and the stream hears of it from its own.
    await stack.object('SESSION', `fusebox~${session.id}`, 'restart').catch(() => undefined);
    expect(await running.text()).toContain('Everything is stopped by an operator.');
    expect(await statusAt(stack.warm, token)).toBe(403);
    await stack.fail({});
    expect(await deployed.health()).toMatchObject({ status: 503, body: { status: 'halted' } });
    expect((await deployed.admin('GET', `/sessions/${session.id}`)).status).toBe(200);
    expect((await deployed.admin('POST', `/sessions/${session.id}/revoke`, { reason: 'x' })).status).toBe(200);
  });
});
