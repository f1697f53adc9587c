import { env } from 'cloudflare:workers';
import { reset, runInDurableObject } from 'cloudflare:test';
import { afterEach, expect, it } from 'vitest';
import type { ControlObject } from '../../src/control/control-object.ts';
import { ControlStore } from '../../src/control/control-store.ts';

const { CONTROL } = env as { CONTROL: DurableObjectNamespace<ControlObject> };

afterEach(() => reset());

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
