import { env } from 'cloudflare:workers';
import { evictDurableObject, reset, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { loadSigningKeys } from '../../src/signing/signing-keys.ts';
import { digestOf } from '../../src/snapshot/digest64.ts';
import { type Head, HEAD_KEY, recentOf, revokedBlobName } from '../../src/snapshot/head.ts';
import { positionOf } from '../../src/snapshot/revocation-list.ts';
import { verifyHead } from '../../src/snapshot/signed-head.ts';
import { HEAD_MAX_REUSE_MS } from '../../src/limits.ts';
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
  segments: [],
  scopes: [],
  createdAtMs: startMs + Math.floor(index / 2),
  expiresAtMs: startMs + 3_600_000,
  status: 'active',
  ...more,
});

beforeAll(() => {
  startMs = Date.now();
});
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
});
afterEach(async () => {
  vi.useRealTimers();
  await reset();
});

async function read(head: string): Promise<Head> {
  const reading = await verifyHead(head, await loadSigningKeys(bindings.SESSION_SIGNING_KEYS), 'fusebox');
  if (!reading.ok) throw new Error(reading.reason);
  return reading.head;
}

function isListed(head: Head, name: string): boolean {
  const list = recentOf(head);
  return list !== null && positionOf(list, digestOf(name)) >= 0;
}

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

  it('does not wake again at once for a switch that has ended: KV takes one write a second', async () => {
    const act = { by: 'ann', owner: 'ann', roles: ['operator'], reason: 'test' };
    const name = { level: 'customer', target: 'acme', namespace: 'live' } as const;
    await control().pull({ ...name, untilMs: Date.now() + 5_000, act });
    vi.setSystemTime(Date.now() + 6_000);
    expect(await runDurableObjectAlarm(control())).toBe(true);
    const alarmMs = await runInDurableObject(control(), (_instance, state) => state.storage.getAlarm());
    expect(alarmMs).toBeGreaterThan(Date.now());
  });

  it('publishes its list to KV, signed, by its alarm', async () => {
    await control().revoke({ issuer: 'fusebox', sid: 'listed', untilMs: Date.now() + 60_000, act: ACT });
    expect(await runDurableObjectAlarm(control())).toBe(true);
    const head = await read((await bindings.SNAPSHOT.get(HEAD_KEY)) ?? '');
    expect(head.epoch).toBe(1);
    expect(isListed(head, 'fusebox~listed')).toBe(true);
  });

  it('lists many at once, and gives out the blob that they are in', async () => {
    const untilMs = Date.now() + 60_000;
    const entries = Array.from({ length: 600 }, (_, index) => ({ issuer: 'elsewhere', sid: `s-${index}`, untilMs }));
    expect(await control().revokeMany({ entries, sha256: '', act: ACT })).toEqual({
      imported: true,
      epoch: 1,
      listed: 600,
    });
    const { head, epoch } = await control().head();
    const { revoked } = await read(head);
    expect([epoch, revoked.recent, revoked.blobs.map(({ count }) => count)]).toEqual([1, '', [600]]);
    const name = revokedBlobName(revoked.blobs[0]?.digest ?? '');
    expect((await control().blob(name))?.length).toBe(4_800);
    await runDurableObjectAlarm(control());
    expect((await bindings.SNAPSHOT.get(name, 'arrayBuffer'))?.byteLength).toBe(4_800);
    expect(await control().blob('head')).toBeNull();
  });

  it('is woken to publish by a revocation that comes again, for it may have died before it was the first time', async () => {
    const revoked = { issuer: 'fusebox', sid: 'again', untilMs: Date.now() + 60_000, act: ACT };
    await control().revoke(revoked);
    await runInDurableObject(control(), (_object, state) => state.storage.deleteAlarm());
    await control().revoke(revoked);
    expect(await runDurableObjectAlarm(control())).toBe(true);
  });

  it('takes off the list what has expired; the epoch never goes back', async () => {
    await control().revoke({ issuer: 'fusebox', sid: 'short', untilMs: Date.now() + 60_000, act: ACT });
    vi.setSystemTime(Date.now() + 62_000);
    expect(await runDurableObjectAlarm(control())).toBe(true);
    const { head, epoch } = await control().head();
    expect([epoch, (await read(head)).revoked.recent]).toEqual([2, '']);
    const other = { issuer: 'fusebox', sid: 'other', untilMs: Date.now() + 60_000, act: ACT };
    expect(await control().revoke(other)).toEqual({ epoch: 3 });
  });

  it('keeps the list, the epoch and the time when it is evicted, with a clock that was set back meanwhile', async () => {
    await control().revoke({ issuer: 'fusebox', sid: 'kept', untilMs: Date.now() + 60_000_000, act: ACT });
    const before = await read((await control().head()).head);
    await evictDurableObject(control());
    vi.setSystemTime(Date.now() - 3_600_000);
    const after = await read((await control().head()).head);
    expect(isListed(after, 'fusebox~kept')).toBe(true);
    expect(after.epoch).toBe(before.epoch);
    expect(after.asOfMs).toBeGreaterThanOrEqual(before.asOfMs - HEAD_MAX_REUSE_MS);
  });
});
