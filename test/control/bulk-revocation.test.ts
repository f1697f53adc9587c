// Sessions of our own that were revoked in bulk: the list refuses them at once, and their objects are told, so that the end
// of their entry is not the end of their revocation.
import { env } from 'cloudflare:workers';
import { reset, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, expect, it } from 'vitest';
import type { ControlObject } from '../../src/control/control-object.ts';
import { UNTOLD_PER_TURN } from '../../src/limits.ts';
import type { SessionObject } from '../../src/session/session-object.ts';
import { ACT, identity, RULES } from '../session/given.ts';

const bindings = env as {
  CONTROL: DurableObjectNamespace<ControlObject>;
  SESSION: DurableObjectNamespace<SessionObject>;
};
const control = () => bindings.CONTROL.getByName('control');
const session = (sid: string, issuer = 'fusebox') => bindings.SESSION.getByName(`${issuer}~${sid}`);
const untilMs = () => Date.now() + 60_000;

afterEach(() => reset());

async function live(sid: string, issuer = 'fusebox'): Promise<void> {
  const expiresAtMs = Date.now() + 3_600_000;
  await session(sid, issuer).create({ session: identity({}, { sid, issuer, expiresAtMs }), rules: RULES, act: ACT });
}

async function statusOf(sid: string): Promise<string> {
  const answer = await session(sid).describe();
  return answer.known ? answer.view.status : 'unknown';
}

const untold = () =>
  runInDurableObject(
    control(),
    (_, { storage }) => storage.sql.exec<{ n: number }>('SELECT count(*) AS n FROM untold').one().n,
  );

it('each is revoked for good in its own object, by the same act', async () => {
  await live('mine');
  const act = { by: 'ann', owner: 'ann@acme.example', reason: 'leaked' };
  await control().revokeMany({
    entries: [{ issuer: 'fusebox', sid: 'mine', untilMs: untilMs() }],
    sha256: '',
    act,
  });
  await runDurableObjectAlarm(control());
  const answer = await session('mine').describe();
  expect(answer.known ? answer.view.revocation : null).toMatchObject(act);
  const renewed = await session('mine').renew({ expiresAtMs: Date.now() + 7_200_000, act: ACT });
  expect(renewed.known ? renewed.view.status : 'unknown').toBe('revoked');
});

it('those that are too many for one turn are told in the next, whoever they are', async () => {
  const sids = Array.from({ length: UNTOLD_PER_TURN + 1 }, (_, index) => `s-${index}`);
  await Promise.all(sids.map((sid) => live(sid)));
  const entries = sids.map((sid) => ({ issuer: 'fusebox', sid, untilMs: untilMs() }));
  await control().revokeMany({ entries, sha256: '', act: ACT });
  await runDurableObjectAlarm(control());
  expect(await untold()).toBe(1);
  await runDurableObjectAlarm(control());
  expect(await untold()).toBe(0);
  expect(new Set(await Promise.all(sids.map(statusOf)))).toEqual(new Set(['revoked']));
});

it('those of other issuers stay on the list alone', async () => {
  await live('theirs', 'elsewhere');
  const entries = [{ issuer: 'elsewhere', sid: 'theirs', untilMs: untilMs() }];
  await control().revokeMany({ entries, sha256: '', act: ACT });
  await runDurableObjectAlarm(control());
  const answer = await session('theirs', 'elsewhere').describe();
  expect(answer.known ? answer.view.status : 'unknown').toBe('active');
});
