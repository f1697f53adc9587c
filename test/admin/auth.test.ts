import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { AccessKeyAnswer } from '../../src/credential/access-assertion.ts';
import { type AccessKeyPair, accessKey, assertion, AUDIENCE, personClaims, serviceClaims } from '../support/access.ts';
import { type AdminWorld, adminWorld, TOKENS } from '../support/admin.ts';
import { NOW_MS, NOW_SECONDS } from '../support/credentials.ts';

const POLICY = `version: 1
routes: { free: { upstream: "https://free.example.com", protocol: http, scope: free, fees: [{ usd: 0 }] } }
admin:
  access:
    team: acme
    audience: ${AUDIENCE}
    roles:
      - { email: Alice@acme.example, roles: [viewer] }
      - { group: ops, roles: [operator] }
      - { service_token: ci.access, roles: [issuer, viewer] }
`;
const ISSUE = { agent: 'bot', scopes: ['free'], reason: 'a test' };
let key: AccessKeyPair;
let world: AdminWorld;

beforeAll(async () => {
  key = await accessKey('k1');
});

beforeEach(async () => {
  world = await adminWorld({}, POLICY);
  world.accessKeyOf = async (kid): Promise<AccessKeyAnswer> =>
    kid === key.kid ? { state: 'known', key: key.publicKey } : { state: 'unknown' };
});

async function statusOf(of: AdminWorld, token: string): Promise<number> {
  return (await of.call('GET', '/admin/sessions', { token })).status;
}

/** What tells of one use of the token in GLASS. */
function used(method: string, path: string, request: string): Readonly<Record<string, unknown>> {
  return { event: 'break-glass.used', alert: true, by: 'glass', owner: 'ann', method, path, request };
}

function digestOf(token: string): Promise<string> {
  return crypto.subtle
    .digest('SHA-256', new TextEncoder().encode(token))
    .then((digest) => Buffer.from(digest).toString('hex'));
}

async function worldWith(...entries: readonly Readonly<Record<string, unknown>>[]): Promise<AdminWorld> {
  const admins = await Promise.all(
    entries.map(async ({ token, ...entry }) => Object.assign(entry, { sha256: await digestOf(String(token)) })),
  );
  return adminWorld({ ADMIN_TOKENS: JSON.stringify(admins) });
}

async function outcome(response: Response): Promise<string> {
  const body = await response.json<{ code?: string }>();
  return `${response.status} ${body.code ?? ''}`.trim();
}

async function withAssertion(text: string, more: Readonly<Record<string, string>> = {}, token: string | null = null) {
  return world.call('GET', '/admin/sessions', { token, headers: { 'cf-access-jwt-assertion': text, ...more } });
}

describe('Cloudflare Access at the control plane', () => {
  it.each([
    ['a person by address', () => personClaims(), '200'],
    [
      'a person by group, whose role does not read',
      () => personClaims({ email: 'c@d.example', groups: ['ops'] }),
      '403 scope-denied',
    ],
    ['a service token', () => serviceClaims(), '200'],
    ['a person without a row', () => personClaims({ email: 'mallory@acme.example' }), '403 policy-denied'],
    ['another application', () => personClaims({ aud: ['other'] }), '401 credential-invalid'],
    ['an end in the past', () => personClaims({ exp: NOW_SECONDS - 60 }), '401 credential-expired'],
  ])('answers %s', async (_who, claims, expected) => {
    expect(await outcome(await withAssertion(await assertion(key, claims())))).toBe(expected);
  });

  it('names the person in the record', async () => {
    const text = await assertion(key, serviceClaims());
    const headers = { 'cf-access-jwt-assertion': text };
    const response = await world.call('POST', '/admin/sessions', { token: null, body: ISSUE, headers });
    expect(response.status).toBe(201);
    expect([...world.objects.values()][0]?.acts).toEqual([
      { by: 'access-service:ci.access', owner: 'ci.access', reason: 'a test' },
    ]);
  });

  it('counts for nothing beside a token, which decides alone', async () => {
    const operator = await assertion(key, personClaims({ groups: ['ops'] }));
    expect((await withAssertion(operator, {}, TOKENS.viewer)).status).toBe(200);
    expect(await outcome(await withAssertion(operator, {}, TOKENS.issuer))).toBe('403 scope-denied');
    expect(await outcome(await withAssertion(await assertion(key), {}, 'wrong'))).toBe('401 credential-invalid');
    expect((await withAssertion('nonsense', {}, TOKENS.viewer)).status).toBe(200);
  });

  it('is no credential where the policy names no team', async () => {
    world = await adminWorld();
    expect(await outcome(await withAssertion(await assertion(key)))).toBe('401 credential-missing');
  });

  it('cannot be asked while its keys are out of reach; tokens work', async () => {
    world.accessKeyOf = async () => ({ state: 'unavailable' });
    const text = await assertion(key);
    expect(await outcome(await withAssertion(text))).toBe('503 enforcement-unavailable');
    expect((await withAssertion(text, {}, TOKENS.viewer)).status).toBe(200);
  });

  it('counts failures per address like tokens, and lets the right one in even then', async () => {
    const from = { 'cf-connecting-ip': '192.0.2.1' };
    for (let attempt = 0; attempt < 60; attempt += 1) {
      expect((await withAssertion('nonsense', from)).status).toBe(401);
      expect((await withAssertion('nonsense', from, 'wrong')).status).toBe(401);
    }
    expect(await outcome(await withAssertion('nonsense', from))).toBe('429 velocity-exceeded');
    expect((await withAssertion(await assertion(key), from)).status).toBe(200);
  });

  it('is not counted as failing while its keys are out of reach', async () => {
    world.accessKeyOf = async () => ({ state: 'unavailable' });
    const text = await assertion(key);
    for (let attempt = 0; attempt < 125; attempt += 1) expect((await withAssertion(text)).status).toBe(503);
  });
});

describe('the tokens of one owner', () => {
  it('are replaced without a moment in which none works', async () => {
    const old = { id: 'ann-1', owner: 'ann', roles: ['viewer'], token: 'old-token' };
    const fresh = { id: 'ann-2', owner: 'Ann', roles: ['viewer'], token: 'new-token' };
    const before = await worldWith(old);
    expect([await statusOf(before, 'old-token'), await statusOf(before, 'new-token')]).toEqual([200, 401]);
    const both = await worldWith(fresh, old);
    expect([await statusOf(both, 'old-token'), await statusOf(both, 'new-token')]).toEqual([200, 200]);
    const after = await worldWith(fresh);
    expect([await statusOf(after, 'old-token'), await statusOf(after, 'new-token')]).toEqual([401, 200]);
  });

  it('are one person in the record, whatever their case', async () => {
    const roles = ['issuer'];
    const both = await worldWith(
      { id: 'ann-1', owner: 'ann@acme.example', roles, token: 'old-token' },
      { id: 'ann-2', owner: ' Ann@Acme.example', roles, token: 'new-token' },
    );
    for (const token of ['old-token', 'new-token']) await both.call('POST', '/admin/sessions', { token, body: ISSUE });
    expect([...both.objects.values()].flatMap(({ acts }) => acts.map(({ owner }) => owner))).toEqual([
      'ann@acme.example',
      'ann@acme.example',
    ]);
  });

  it('end when they say', async () => {
    const expires = await worldWith({
      id: 'ann-1',
      owner: 'ann',
      roles: ['viewer'],
      token: 'old-token',
      expires_at: new Date(NOW_MS + 1_000).toISOString(),
    });
    expect((await expires.call('GET', '/admin/sessions', { token: 'old-token' })).status).toBe(200);
    expires.nowMs += 1_000;
    expect(await outcome(await expires.call('GET', '/admin/sessions', { token: 'old-token' }))).toBe(
      '401 credential-expired',
    );
    expect(expires.logged).toMatchObject([{ event: 'admin.refused', code: 'credential-expired', id: 'ann-1' }]);
  });
});

describe('a token that breaks the glass', () => {
  const GLASS = { id: 'glass', owner: 'Ann', roles: ['viewer', 'operator'], token: 'glass-token', break_glass: true };

  it('is noted and logged at each use, reads and refusals too', async () => {
    const glass = await worldWith(GLASS);
    const call = (method: string, path: string) => glass.call(method, path, { token: 'glass-token' });
    expect((await call('GET', '/admin/sessions?agent=a')).status).toBe(200);
    expect((await call('POST', '/admin/sessions')).status).toBe(403);
    expect((await call('GET', '/admin/nothing')).status).toBe(404);
    const uses = [
      used('GET', '/admin/sessions', 'id-1'),
      used('POST', '/admin/sessions', 'id-2'),
      used('GET', '/admin/nothing', 'id-3'),
    ];
    expect(glass.notes).toEqual(uses);
    expect(glass.logged.filter(({ event }) => event === 'break-glass.used')).toEqual(uses);
  });

  it('works while the control object cannot be reached; the line on the console remains', async () => {
    const glass = await worldWith(GLASS);
    glass.broken.add('control.note');
    expect((await glass.call('GET', '/admin/sessions', { token: 'glass-token' })).status).toBe(200);
    expect(glass.logged).toMatchObject([
      { event: 'break-glass.used', alert: true },
      { event: 'break-glass.not-noted', request: 'id-1' },
    ]);
  });

  it('is the only one that is noted', async () => {
    await world.call('GET', '/admin/sessions');
    await withAssertion(await assertion(key));
    expect(world.notes).toEqual([]);
  });
});

describe('a refused call', () => {
  it.each([
    ['a wrong token', { token: 'wrong' }, { code: 'credential-invalid', detail: 'not a known admin token' }],
    ['a missing role', { token: TOKENS.issuer }, { code: 'scope-denied', id: 'the-issuer' }],
    ['no credential', { token: null }, { code: 'credential-missing', detail: 'no credential' }],
  ])('is logged with %s, and says more there than outside', async (_what, { token }, expected) => {
    const headers = { 'cf-connecting-ip': '192.0.2.7' };
    const response = await world.call('GET', '/admin/sessions', { token, headers });
    const where = { address: '192.0.2.7', method: 'GET', path: '/admin/sessions' };
    expect(world.logged).toMatchObject([
      { event: 'admin.refused', request: response.headers.get('x-request-id'), ...expected, ...where },
    ]);
    expect(JSON.stringify(world.logged)).not.toContain('wrong');
  });

  it('is logged with the subject that Access names and the policy does not', async () => {
    await withAssertion(await assertion(key, personClaims({ email: 'mallory@acme.example' })));
    expect(world.logged).toMatchObject([{ code: 'policy-denied', id: 'access:mallory@acme.example' }]);
  });
});
