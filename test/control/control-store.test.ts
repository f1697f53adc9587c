import { env } from 'cloudflare:workers';
import { reset, runInDurableObject } from 'cloudflare:test';
import { afterEach, expect, it } from 'vitest';
import type { ControlObject } from '../../src/control/control-object.ts';
import { LIVE_PAGE_ROWS } from '../../src/limits.ts';
import { ControlStore } from '../../src/control/control-store.ts';

const { CONTROL } = env as { CONTROL: DurableObjectNamespace<ControlObject> };

afterEach(() => reset());

const DAY_MS = 24 * 60 * 60 * 1_000;

/** A store with sessions that were created so many days before `nowMs` and lived for one. */
function withSessions(storage: DurableObjectStorage, daysAgo: readonly number[], nowMs: number): ControlStore {
  const store = new ControlStore(storage);
  for (const [index, days] of daysAgo.entries()) {
    const createdAtMs = nowMs - days * DAY_MS;
    const session = {
      issuer: 'fusebox',
      agent: 'a',
      customer: null,
      segments: [],
      scopes: [],
      status: 'active' as const,
    };
    store.recordSession({ ...session, sid: `s-${index}`, createdAtMs, expiresAtMs: createdAtMs + DAY_MS });
  }
  return store;
}

it('goes through all live sessions, over many pages', async () => {
  await runInDurableObject(CONTROL.getByName('control'), async (_instance, { storage }) => {
    const nowMs = 1_000 * DAY_MS;
    const count = LIVE_PAGE_ROWS + 3;
    const store = withSessions(storage, [2, ...Array.from({ length: count }, (_, index) => index / count / 2)], nowMs);
    const seen: string[] = [];
    for await (const { sid } of store.liveSessions(nowMs)) seen.push(sid);
    expect([seen.length, new Set(seen).size, seen.includes('s-0')]).toEqual([count, count, false]);
  });
});

it('forgets sessions that ended long ago, and no other', async () => {
  await runInDurableObject(CONTROL.getByName('control'), (_instance, { storage }) => {
    const nowMs = 1_000 * DAY_MS;
    const store = withSessions(storage, [1, 90, 179, 182, 400], nowMs);
    expect(store.dropOld(nowMs)).toBe(false);
    const left = store.listSessions({ agent: null, status: null, cursor: null, limit: 10 }, nowMs).sessions;
    expect(left.map(({ sid }) => sid)).toEqual(['s-0', 's-1', 's-2']);
    expect(store.isFull()).toBe(false);
  });
});

it('reads what the first version wrote, and writes beside it', async () => {
  await runInDurableObject(CONTROL.getByName('control'), (_instance, { storage }) => {
    storage.sql.exec('DROP TABLE sessions');
    storage.sql.exec(`CREATE TABLE sessions (
      issuer TEXT NOT NULL, sid TEXT NOT NULL, agent TEXT NOT NULL, customer TEXT, status TEXT NOT NULL,
      created_at_ms INTEGER NOT NULL, expires_at_ms INTEGER NOT NULL, PRIMARY KEY (created_at_ms, issuer, sid)) WITHOUT ROWID`);
    storage.sql.exec("INSERT INTO sessions VALUES ('fusebox', 'old', 'a', NULL, 'active', 1000, 9000)");
    const store = new ControlStore(storage);
    const session = { issuer: 'fusebox', agent: 'a', customer: null, status: 'active' as const, expiresAtMs: 9_000 };
    store.recordSession({
      ...session,
      sid: 'new',
      createdAtMs: 2_000,
      segments: ['retail'],
      scopes: ['llm:*', 'ticket:*'],
    });
    const listed = store.listSessions({ agent: null, status: null, cursor: null, limit: 10 }, 3_000).sessions;
    expect(listed.map(({ sid, segments, scopes }) => [sid, segments, scopes])).toEqual([
      ['new', ['retail'], ['llm:*', 'ticket:*']],
      ['old', [], []],
    ]);
  });
});
