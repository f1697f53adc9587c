import { env } from 'cloudflare:workers';
import { reset, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readSigningKeys } from '../../src/signing/signing-keys.ts';
import { verifyHead } from '../../src/snapshot/signed-head.ts';
import { HEAD_KEY } from '../../src/snapshot/snapshot-client.ts';
import { digestOf, isRevoked, snapshotOf } from '../../src/snapshot/snapshot.ts';
import type { ControlObject } from '../../src/control/control-object.ts';
import type { IndexedSession } from '../../src/rpc/control-rpc.ts';

const bindings = env as {
  CONTROL: DurableObjectNamespace<ControlObject>;
  SNAPSHOT: KVNamespace;
  SESSION_SIGNING_KEYS: string;
};
const control = () => bindings.CONTROL.getByName('control');
const ACT = { by: 'test', reason: 'test' };
let startMs = 0;

const session = (index: number, more: Partial<IndexedSession> = {}): IndexedSession => ({
  issuer: 'fusebox',
  sid: `s-${String(index).padStart(3, '0')}`,
  agent: `agent-${index % 3}`,
  customer: null,
  createdAtMs: startMs + Math.floor(index / 2),
  expiresAtMs: startMs + 3_600_000,
  status: 'active',
  ...more,
});

beforeAll(() => {
  startMs = Date.now();
});
afterEach(() => reset());

describe('the control object', () => {
  it('lists sessions newest first, page by page, each once', async () => {
    for (let index = 0; index < 30; index += 1) await control().record(session(index));
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page: { sessions: readonly IndexedSession[]; nextCursor: string | null } = await control().list({
        agent: null,
        status: null,
        cursor,
        limit: 7,
      });
      seen.push(...page.sessions.map(({ sid }) => sid));
      cursor = page.nextCursor;
    } while (cursor !== null);
    expect(seen).toHaveLength(30);
    expect(seen).toEqual(seen.toSorted().toReversed());
  });

  it('filters by agent and by status, with expiry counted by the clock', async () => {
    await control().record(session(0));
    await control().record(session(1, { status: 'warned' }));
    await control().record(session(2, { expiresAtMs: startMs - 1 }));
    await control().record(session(3, { expiresAtMs: startMs - 1, status: 'revoked' }));
    const sids = async (filter: object): Promise<string[]> =>
      (await control().list({ agent: null, status: null, cursor: null, limit: 10, ...filter })).sessions.map(
        ({ sid }) => sid,
      );
    expect(await sids({ status: 'active' })).toEqual(['s-000']);
    expect(await sids({ status: 'warned' })).toEqual(['s-001']);
    expect(await sids({ status: 'expired' })).toEqual(['s-002']);
    expect(await sids({ status: 'revoked' })).toEqual(['s-003']);
    expect(await sids({ agent: 'agent-0' })).toEqual(['s-003', 's-000']);
  });

  it('updates a session instead of listing it twice', async () => {
    await control().record(session(0));
    await control().record(session(0, { status: 'tripped' }));
    const { sessions } = await control().list({ agent: null, status: null, cursor: null, limit: 10 });
    expect(sessions).toMatchObject([{ status: 'tripped' }]);
  });

  it('moves its epoch once for a revocation that comes twice, and not for one whose credential has ended', async () => {
    const revoked = { issuer: 'fusebox', sid: 's', untilMs: Date.now() + 60_000, act: ACT };
    expect(await control().revoke(revoked)).toEqual({ epoch: 1 });
    expect(await control().revoke(revoked)).toEqual({ epoch: 1 });
    expect(await control().revoke({ ...revoked, sid: 'ended', untilMs: Date.now() - 1 })).toEqual({ epoch: 1 });
  });

  it('publishes its list to KV, signed, by its alarm', async () => {
    await control().revoke({ issuer: 'fusebox', sid: 'listed', untilMs: Date.now() + 60_000, act: ACT });
    expect(await runDurableObjectAlarm(control())).toBe(true);
    const reading = await readSigningKeys(bindings.SESSION_SIGNING_KEYS);
    if (!reading.ok) throw new Error(reading.reason);
    const head = await verifyHead((await bindings.SNAPSHOT.get(HEAD_KEY)) ?? '', reading.keys, 'fusebox');
    const snapshot = head === null ? null : snapshotOf(head);
    expect(snapshot?.epoch).toBe(1);
    expect(snapshot !== null && isRevoked(snapshot, digestOf('fusebox~listed'))).toBe(true);
  });

  it('is woken to publish by a revocation that comes again, for it may have died before it was the first time', async () => {
    const revoked = { issuer: 'fusebox', sid: 'again', untilMs: Date.now() + 60_000, act: ACT };
    await control().revoke(revoked);
    await runInDurableObject(control(), (_object, state) => state.storage.deleteAlarm());
    await control().revoke(revoked);
    expect(await runDurableObjectAlarm(control())).toBe(true);
  });

  it('takes off the list what has expired; the epoch never goes back', async () => {
    await control().revoke({ issuer: 'fusebox', sid: 'short', untilMs: Date.now() + 30, act: ACT });
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(await runDurableObjectAlarm(control())).toBe(true);
    const rows = await runInDurableObject(control(), (_instance, state) =>
      state.storage.sql.exec('SELECT 1 FROM revoked').toArray(),
    );
    expect(rows).toEqual([]);
    const { epoch } = await control().revoke({
      issuer: 'fusebox',
      sid: 'other',
      untilMs: Date.now() + 60_000,
      act: ACT,
    });
    expect(epoch).toBe(3);
  });
});
