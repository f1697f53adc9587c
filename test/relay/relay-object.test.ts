// The real objects with the real KV: a revocation's whole way from the control object over a relay to an edge.
import { env } from 'cloudflare:workers';
import { evictDurableObject, reset, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { ControlObject } from '../../src/control/control-object.ts';
import { RELAY_CONFIRMED_MS } from '../../src/limits.ts';
import type { RelayObject } from '../../src/relay/relay-object.ts';
import { controlClient } from '../../src/rpc/control-client.ts';
import { within } from '../../src/rpc/deadline.ts';
import { relayClient } from '../../src/rpc/relay-client.ts';
import { loadSigningKeys } from '../../src/signing/signing-keys.ts';
import { snapshotKv } from '../../src/snapshot/kv-client.ts';
import { EdgeSnapshot } from '../../src/snapshot/snapshot-client.ts';
import { callerOf } from '../support/heads.ts';

const bindings = env as {
  CONTROL: DurableObjectNamespace<ControlObject>;
  RELAY: DurableObjectNamespace<RelayObject>;
  SNAPSHOT: KVNamespace;
  SESSION_SIGNING_KEYS: string;
};
const RELAY = 'weur-0';
const ACT = { by: 'test', owner: 'test', reason: 'test' };
const NEAR = { confirmedWithinMs: RELAY_CONFIRMED_MS };
const control = () => bindings.CONTROL.getByName('control');
const relay = () => bindings.RELAY.getByName(RELAY);
const untilMs = (): number => Date.now() + 3_600_000;

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'] });
});
afterEach(async () => {
  vi.useRealTimers();
  await reset();
});

async function edge() {
  const background: Promise<unknown>[] = [];
  const snapshot = new EdgeSnapshot({
    relay: () => relayClient(bindings.RELAY, RELAY),
    control: () => controlClient(bindings.CONTROL),
    kv: snapshotKv(bindings.SNAPSHOT),
    keys: await loadSigningKeys(bindings.SESSION_SIGNING_KEYS),
    deployment: 'fusebox',
    rules: () => ({ refreshMs: 5_000, maxAgeMs: 60_000 }),
    policy: { inForce: () => null, adopt: async () => false },
    now: () => Date.now(),
    random: () => 0,
    within,
    log: () => undefined,
  });
  return {
    snapshot,
    refresh: async (): Promise<void> => {
      await snapshot.refresh((work) => background.push(work));
      await Promise.all(background);
    },
    isRefused: (name: string) => snapshot.verdict(callerOf(name), { feature: null, namespace: 'live' }) !== null,
  };
}

describe('a revocation', () => {
  it('is pushed to a relay that asked within the last minute, before that one asks again', async () => {
    expect((await relay().head(NEAR))?.epoch).toBe(1);
    const { epoch } = await control().revoke({ issuer: 'fusebox', sid: 's', untilMs: untilMs(), act: ACT });
    await vi.waitFor(async () => {
      await runInDurableObject(relay(), async (object) => {
        expect((await object.head({ confirmedWithinMs: Number.POSITIVE_INFINITY }))?.epoch).toBe(epoch);
      });
    });
  });

  it('reaches an edge by its relay with the next refresh', async () => {
    const { snapshot, refresh, isRefused } = await edge();
    await refresh();
    expect([snapshot.freshness(), isRefused('fusebox~s')]).toEqual(['fresh', false]);
    await control().revoke({ issuer: 'fusebox', sid: 's', untilMs: untilMs(), act: ACT });
    vi.setSystemTime(Date.now() + 5_001);
    await refresh();
    expect([snapshot.freshness(), isRefused('fusebox~s')]).toEqual(['fresh', true]);
  });

  it('reaches it although relay and control object lost their memory meanwhile, and with it who is to be told', async () => {
    const { refresh, isRefused } = await edge();
    await refresh();
    await evictDurableObject(control());
    await control().revoke({ issuer: 'fusebox', sid: 's', untilMs: untilMs(), act: ACT });
    await evictDurableObject(relay());
    await evictDurableObject(control());
    vi.setSystemTime(Date.now() + 5_001);
    await refresh();
    expect(isRefused('fusebox~s')).toBe(true);
  });

  it('reaches it from a blob too, before KV has that, and after', async () => {
    const entries = Array.from({ length: 700 }, (_, index) => ({
      issuer: 'elsewhere',
      sid: `s-${index}`,
      untilMs: untilMs(),
    }));
    await control().revokeMany({ entries, sha256: '', act: ACT });
    const early = await edge();
    await early.refresh();
    expect([early.isRefused('elsewhere~s-0'), early.isRefused('elsewhere~s-699')]).toEqual([true, true]);
    await runDurableObjectAlarm(control());
    await evictDurableObject(relay());
    const late = await edge();
    await late.refresh();
    expect(late.snapshot.health()).toMatchObject({ isListComplete: true, revocations: 700 });
    expect([late.isRefused('elsewhere~s-0'), late.isRefused('elsewhere~s-700')]).toEqual([true, false]);
  });

  it('leaves every edge when its credential has expired', async () => {
    const { refresh, isRefused } = await edge();
    await control().revoke({ issuer: 'fusebox', sid: 's', untilMs: Date.now() + 10_000, act: ACT });
    await refresh();
    expect(isRefused('fusebox~s')).toBe(true);
    vi.setSystemTime(Date.now() + 12_000);
    await runDurableObjectAlarm(control());
    await refresh();
    expect(isRefused('fusebox~s')).toBe(false);
  });
});
