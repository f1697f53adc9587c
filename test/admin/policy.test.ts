import { beforeEach, describe, expect, it } from 'vitest';
import { MAX_POLICY_BYTES } from '../../src/limits.ts';
import { digestOf } from '../../src/policy/digest.ts';
import { type AdminWorld, adminWorld, TOKENS } from '../support/admin.ts';
import { NOW_MS } from '../support/credentials.ts';

const routeOf = (name: string): string =>
  `version: 1\nroutes: { ${name}: { upstream: "https://${name}.example.com", protocol: openai, scope: a } }\n`;
const FILE = routeOf('old');
const NEW = routeOf('new');
let world: AdminWorld;

beforeEach(async () => {
  world = await adminWorld({}, FILE);
});

interface Answer {
  readonly status: number;
  readonly body: Readonly<Record<string, unknown>>;
}

async function answerOf(response: Response): Promise<Answer> {
  return { status: response.status, body: await response.json<Record<string, unknown>>() };
}

async function put(body: unknown, query = ''): Promise<Answer> {
  return answerOf(await world.call('PUT', `/admin/policy${query}`, { token: TOKENS.operator, body }));
}

async function get(path: string): Promise<Answer> {
  return answerOf(await world.call('GET', path));
}

describe('GET /admin/policy', () => {
  it('shows the deployed file until something else is in force', async () => {
    expect(await get('/admin/policy')).toEqual({
      status: 200,
      body: {
        digest: digestOf(FILE),
        in_force: true,
        yaml: FILE,
        current: { digest: digestOf(FILE), source: 'deployed', since: null, by: null, reason: null },
        deployed: digestOf(FILE),
        drift: false,
      },
    });
  });

  it('shows a version that is kept, and what is in force beside it', async () => {
    await put({ yaml: NEW, reason: 'a test' });
    expect(await get(`/admin/policy?digest=${digestOf(FILE)}`)).toMatchObject({
      status: 200,
      body: { yaml: FILE, in_force: false, current: { digest: digestOf(NEW) }, drift: true },
    });
  });

  it.each([
    ['does not know a version that is not kept', digestOf('nothing'), 404],
    ['refuses what is no digest', 'nothing', 400],
  ])('%s', async (_what, digest, status) => {
    expect((await get(`/admin/policy?digest=${digest}`)).status).toBe(status);
  });
});

describe('PUT /admin/policy', () => {
  it('puts a text in force, with who and why', async () => {
    const current = {
      digest: digestOf(NEW),
      source: 'run-time',
      since: new Date(NOW_MS).toISOString(),
      by: 'the-operator',
      reason: 'a test',
    };
    const expected = {
      digest: digestOf(NEW),
      in_force: true,
      yaml: NEW,
      current,
      deployed: digestOf(FILE),
      drift: true,
    };
    expect(await put({ yaml: NEW, reason: 'a test' })).toEqual({ status: 200, body: expected });
    expect(await get('/admin/policy')).toEqual({ status: 200, body: expected });
  });

  it('goes back to a version that is kept, and to the deployed file', async () => {
    await put({ yaml: NEW, reason: 'first' });
    await put({ yaml: routeOf('newer'), reason: 'second' });
    expect(await put({ digest: digestOf(NEW), reason: 'back' })).toMatchObject({
      status: 200,
      body: { yaml: NEW, current: { source: 'run-time', reason: 'back' } },
    });
    expect(await put({ deployed: true, reason: 'as deployed' })).toMatchObject({
      status: 200,
      body: { yaml: FILE, current: { source: 'deployed', by: 'the-operator', reason: 'as deployed' }, drift: false },
    });
    expect((await get('/admin/policy/versions')).body['versions']).toMatchObject([
      { event: 'let-go', digest: digestOf(FILE), by: 'the-operator', reason: 'as deployed' },
      { event: 'run-time', digest: digestOf(NEW), reason: 'back' },
      { event: 'run-time', digest: digestOf(routeOf('newer')), reason: 'second' },
      { event: 'run-time', digest: digestOf(NEW), reason: 'first' },
    ]);
  });

  it('only validates with dry_run=true, and needs no reason for it', async () => {
    expect(await put({ yaml: NEW }, '?dry_run=true')).toEqual({
      status: 200,
      body: { dry_run: true, digest: digestOf(NEW) },
    });
    expect((await put({ yaml: 'version: 3' }, '?dry_run=true')).status).toBe(400);
    expect((await put({ digest: digestOf('nothing') }, '?dry_run=true')).status).toBe(404);
    expect(world.policies.history).toEqual([]);
  });

  it('says where a text is wrong, and moves nothing', async () => {
    const { status, body } = await put({
      yaml: NEW.replace('scope: a', 'scope: a, timeout_second: 5'),
      reason: 'a test',
    });
    expect(status).toBe(400);
    expect(body).toMatchObject({ code: 'bad-request', line: 2, path: 'routes.new.timeout_second', errors: 1 });
    expect(body['detail']).toMatch(
      /yaml:2:\d+ routes\.new\.timeout_second: is not known; did you mean "timeout_seconds"\?/,
    );
    expect(world.policies.history).toEqual([]);
  });

  it.each([
    ['nothing', { reason: 'a' }, 400],
    ['two things', { yaml: NEW, deployed: true, reason: 'a' }, 400],
    ['deployed: false', { deployed: false, reason: 'a' }, 400],
    ['no reason', { yaml: NEW }, 400],
    ['an unknown version', { digest: digestOf('nothing'), reason: 'a' }, 404],
    [
      'an admin section of its own',
      {
        yaml: `${NEW}admin: { access: { team: evil, audience: ${'a'.repeat(64)}, roles: [{ group: x, roles: [approver] }] } }\n`,
        reason: 'a',
      },
      400,
    ],
    [
      'an upstream on the own machine',
      { yaml: NEW.replace('https://new.example.com', 'http://127.0.0.1:1'), reason: 'a' },
      400,
    ],
    ['too long a text', { yaml: `${NEW}${'#'.repeat(MAX_POLICY_BYTES)}`, reason: 'a' }, 400],
  ])('refuses %s, and moves nothing', async (_what, body, status) => {
    expect((await put(body)).status).toBe(status);
    expect(world.policies.history).toEqual([]);
  });

  it('takes a text that is larger than other bodies may be', async () => {
    const large = `${NEW}${'# comment\n'.repeat(10_000)}`;
    expect((await put({ yaml: large, reason: 'a test' })).status).toBe(200);
  });

  it.each(['policyState', 'setPolicy'])('answers 503 when the control object cannot be asked (%s)', async (method) => {
    world.broken.add(`control.${method}`);
    const { status } = method === 'policyState' ? await get('/admin/policy') : await put({ yaml: NEW, reason: 'a' });
    expect(status).toBe(503);
  });
});
