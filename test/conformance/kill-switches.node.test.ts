// Kill switches as operators pull them and agents meet them: every level and form of target, what goes on, what is cut, and
// what nobody may do.
import { createHash } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { IssueRequest } from '../../scripts/admin-client.ts';
import { eventually } from '../support/eventually.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { micro, problemOf } from './money.ts';
import { unmoved } from './unmoved.ts';

const TICKET = '/tickets/tickets/1';
const CHAT = '/local-openai/v1/chat/completions';
const CHAT_BODY = { model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hi' }] };
const VICTIM = { agent: 'billing-7', customer: 'acme', segment: ['retail', 'vulnerable'] };
const ALICE = 'alice-operator-00000000000000000000000000';
const ALICE_TOO = 'alice-approver-00000000000000000000000000';
const BOB = 'bob-approver-0000000000000000000000000000';

const digest = (token: string): string => createHash('sha256').update(token).digest('hex');
const ADMIN_TOKENS = JSON.stringify([
  { id: 'alice', owner: 'Alice', sha256: digest(ALICE), roles: ['viewer', 'operator'] },
  { id: 'alice-too', owner: ' alice ', sha256: digest(ALICE_TOO), roles: ['operator', 'approver'] },
  { id: 'bob', owner: 'bob', sha256: digest(BOB), roles: ['approver'] },
]);

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

const ids = (...sessions: { readonly session: { readonly id: string } }[]): string[] =>
  sessions.map(({ session }) => session.id);
/** In order. */
const statusesOf = (answers: readonly Answer[]): number[] =>
  answers.map(({ status }) => status).toSorted((a, b) => a - b);

describe('kill switches', { timeout: 60_000 }, () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack({ vars: { ADMIN_TOKENS } });
  });
  beforeEach(() => stack.upstream.reset());
  afterEach(liftAll);
  afterAll(() => stack.close());

  async function admin(method: string, path: string, body?: unknown, token = ALICE): Promise<Answer> {
    const response = await fetch(`${stack.url}/admin${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return { status: response.status, body: await response.json() };
  }
  const pull = (name: string, body: object = { reason: 'runaway' }, query = ''): Promise<Answer> =>
    admin('PUT', `/kill-switches/${name}${query}`, body);
  const lift = (name: string, token = ALICE): Promise<Answer> =>
    admin('DELETE', `/kill-switches/${name}`, { reason: 'over' }, token);
  async function pulled(): Promise<{ level: string; target: string; reason: string; expires_at: string | null }[]> {
    const { body } = await admin('GET', '/kill-switches');
    return body['kill_switches'] as never;
  }
  async function liftAll(): Promise<void> {
    for (const { level, target } of await pulled()) {
      await lift(`${level}/${target}`);
      if (level === 'global') await lift('global/all', BOB);
    }
    expect(await pulled()).toEqual([]);
  }
  const issue = (more: Partial<IssueRequest> = {}): ReturnType<Stack['issueSession']> =>
    stack.issueSession({ ...VICTIM, ...more });
  const ticket = (token: string): Promise<Response> => stack.call(TICKET, { token });
  const chat = (token: string): Promise<Response> => stack.call(CHAT, { token, body: CHAT_BODY });

  interface Target {
    readonly name: string;
    /** Who goes on: another session, or the same one elsewhere. */
    readonly bystander: Partial<IssueRequest> | 'the same on another feature' | null;
  }
  const targets: readonly Target[] = [
    { name: 'global/all', bystander: null },
    { name: 'agent/billing-7', bystander: { agent: 'billing-70' } },
    { name: 'agent/billing-*', bystander: { agent: 'billin' } },
    { name: 'feature/tickets', bystander: 'the same on another feature' },
    { name: 'feature/tickets@billing-7', bystander: { agent: 'billing-8' } },
    { name: 'feature/tickets@billing-*', bystander: { agent: 'sales-7' } },
    { name: 'feature/tickets@billing-*', bystander: 'the same on another feature' },
    { name: 'customer/acme', bystander: { customer: 'acme2' } },
    { name: 'segment/vulnerable', bystander: { segment: ['retail'] } },
    { name: 'segment/retail', bystander: { segment: 'vulnerable' } },
  ];

  it.each(targets)('$name stops whom it names and nobody else, and lets go', async ({ name, bystander }) => {
    const { session, token } = await issue();
    expect((await ticket(token)).status).toBe(200);
    expect((await pull(name)).status).toBe(201);

    const refusal = await unmoved(stack, session.id, () => ticket(token));
    expect(refusal.headers.get('x-should-retry')).toBe('false');
    expect(refusal.headers.get('retry-after')).toBeNull();
    expect(refusal.headers.get('x-fusebox-session')).toBe(session.id);
    const { status, code, body } = await problemOf(refusal);
    const [level, target] = name.split('/');
    expect([status, code, body['level'], body['target']]).toEqual([403, 'kill-switch-active', level, target]);
    // Operators' reasons are not for those who are stopped.
    expect(JSON.stringify(body)).not.toContain('runaway');

    if (bystander === 'the same on another feature') expect((await chat(token)).status).toBe(200);
    else if (bystander !== null) expect((await ticket((await issue(bystander)).token)).status).toBe(200);

    expect((await lift(name)).status).toBe(level === 'global' ? 202 : 200);
    if (level === 'global') {
      expect((await ticket(token)).status).toBe(403);
      expect((await lift(name, BOB)).status).toBe(200);
    }
    expect((await ticket(token)).status).toBe(200);
  });

  it('ends by itself when its time is up', async () => {
    const { token } = await issue();
    const expires_at = new Date(Date.now() + 1_500).toISOString();
    expect(await pull('customer/acme', { reason: 'for a moment', expires_at })).toMatchObject({
      status: 201,
      body: { expires_at },
    });
    expect((await ticket(token)).status).toBe(403);
    await eventually(
      async () => (await ticket(token)).status,
      (status) => status === 200,
    );
    expect(Date.now()).toBeGreaterThanOrEqual(Date.parse(expires_at));
    expect(await pulled()).toEqual([]);
  });

  it('still lets an agent see and stop itself', async () => {
    const { token } = await issue();
    await pull('agent/billing-7');
    const own = await stack.call('/session', { token });
    expect([own.status, await own.json()]).toMatchObject([200, { status: 'active' }]);
    const stopped = await stack.call('/session/revoke', { token, method: 'POST' });
    expect(await stopped.json()).toMatchObject({ status: 'revoked' });
    expect(await problemOf(await ticket(token))).toMatchObject({ status: 401, code: 'session-revoked' });
  });

  const preview = async (name: string): Promise<Readonly<Record<string, unknown>>> => {
    const { status, body } = await pull(name, {}, '?dry_run=true');
    expect([status, body['dry_run']]).toEqual([200, true]);
    return body;
  };
  const costOf = async (ids: readonly string[], route?: string): Promise<number> => {
    const entries = (await Promise.all(ids.map((id) => stack.admin.ledger(id)))).flat();
    return entries
      .filter((entry) => route === undefined || entry.route === route)
      .reduce((sum, entry) => sum + micro(entry.cost_usd), 0);
  };

  describe('a preview', () => {
    it('counts live sessions and their last minute exactly, and pulls nothing', async () => {
      const kind = { agent: 'preview-1', customer: 'preview-co', segment: ['preview-a', 'preview-b'] };
      const [one, two, third, revoked] = await Promise.all([
        issue(kind),
        issue({ ...kind, agent: 'preview-2', scopes: ['ticket:read'] }),
        issue({ ...kind, agent: 'previews', customer: 'other-co', segment: 'preview-b', scopes: ['llm:openai'] }),
        issue(kind),
      ]);
      if (one === undefined || two === undefined || third === undefined || revoked === undefined) throw new Error();
      for (const { token } of [one, two, revoked]) expect((await ticket(token)).status).toBe(200);
      for (const { token } of [one, third]) expect((await chat(token)).status).toBe(200);
      await stack.admin.revoke(revoked.session.id, 'not live any more');
      const spent = async (sessions: readonly string[], route?: string): Promise<object> => ({
        live_sessions: sessions.length,
        sessions_asked: sessions.length,
        spend_last_minute_usd: ((await costOf(sessions, route)) / 1_000_000).toFixed(6),
      });
      expect(await costOf(ids(one, two, third))).toBeGreaterThan(20_000);

      expect(await preview('customer/preview-co')).toMatchObject(await spent(ids(one, two)));
      expect(await preview('agent/preview-1')).toMatchObject(await spent(ids(one)));
      expect(await preview('agent/preview-*')).toMatchObject(await spent(ids(one, two)));
      expect(await preview('agent/preview*')).toMatchObject(await spent(ids(one, two, third)));
      expect(await preview('segment/preview-b')).toMatchObject(await spent(ids(one, two, third)));
      expect(await preview('feature/tickets@preview*')).toMatchObject({
        ...(await spent(ids(one, two), 'tickets')),
        routes: ['tickets'],
      });
      expect(await preview('agent/nobody')).toMatchObject(await spent([]));
      const everybody = await preview('global/all');
      expect(Number(everybody['live_sessions'])).toBeGreaterThanOrEqual(3);
      expect(everybody['sessions_asked']).toBe(everybody['live_sessions']);

      expect(await pulled()).toEqual([]);
      expect((await ticket(one.token)).status).toBe(200);
    });

    it('needs no reason and takes the same names', async () => {
      for (const name of ['global/everything', 'agent/*', 'planet/earth'])
        expect(await pull(name, {}, '?dry_run=true')).toMatchObject({ status: 400, body: { code: 'bad-request' } });
    });
  });

  describe('what is wrong changes nothing', () => {
    it.each([
      ['an unknown level', 'PUT', 'galaxy/all', { reason: 'x' }, 'no level'],
      ['a level with a slip', 'PUT', 'agents/billing-7', { reason: 'x' }, 'did you mean "agent"'],
      ['an unknown target', 'PUT', 'global/some', { reason: 'x' }, 'the one target'],
      ['a pattern where none is', 'PUT', 'customer/ac*', { reason: 'x' }, 'not the id of a customer'],
      ['a target that is no id', 'PUT', 'feature/%20', { reason: 'x' }, 'neither a feature'],
      ['no reason', 'PUT', 'agent/billing-7', {}, 'reason is missing'],
      ['a member nobody knows', 'PUT', 'agent/billing-7', { reason: 'x', until: 5 }, 'until'],
      ['an end in the past', 'PUT', 'agent/billing-7', { reason: 'x', expires_at: '2020-01-01T00:00:00Z' }, 'past'],
      ['an end that is no time', 'PUT', 'agent/billing-7', { reason: 'x', expires_at: 'soon' }, 'not a time'],
      ['a lift of an unknown level', 'DELETE', 'galaxy/all', { reason: 'x' }, 'no level'],
    ])('%s', async (_what, method, name, body, says) => {
      const { token } = await issue();
      const answer = await admin(method, `/kill-switches/${name}`, body);
      expect(answer).toMatchObject({ status: 400, body: { code: 'bad-request', status: 400 } });
      expect(String(answer.body['detail'])).toContain(says);
      expect(await pulled()).toEqual([]);
      expect((await ticket(token)).status).toBe(200);
    });

    it('lifting what is not pulled is told so', async () => {
      expect(await lift('agent/billing-7')).toMatchObject({ status: 404, body: { code: 'kill-switch-unknown' } });
    });

    it('a viewer or an approver pulls nothing, a stranger sees nothing', async () => {
      expect((await admin('PUT', '/kill-switches/global/all', { reason: 'x' }, BOB)).status).toBe(403);
      expect((await admin('GET', '/kill-switches', undefined, 'no-token')).status).toBe(401);
      expect(await pulled()).toEqual([]);
    });
  });

  it('pulled twice, it keeps its first reason and never ends earlier', async () => {
    const soon = new Date(Date.now() + 600_000).toISOString();
    const later = new Date(Date.now() + 900_000).toISOString();
    expect((await pull('agent/billing-7', { reason: 'first', expires_at: soon })).status).toBe(201);
    const second = await pull('agent/billing-7', { reason: 'second', expires_at: later });
    expect(second).toMatchObject({ status: 200, body: { reason: 'first', expires_at: later } });
    const third = await pull('agent/billing-7', { reason: 'third', expires_at: soon });
    expect(third).toMatchObject({ status: 200, body: { reason: 'first', expires_at: later } });
    expect(await pull('agent/billing-7')).toMatchObject({ status: 200, body: { expires_at: null } });
    expect(await pulled()).toMatchObject([{ reason: 'first', expires_at: null }]);
    expect((await lift('agent/billing-7')).status).toBe(200);
    expect(await pulled()).toEqual([]);
  });

  it('of many operators at once, each is answered in turn and the log tells the same story', async () => {
    const { token } = await issue();
    const answers = await Promise.all(
      Array.from({ length: 60 }, async (_, index) => {
        const isPull = index % 2 === 0;
        const { status } = await (isPull
          ? pull('agent/billing-7', { reason: `racer ${index}` })
          : lift('agent/billing-7', index % 4 === 1 ? ALICE : ALICE_TOO));
        return `${isPull ? 'pull' : 'lift'} ${status}`;
      }),
    );
    const count = (what: string): number => answers.filter((answer) => answer === what).length;
    expect(count('pull 201') + count('pull 200')).toBe(30);
    expect(count('lift 200') + count('lift 404')).toBe(30);
    const isPulled = (await pulled()).length === 1;
    expect(count('pull 201') - count('lift 200')).toBe(isPulled ? 1 : 0);
    expect((await ticket(token)).status).toBe(isPulled ? 403 : 200);
    expect((await admin('GET', '/audit/verify')).body).toMatchObject({ valid: true, first_bad: null });
  });

  it('of two operators who pull at once with different ends, the later end holds', async () => {
    const ends = Array.from({ length: 10 }, (_, index) => new Date(Date.now() + (index + 1) * 60_000).toISOString());
    await Promise.all(ends.map((expires_at) => pull('customer/acme', { reason: 'both', expires_at })));
    expect(await pulled()).toMatchObject([{ expires_at: ends.at(-1) }]);
  });

  describe('the global one', () => {
    it('is not lifted by one person under two tokens, at once or in turn', async () => {
      const { token } = await issue();
      await pull('global/all');
      const both = await Promise.all([lift('global/all', ALICE), lift('global/all', ALICE_TOO)]);
      expect(statusesOf(both)).toEqual([202, 403]);
      expect(await lift('global/all', ALICE_TOO)).toMatchObject({
        status: 403,
        body: { code: 'approval-required' },
      });
      expect((await ticket(token)).status).toBe(403);
      expect((await lift('global/all', BOB)).status).toBe(200);
      expect((await ticket(token)).status).toBe(200);
    });

    it('takes the operator first, then the approver', async () => {
      await pull('global/all');
      expect(await lift('global/all', BOB)).toMatchObject({ status: 403, body: { code: 'approval-required' } });
      expect((await lift('global/all')).status).toBe(202);
      // Pulled again meanwhile: whoever confirms now would confirm something else.
      await pull('global/all', { reason: 'again' });
      expect(await lift('global/all', BOB)).toMatchObject({ status: 403, body: { code: 'approval-required' } });
      expect(await pulled()).toHaveLength(1);
    });

    it('is lifted once, however many confirm', async () => {
      await pull('global/all');
      await lift('global/all');
      const all = await Promise.all(Array.from({ length: 6 }, () => lift('global/all', BOB)));
      expect(statusesOf(all)).toEqual([200, 404, 404, 404, 404, 404]);
    });
  });
});

describe('a policy that requires the claims of the levels', { timeout: 60_000 }, () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack();
  });
  afterAll(() => stack.close());

  it('issues none without them, and refuses those from before', async () => {
    const admin = async (method: string, path: string, body?: object): Promise<Answer> => {
      const response = await fetch(`${stack.url}/admin${path}`, {
        method,
        headers: { authorization: `Bearer ${stack.adminToken}` },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      return { status: response.status, body: await response.json() };
    };
    const [whole, noSegment, noCustomer] = await Promise.all([
      stack.issueSession({ customer: 'acme', segment: 'retail' }),
      stack.issueSession({ customer: 'acme' }),
      stack.issueSession({ segment: 'retail' }),
    ]);
    const yaml = String((await admin('GET', '/policy')).body['yaml']);
    const stricter = yaml.replace('required_claims: []', 'required_claims: [customer, segment]');
    expect((await admin('PUT', '/policy', { yaml: stricter, reason: 'no way around' })).status).toBe(200);

    expect((await stack.call(TICKET, { token: whole?.token ?? '' })).status).toBe(200);
    for (const issued of [noSegment, noCustomer]) {
      const { id } = issued?.session ?? { id: '' };
      const refusal = await unmoved(stack, id, () => stack.call(TICKET, { token: issued?.token ?? '' }));
      expect(await problemOf(refusal)).toMatchObject({ status: 401, code: 'credential-invalid' });
    }
    for (const claims of [{ customer: 'acme' }, { segment: 'retail' }, {}]) {
      const answer = await admin('POST', '/sessions', { agent: 'a', scopes: ['ticket:read'], ...claims });
      expect(answer).toMatchObject({ status: 400, body: { code: 'bad-request' } });
    }
  });
});
