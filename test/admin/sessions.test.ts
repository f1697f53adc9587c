import { beforeEach, describe, expect, it } from 'vitest';
import { ledgerAnswer, ledgerEntryAnswer, listAnswer, sessionAnswer } from '../../src/admin/schemas.ts';
import { microUsd } from '../../src/money.ts';
import type { LedgerEntry } from '../../src/rpc/session-rpc.ts';
import { type AdminWorld, adminWorld, TOKENS } from '../support/admin.ts';
import { NOW_MS } from '../support/credentials.ts';

interface Issued {
  readonly session: { readonly id: string; readonly expires_at: string } & Record<string, unknown>;
  readonly token: string;
  readonly expires_at: string;
}

const REQUEST = {
  agent: 'billing-1',
  scopes: ['llm:openai', 'ticket:*'],
  limits: { spend_usd: '10.00', tokens: 200_000 },
  ttl_seconds: 900,
};
let world: AdminWorld;

beforeEach(async () => {
  world = await adminWorld();
});

async function issue(more: Readonly<Record<string, unknown>> = {}): Promise<Issued> {
  const response = await world.call('POST', '/admin/sessions', { token: TOKENS.issuer, body: { ...REQUEST, ...more } });
  expect(response.status).toBe(201);
  return response.json();
}

/** NDJSON as text: the runtime warns where the type of a body does not say that it is one. */
async function textOf(response: Response): Promise<string> {
  return new TextDecoder().decode(await response.arrayBuffer());
}

async function refusal(response: Promise<Response>): Promise<string> {
  const answered = await response;
  const body = await answered.json<{ code: string; detail: string }>();
  return `${answered.status} ${body.code}: ${body.detail}`;
}

function entry(id: string, costMicroUsd: number): LedgerEntry {
  return {
    id,
    atMs: NOW_MS,
    route: 'openai',
    protocol: 'openai',
    model: 'gpt-5',
    action: 'chat.completions',
    state: 'settled',
    holdMicroUsd: microUsd(9_000),
    holdTokens: 50,
    costMicroUsd: microUsd(costMicroUsd),
    costTokens: 30,
    usage: { inputTokens: 10, outputTokens: 20, cacheReadTokens: 1, cacheWriteTokens: 2, reasoningTokens: 3 },
    estimated: false,
    reason: 'completed',
  };
}

async function withEntries(count: number): Promise<string> {
  const { session } = await issue();
  const object = world.objects.get(`fusebox~${session.id}`);
  for (let index = 0; index < count; index += 1) object?.entries.push(entry(`e${index}`, index));
  return `/admin/sessions/${session.id}/ledger`;
}

describe('POST /admin/sessions', () => {
  it('issues a session and a credential that is accepted', async () => {
    const { session, token, expires_at } = await issue({ customer: 'acme', segment: ['beta', 'eu'] });
    expect(sessionAnswer.parse(session)).toMatchObject({
      agent: 'billing-1',
      customer: 'acme',
      segment: ['beta', 'eu'],
      status: 'active',
      limits: { spend_usd: '10.000000', tokens: 200_000, tokens_per_request: null, requests_per_minute: 60 },
      spend: { settled_usd: '0.000000', held_usd: '0.000000', available_usd: '10.000000' },
    });
    expect(expires_at).toBe(new Date(NOW_MS + 900_000).toISOString());
    expect(session.expires_at).toBe(expires_at);
    expect(await world.config.verifierFor(world.config.policy).verify(token, NOW_MS)).toMatchObject({
      ok: true,
      value: {
        sid: session.id,
        agent: 'billing-1',
        segments: ['beta', 'eu'],
        limits: { spendMicroUsd: 10_000_000, requestsPerMinute: 60 },
      },
    });
  });

  it('takes the body of a client that does not say that it is JSON', async () => {
    const options = { token: TOKENS.issuer, body: REQUEST, headers: { 'content-type': 'text/plain;charset=UTF-8' } };
    expect((await world.call('POST', '/admin/sessions', options)).status).toBe(201);
  });

  it('writes the object first, then the index', async () => {
    await issue();
    expect(world.calls).toEqual(['session.create', 'control.record', 'agent.track']);
    expect(world.objects.get(`fusebox~${world.index[0]?.sid}`)?.acts).toEqual([
      { by: 'the-issuer', owner: 'issuer', reason: 'issued' },
    ]);
  });

  it.each(['session.create', 'control.record', 'agent.track'])(
    'hands out no credential when %s fails',
    async (port) => {
      world.broken.add(port);
      expect(await refusal(world.call('POST', '/admin/sessions', { token: TOKENS.issuer, body: REQUEST }))).toContain(
        '503 enforcement-unavailable',
      );
    },
  );

  it('takes what is not said from the policy, and money as a number too', async () => {
    const { session } = await issue({ limits: { spend_usd: 0.1 }, ttl_seconds: undefined, scopes: [] });
    expect(session).toMatchObject({
      limits: { spend_usd: '0.100000', requests_per_minute: 60 },
      expires_at: new Date(NOW_MS + 600_000).toISOString(),
    });
    expect((await issue({ limits: undefined })).session).toMatchObject({ limits: { spend_usd: '2.500000' } });
    expect((await issue({ customer: null, segment: null })).session).toMatchObject({ customer: null, segment: null });
    expect((await issue({ segment: 'eu' })).session).toMatchObject({ segment: 'eu' });
  });

  it.each([
    ['no agent', { agent: undefined }, 'agent is missing'],
    ['an agent that is no id', { agent: 'a b' }, 'agent is not an id'],
    ['no scopes', { scopes: undefined }, 'scopes is missing'],
    ['a scope of everything', { scopes: ['*'] }, 'scopes[0] is not a scope'],
    [
      'too many scopes',
      { scopes: Array.from({ length: 65 }, (_, index) => `s${index}`) },
      'scopes has more than 64 members',
    ],
    [
      'scopes beyond what a header holds',
      { scopes: Array.from({ length: 64 }, (_, index) => `${'s'.repeat(100)}${index}`) },
      'scopes and segment together',
    ],
    ['an unknown limit', { limits: { spend: 1 } }, 'limits.spend is not known'],
    [
      'an unknown key, with the one that was meant',
      { ttl_second: 5 },
      'ttl_second is not known; did you mean "ttl_seconds"?',
    ],
    ['negative money', { limits: { spend_usd: '-1' } }, 'limits.spend_usd is not an amount'],
    ['too fine money', { limits: { spend_usd: '0.0000001' } }, 'limits.spend_usd is not an amount'],
    ['money beyond the ledger', { limits: { spend_usd: '999999999.99' } }, 'limits.spend_usd is not an amount'],
    [
      'fewer than no requests',
      { limits: { requests_per_minute: -1 } },
      'limits.requests_per_minute is not a whole number',
    ],
    ['tokens that are a text', { limits: { tokens: '5' } }, 'limits.tokens is not a whole number'],
    ['too long a life', { ttl_seconds: 3_601 }, "ttl_seconds is more than the policy's longest session, 3600 s"],
    ['no life', { ttl_seconds: 0 }, 'ttl_seconds is not a whole number'],
    ['a key of a later version', { public_key: {} }, 'public_key is not supported by this version'],
    ['a certificate request', { csr: 'x' }, 'csr is not supported by this version'],
    ['an empty list of segments', { segment: [] }, 'segment'],
  ])('refuses %s, naming the key', async (_name, more, message) => {
    const said = await refusal(
      world.call('POST', '/admin/sessions', { token: TOKENS.issuer, body: { ...REQUEST, ...more } }),
    );
    expect(said).toContain('400 bad-request');
    expect(said).toContain(message);
    expect(world.calls).toEqual([]);
  });

  it('refuses a session without what the policy requires of every credential', async () => {
    const strict = await adminWorld(
      {},
      `version: 1\nsessions: { required_claims: [customer] }\nroutes: { r: { upstream: "https://a.example.com", protocol: openai, scope: a } }\n`,
    );
    expect(await refusal(strict.call('POST', '/admin/sessions', { token: TOKENS.issuer, body: REQUEST }))).toContain(
      'customer is missing',
    );
  });
});

describe('POST /admin/sessions/{id}/credentials', () => {
  it('moves the end of the session, in its object first', async () => {
    const { session } = await issue();
    world.calls.length = 0;
    world.nowMs += 300_000;
    const response = await world.call('POST', `/admin/sessions/${session.id}/credentials`, {
      token: TOKENS.issuer,
      body: { ttl_seconds: 1_800 },
    });
    const issued = await response.json<Issued>();
    expect(world.calls).toEqual(['session.describe', 'session.renew', 'control.record', 'agent.track']);
    expect(issued.expires_at).toBe(new Date(NOW_MS + 2_100_000).toISOString());
    expect(issued.session.expires_at).toBe(issued.expires_at);
    expect(await world.config.verifierFor(world.config.policy).verify(issued.token, world.nowMs)).toMatchObject({
      ok: true,
      value: { sid: session.id },
    });
  });

  it('does not shorten the session by a credential that ends sooner', async () => {
    const { session } = await issue();
    const response = await world.call('POST', `/admin/sessions/${session.id}/credentials`, {
      token: TOKENS.issuer,
      body: { ttl_seconds: 60 },
    });
    const issued = await response.json<Issued>();
    expect(issued.expires_at).toBe(new Date(NOW_MS + 60_000).toISOString());
    expect(issued.session.expires_at).toBe(session.expires_at);
    expect(world.calls).toContain('session.renew');
  });

  it('carries the limits in force, not those of the first credential', async () => {
    const { session } = await issue();
    await world.call('PATCH', `/admin/sessions/${session.id}`, {
      token: TOKENS.operator,
      body: { limits: { spend_usd: '3' }, reason: 'less' },
    });
    const response = await world.call('POST', `/admin/sessions/${session.id}/credentials`, { token: TOKENS.issuer });
    const issued = await response.json<Issued>();
    expect(await world.config.verifierFor(world.config.policy).verify(issued.token, NOW_MS)).toMatchObject({
      ok: true,
      value: { limits: { spendMicroUsd: 3_000_000 } },
    });
  });

  it('refuses a session that has ended, and one of another issuer', async () => {
    const { session } = await issue();
    await world.call('POST', `/admin/sessions/${session.id}/revoke`, {
      token: TOKENS.operator,
      body: { reason: 'over' },
    });
    expect(
      await refusal(world.call('POST', `/admin/sessions/${session.id}/credentials`, { token: TOKENS.issuer })),
    ).toContain('409 session-ended');
    expect(await refusal(world.call('POST', '/admin/sessions/acme~1/credentials', { token: TOKENS.issuer }))).toContain(
      '403 policy-denied',
    );
  });
});

describe('GET /admin/sessions', () => {
  it('lists in pages, by agent and status', async () => {
    for (let index = 0; index < 27; index += 1) await issue({ agent: index % 2 === 0 ? 'even' : 'odd' });
    const first = listAnswer.parse(await (await world.call('GET', '/admin/sessions')).json());
    expect(first.sessions).toHaveLength(25);
    const second = listAnswer.parse(
      await (await world.call('GET', `/admin/sessions?cursor=${first.next_cursor}`)).json(),
    );
    expect([second.sessions.length, second.next_cursor]).toEqual([2, null]);
    const odd = listAnswer.parse(await (await world.call('GET', '/admin/sessions?agent=odd')).json());
    expect(new Set(odd.sessions.map((session) => session.agent))).toEqual(new Set(['odd']));
  });

  it('shows what the objects say where the index lags behind', async () => {
    const { session } = await issue();
    await world.call('POST', `/admin/sessions/${session.id}/revoke`, {
      token: TOKENS.operator,
      body: { reason: 'over' },
    });
    const active = listAnswer.parse(await (await world.call('GET', '/admin/sessions?status=active')).json());
    expect(active.sessions).toEqual([]);
  });

  it('names the sessions that cannot be asked, and shows the others', async () => {
    const [one, two] = [await issue(), await issue()];
    world.broken.add(`fusebox~${one.session.id}`);
    const page = listAnswer.parse(await (await world.call('GET', '/admin/sessions')).json());
    expect([page.sessions.map((session) => session.id), page.unreachable]).toEqual([
      [two.session.id],
      [one.session.id],
    ]);
  });

  it.each(['status=dead', 'agent=a%20b', 'cursor=', 'cursor=zzz', 'agent=a&agent=b', 'limit=5'])(
    'refuses ?%s',
    async (query) => {
      expect(await refusal(world.call('GET', `/admin/sessions?${query}`))).toContain('400 bad-request');
    },
  );
});

describe('GET and PATCH /admin/sessions/{id}', () => {
  it('shows the session by its id, with and without the issuer', async () => {
    const { session } = await issue();
    for (const id of [session.id, `fusebox~${session.id}`]) {
      expect(await (await world.call('GET', `/admin/sessions/${id}`)).json()).toEqual(session);
    }
    expect(await refusal(world.call('GET', `/admin/sessions/acme~${session.id}`))).toContain('404 session-unknown');
  });

  it('never shows less than nothing as available', async () => {
    const { session } = await issue();
    const object = world.objects.get(`fusebox~${session.id}`);
    if (object === undefined) throw new Error('no object');
    object.view = {
      ...object.view,
      spend: { ...object.view.spend, availableMicroUsd: microUsd(-5) },
      tokens: { ...object.view.tokens, available: -5 },
    };
    const shown = sessionAnswer.parse(await (await world.call('GET', `/admin/sessions/${session.id}`)).json());
    expect([shown.spend.available_usd, shown.tokens.available]).toEqual(['0.000000', 0]);
  });

  it('may lower every limit to nothing', async () => {
    const { session } = await issue();
    const body = { limits: { spend_usd: 0, tokens: 0, tokens_per_request: 0, requests_per_minute: 0 }, reason: 'stop' };
    const response = await world.call('PATCH', `/admin/sessions/${session.id}`, { token: TOKENS.operator, body });
    expect(sessionAnswer.parse(await response.json()).limits).toEqual({
      spend_usd: '0.000000',
      tokens: 0,
      tokens_per_request: 0,
      requests_per_minute: 0,
    });
  });

  it('changes what is named, and takes a limit away for null', async () => {
    const { session } = await issue();
    const body = { limits: { spend_usd: '0.5', tokens: null, tokens_per_request: 9 }, reason: 'cheaper' };
    const changed = sessionAnswer.parse(
      await (await world.call('PATCH', `/admin/sessions/${session.id}`, { token: TOKENS.operator, body })).json(),
    );
    expect(changed.limits).toEqual({
      spend_usd: '0.500000',
      tokens: null,
      tokens_per_request: 9,
      requests_per_minute: 60,
    });
    expect(world.objects.get(`fusebox~${session.id}`)?.acts.at(-1)).toEqual({
      by: 'the-operator',
      owner: 'operator',
      reason: 'cheaper',
    });
  });

  it.each([
    [{ limits: { spend_usd: '1' } }, 'reason is missing'],
    [{ reason: 'a' }, 'limits is missing'],
    [{ limits: {}, reason: 'a' }, 'limits names no limit to change'],
    [{ limits: { spend_usd: null }, reason: 'a' }, 'limits.spend_usd is not an amount'],
    [{ limits: { scopes: [] }, reason: 'a' }, 'limits.scopes is not known'],
  ])('refuses %j', async (body, message) => {
    const { session } = await issue();
    expect(
      await refusal(world.call('PATCH', `/admin/sessions/${session.id}`, { token: TOKENS.operator, body })),
    ).toContain(message);
  });
});

describe('POST /admin/sessions/{id}/revoke and reset', () => {
  it('revokes in the object first, then on the list, until the credential has ended', async () => {
    const { session } = await issue();
    world.calls.length = 0;
    const response = await world.call('POST', `/admin/sessions/${session.id}/revoke`, {
      token: TOKENS.operator,
      body: { reason: 'runaway' },
    });
    expect(sessionAnswer.parse(await response.json())).toMatchObject({
      status: 'revoked',
      revocation: { reason: 'runaway', by: 'the-operator' },
    });
    expect(world.calls).toEqual(['session.revoke', 'control.revoke']);
    expect(world.revocations).toEqual([
      {
        issuer: 'fusebox',
        sid: session.id,
        untilMs: NOW_MS + 905_000,
        act: { by: 'the-operator', owner: 'operator', reason: 'runaway' },
      },
    ]);
  });

  it('says that the session already refuses when only the list could not be told', async () => {
    const { session } = await issue();
    world.broken.add('control.revoke');
    const said = await refusal(
      world.call('POST', `/admin/sessions/${session.id}/revoke`, {
        token: TOKENS.operator,
        body: { reason: 'runaway' },
      }),
    );
    expect(said).toContain('503 enforcement-unavailable: The session is revoked and refuses');
    expect(world.objects.get(`fusebox~${session.id}`)?.view.status).toBe('revoked');
  });

  it('needs a reason', async () => {
    const { session } = await issue();
    for (const act of ['revoke', 'reset']) {
      expect(
        await refusal(world.call('POST', `/admin/sessions/${session.id}/${act}`, { token: TOKENS.operator })),
      ).toContain('reason is missing');
    }
    const response = await world.call('POST', `/admin/sessions/${session.id}/reset`, {
      token: TOKENS.operator,
      body: { reason: 'looked at' },
    });
    expect(response.status).toBe(200);
  });
});

describe('GET /admin/sessions/{id}/ledger', () => {
  it('shows pages of entries, oldest first', async () => {
    const path = await withEntries(5);
    const first = ledgerAnswer.parse(await (await world.call('GET', `${path}?limit=3`)).json());
    expect(first.entries[0]).toEqual({
      id: 'e0',
      at: '2026-11-20T12:00:00.000Z',
      route: 'openai',
      protocol: 'openai',
      model: 'gpt-5',
      action: 'chat.completions',
      state: 'settled',
      hold_usd: '0.009000',
      hold_tokens: 50,
      cost_usd: '0.000000',
      cost_tokens: 30,
      usage: { input_tokens: 10, output_tokens: 20, cache_read_tokens: 1, cache_write_tokens: 2, reasoning_tokens: 3 },
      estimated: false,
      reason: 'completed',
    });
    const second = ledgerAnswer.parse(
      await (await world.call('GET', `${path}?limit=3&cursor=${first.next_cursor}`)).json(),
    );
    expect([...first.entries, ...second.entries].map((line) => line.id)).toEqual(['e0', 'e1', 'e2', 'e3', 'e4']);
    expect(second.next_cursor).toBeNull();
  });

  it('streams all pages as NDJSON', async () => {
    const path = await withEntries(2_500);
    const response = await world.call('GET', path, { headers: { accept: 'application/x-ndjson' } });
    expect(response.headers.get('content-type')).toBe('application/x-ndjson');
    const lines = (await textOf(response))
      .trimEnd()
      .split('\n')
      .map((line) => ledgerEntryAnswer.parse(JSON.parse(line)));
    expect(lines.map((line) => line.id)).toEqual(Array.from({ length: 2_500 }, (_, index) => `e${index}`));
  });

  it('is empty for a session without entries', async () => {
    const path = await withEntries(0);
    expect(await (await world.call('GET', path)).json()).toEqual({ entries: [], next_cursor: null });
    expect(await textOf(await world.call('GET', path, { headers: { accept: 'application/x-ndjson' } }))).toBe('');
  });

  it('breaks off rather than look complete when a page fails', async () => {
    const path = await withEntries(2_500);
    const response = await world.call('GET', path, { headers: { accept: 'application/x-ndjson' } });
    world.broken.add('session.ledger');
    await expect(textOf(response)).rejects.toThrow();
  });

  it('of an archive that was changed is a problem of its own, and says where', async () => {
    const path = await withEntries(1);
    const detail = 'The entry "a" has costMicroUsd 4; row 2 tells of cost_micro_usd 5.';
    world.damage = { firstBad: { line: 7, seq: null, problem: 'ledger-changed', detail } };
    for (const accept of ['application/json', 'application/x-ndjson']) {
      const said = await refusal(world.call('GET', path, { headers: { accept } }));
      expect(said).toMatch(/^409 archive-changed: /);
      expect(said).toContain(`Line 7 of it: ledger-changed. ${detail}`);
      expect(said).toContain('/audit/verify names');
    }
    const verdict = await world.call('GET', path.replace(/ledger$/, 'audit/verify'));
    expect(await verdict.json()).toMatchObject({ valid: false, first_bad: world.damage.firstBad });
    world.damage = { firstBad: null };
    const log = await refusal(world.call('GET', path.replace(/ledger$/, 'audit')));
    expect(log).toMatch(/^409 archive-changed: The archive of this session is not what was put away\. GET /);
  });

  it.each(['limit=0', 'limit=1001', 'limit=x', 'limit=1e2'])('refuses ?%s', async (query) => {
    expect(await refusal(world.call('GET', `${await withEntries(1)}?${query}`))).toContain('400 bad-request');
  });
});
