import { beforeEach, describe, expect, it } from 'vitest';
import { type AdminWorld, adminWorld, TOKENS } from '../support/admin.ts';

let world: AdminWorld;

beforeEach(async () => {
  world = await adminWorld();
});

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

async function call(method: string, path: string, token: string, body?: unknown): Promise<Answer> {
  const response = await world.call(method, path, { token, body });
  return { status: response.status, body: await response.json() };
}

const pull = (path: string, body: unknown = { reason: 'runaway' }): Promise<Answer> =>
  call('PUT', `/admin/kill-switches/${path}`, TOKENS.operator, body);

describe('pulling a kill switch', () => {
  it.each([
    'global/all',
    'agent/billing-7',
    'agent/billing-*',
    'agent/billing-%2A',
    'feature/refunds',
    'feature/refunds@billing-*',
    'customer/acme',
    'segment/vulnerable',
  ])('%s', async (path) => {
    const { status, body } = await pull(path);
    const [level, target] = decodeURIComponent(path).split('/');
    expect(status).toBe(201);
    expect(body).toMatchObject({
      level,
      target,
      reason: 'runaway',
      pulled_by: 'the-operator',
      expires_at: null,
      lift: null,
    });
    const listed = await call('GET', '/admin/kill-switches', TOKENS.viewer);
    expect(listed.body).toEqual({ kill_switches: [body] });
  });

  it.each([
    ['universe/all', '"universe" is no level'],
    ['globl/all', 'did you mean "global"'],
    ['global/everything', 'the one target'],
    ['agent/*', 'such as "billing-*"'],
    ['customer/ac*me', 'not the id of a customer'],
    ['feature/a@b@c', 'neither a feature'],
    ['segment/%00', 'not the id of a segment'],
  ])('refuses %s', async (path, says) => {
    const { status, body } = await pull(path);
    expect([status, body['code']]).toEqual([400, 'bad-request']);
    expect(body['detail']).toContain(says);
    expect(world.calls).toEqual([]);
  });

  it.each([
    ['an end in the past', { reason: 'a', expires_at: '2001-01-01T00:00:00Z' }],
    ['an end that is no time', { reason: 'a', expires_at: 'tomorrow' }],
    ['an end on a day that the month lacks', { reason: 'a', expires_at: '2999-02-31T00:00:00Z' }],
    ['no reason', {}],
  ])('refuses %s', async (_what, body) => {
    expect((await pull('customer/acme', body)).status).toBe(400);
    expect(world.switches.size).toBe(0);
  });

  it('a second time answers with the first story, 200', async () => {
    const first = await pull('customer/acme', { reason: 'first' });
    const again = await pull('customer/acme', { reason: 'second' });
    expect([again.status, again.body]).toEqual([200, first.body]);
  });

  it('with dry_run pulls nothing and says what it would stop', async () => {
    const { status, body } = await pull('customer/acme?dry_run=true', {});
    expect([status, body]).toEqual([
      200,
      {
        dry_run: true,
        level: 'customer',
        target: 'acme',
        live_sessions: 0,
        spend_last_minute_usd: '1.500000',
        sessions_asked: 1,
      },
    ]);
    expect([world.switches.size, world.calls]).toEqual([0, ['control.preview']]);
  });

  it('says so when the control object cannot be reached', async () => {
    world.broken.add('control.pull');
    expect((await pull('global/all')).body).toMatchObject({ status: 503, code: 'enforcement-unavailable' });
  });
});

const lift = (path: string, token: string): Promise<Answer> =>
  call('DELETE', `/admin/kill-switches/${path}`, token, { reason: 'over' });

describe('lifting a kill switch', () => {
  it('takes one operator', async () => {
    await pull('customer/acme');
    const { status, body } = await lift('customer/acme', TOKENS.operator);
    expect([status, body['state'], world.switches.size]).toEqual([200, 'lifted', 0]);
  });

  it('of a global one takes an operator, then an approver', async () => {
    await pull('global/all');
    expect((await lift('global/all', TOKENS.approver)).body).toMatchObject({ status: 403, code: 'approval-required' });
    const asked = await lift('global/all', TOKENS.operator);
    expect([asked.status, asked.body['state']]).toEqual([202, 'lift-requested']);
    expect((await lift('global/all', TOKENS.operator)).body).toMatchObject({
      status: 403,
      code: 'approval-required',
      requested_by: 'the-operator',
    });
    const confirmed = await lift('global/all', TOKENS.approver);
    expect([confirmed.status, confirmed.body['state'], world.switches.size]).toEqual([200, 'lifted', 0]);
  });

  it('takes its reason from the query as well, and wants one', async () => {
    await pull('customer/acme');
    expect((await call('DELETE', '/admin/kill-switches/customer/acme', TOKENS.operator)).status).toBe(400);
    expect((await call('DELETE', '/admin/kill-switches/customer/acme?reason=over', TOKENS.operator)).status).toBe(200);
  });

  it('that is not pulled is a 404, also for the second of two at once', async () => {
    await pull('segment/retail');
    const both = await Promise.all([1, 2].map(() => lift('segment/retail', TOKENS.operator)));
    expect(both.map(({ status, body }) => `${status} ${String(body['code'] ?? body['state'])}`).toSorted()).toEqual([
      '200 lifted',
      '404 kill-switch-unknown',
    ]);
  });
});

describe('revoking an agent', () => {
  it('is carried out by its object', async () => {
    world.agents.set('billing-7', { sessions: [{ issuer: 'fusebox', sid: 's1', untilMs: 1 }], revokedBeforeMs: null });
    const { status, body } = await call('POST', '/admin/agents/billing-7/revoke', TOKENS.operator, { reason: 'rogue' });
    expect([status, body]).toEqual([
      200,
      {
        agent: 'billing-7',
        revoked_before: new Date(world.nowMs).toISOString(),
        sessions: 1,
        pending: 0,
        listed: true,
      },
    ]);
  });

  it.each(['a%2Fb', 'a%20b', '%00', '~'])('refuses the id %s', async (id) => {
    const { status } = await call('POST', `/admin/agents/${id}/revoke`, TOKENS.operator, { reason: 'rogue' });
    expect([400, 404]).toContain(status);
    expect(world.calls).toEqual([]);
  });
});
