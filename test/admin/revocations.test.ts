import { beforeEach, describe, expect, it } from 'vitest';
import { MAX_IMPORT_BYTES, MAX_IMPORT_LINES } from '../../src/limits.ts';
import { type AdminWorld, adminWorld, TOKENS } from '../support/admin.ts';

const PATH = '/admin/revocations?reason=leaked';
const UNTIL = '2027-01-31T12:00:00Z';
let world: AdminWorld;

beforeEach(async () => {
  world = await adminWorld();
});

const line = (session: string, more: object = {}): string => JSON.stringify({ session, expires_at: UNTIL, ...more });

function post(body: string, { path = PATH, type = 'application/x-ndjson', ...headers }: Record<string, string> = {}) {
  return world.call('POST', path, {
    token: TOKENS.operator,
    body,
    headers: { 'content-type': type, ...headers },
  });
}

async function outcome(response: Response): Promise<{ code: string; detail: string }> {
  const { code, detail } = await response.json<{ code: string; detail: string }>();
  return { code: `${response.status} ${code}`, detail };
}

describe('POST /admin/revocations', () => {
  it('puts every line on the list, with its issuer and its end, in the name of who asked', async () => {
    const response = await post(`${line('s-1')}\n\n${line('elsewhere~s-2')}\r\n`);
    expect([response.status, await response.json()]).toEqual([200, { listed: 2, epoch: 1 }]);
    const act = { by: 'the-operator', reason: 'leaked' };
    const untilMs = Date.parse(UNTIL);
    expect(world.revocations).toMatchObject([
      { issuer: 'fusebox', sid: 's-1', untilMs, act },
      { issuer: 'elsewhere', sid: 's-2', untilMs, act },
    ]);
  });

  it('takes as many lines as are allowed, and none of one more', async () => {
    const lines = Array.from({ length: MAX_IMPORT_LINES }, (_, index) => line(`s-${index}`));
    expect((await post(lines.join('\n'))).status).toBe(200);
    world.revocations.length = 0;
    expect((await outcome(await post([...lines, line('more')].join('\n')))).code).toBe('413 body-too-large');
    expect(world.revocations).toEqual([]);
  });

  it.each<[string, string, string, RegExp]>([
    ['no line', '\n', '400 bad-request', /no line/],
    ['what is not JSON', `${line('a')}\n{`, '400 bad-request', /Line 2/],
    ['an unknown member', line('a', { more: 1 }), '400 bad-request', /Line 1: more/],
    ['no end', '{"session":"a"}', '400 bad-request', /expires_at is missing/],
    ['an end that is no time', line('a', { expires_at: 'tomorrow' }), '400 bad-request', /RFC 3339/],
    ['an end in the past', line('a', { expires_at: '2001-01-01T00:00:00Z' }), '400 bad-request', /"a" is in the past/],
    ['an end that never comes', line('a', { expires_at: '9999-01-01T00:00:00Z' }), '400 bad-request', /400 days/],
    ['a session that is no id', line('a b'), '400 bad-request', /"a b" is not the id/],
    ['a session of two issuers', line('a~b~c'), '400 bad-request', /not the id/],
    ['too many bytes', 'x'.repeat(MAX_IMPORT_BYTES + 1), '413 body-too-large', /bytes/],
  ])('refuses %s, and lists nothing of the others', async (_what, body, code, detail) => {
    const refusal = await outcome(await post(body));
    expect(refusal.code).toBe(code);
    expect(refusal.detail).toMatch(detail);
    expect(world.calls).not.toContain('control.revokeMany');
  });

  it('refuses a body that is compressed, or of another type', async () => {
    const wrong: Record<string, string>[] = [{ 'content-encoding': 'gzip' }, { type: 'application/json' }];
    for (const headers of wrong) expect((await outcome(await post(line('a'), headers))).code).toMatch(/^415/);
  });

  it.each(['', '?reason=', `?reason=${'x'.repeat(501)}`, '?reason=a&reason=b'])(
    'needs a reason: %j is none',
    async (query) => {
      expect((await outcome(await post(line('a'), { path: `/admin/revocations${query}` }))).code).toBe(
        '400 bad-request',
      );
    },
  );

  it('says when the list is full', async () => {
    world.full = true;
    expect((await outcome(await post(line('a')))).code).toBe('409 revocations-full');
  });
});
