import { beforeAll, describe, expect, it } from 'vitest';
import type { ControlRpc } from '../../src/rpc/control-rpc.ts';
import type { KeyRing } from '../../src/signing/signing-keys.ts';
import { signHead, verifyHead } from '../../src/snapshot/signed-head.ts';
import { EdgeSnapshot } from '../../src/snapshot/snapshot-client.ts';
import { digestOf, packDigests } from '../../src/snapshot/snapshot.ts';
import { keyRing, privateJwk } from '../support/credentials.ts';

const START_MS = 1_800_000_000_000;
let keys: KeyRing;
let strangers: KeyRing;

beforeAll(async () => {
  keys = await keyRing(await privateJwk('k1'));
  strangers = await keyRing(await privateJwk('k1'));
});

const signed = (
  revoked: readonly string[],
  more: { epoch?: number; asOfMs?: number; deployment?: string } = {},
  by = keys,
): Promise<string> =>
  signHead(
    {
      version: 1,
      deployment: 'fusebox',
      epoch: 1,
      asOfMs: START_MS,
      revoked: packDigests(revoked.map(digestOf)),
      ...more,
    },
    by,
  );

async function unused(): Promise<never> {
  throw new Error('not for the edge');
}

/** An edge whose control object and KV answer what they are told to; null is an outage. */
function edge() {
  const world = { nowMs: START_MS, control: null as string | null, kv: null as string | null, asked: 0, hangs: false };
  const control = (): Pick<ControlRpc, 'head'> => ({
    head: async () => {
      world.asked += 1;
      if (world.hangs) return new Promise(() => undefined);
      if (world.control === null) throw new Error('out of reach');
      return { head: world.control };
    },
  });
  const snapshot = new EdgeSnapshot({
    kv: { get: async () => world.kv },
    control: () => ({ ...control(), record: unused, list: unused, revoke: unused }),
    keys,
    deployment: 'fusebox',
    now: () => world.nowMs,
  });
  const isRefused = (name: string): boolean => snapshot.revocation(name, digestOf(name)) !== null;
  return { world, snapshot, isRefused };
}

describe('the edge', () => {
  it('is stale until it has heard, fresh for 5 s, unconfirmed until 60 s, then stale', async () => {
    const { world, snapshot } = edge();
    expect(snapshot.freshness()).toBe('stale');
    world.control = await signed([]);
    await snapshot.refresh();
    const at = (ageMs: number): string => {
      world.nowMs = START_MS + ageMs;
      return snapshot.freshness();
    };
    expect([at(0), at(5_000), at(5_001), at(60_000), at(60_001)]).toEqual([
      'fresh',
      'fresh',
      'unconfirmed',
      'unconfirmed',
      'stale',
    ]);
  });

  it('refuses from memory what is listed, and what an object told it', async () => {
    const { world, snapshot, isRefused } = edge();
    world.control = await signed(['fusebox~a']);
    await snapshot.refresh();
    expect([isRefused('fusebox~a'), isRefused('fusebox~b')]).toEqual([true, false]);
    snapshot.learn('fusebox~b', { code: 'session-revoked', detail: 'tripped' });
    expect(isRefused('fusebox~b')).toBe(true);
  });

  it('never goes back to an older epoch or an older confirmation', async () => {
    const { world, snapshot, isRefused } = edge();
    world.control = await signed(['fusebox~a'], { epoch: 5, asOfMs: START_MS });
    await snapshot.refresh();
    for (const replayed of [
      await signed([], { epoch: 4, asOfMs: START_MS + 1 }),
      await signed([], { epoch: 5, asOfMs: START_MS - 1 }),
    ]) {
      world.control = replayed;
      await snapshot.refresh();
      expect(snapshot.epoch).toBe(5);
      expect(isRefused('fusebox~a')).toBe(true);
    }
  });

  it('falls back to KV, and keeps what it holds when nobody answers', async () => {
    const { world, snapshot, isRefused } = edge();
    world.kv = await signed(['fusebox~a']);
    await snapshot.refresh();
    expect(isRefused('fusebox~a')).toBe(true);
    world.kv = null;
    await snapshot.refresh();
    expect(isRefused('fusebox~a')).toBe(true);
  });

  it.each<[string, () => Promise<string>]>([
    ['unsigned', async () => 'nonsense'],
    ['signed by another key of the same name', () => signed(['fusebox~x'], { epoch: 9 }, strangers)],
    ['of another deployment', () => signed(['fusebox~x'], { epoch: 9, deployment: 'other' })],
    [
      'changed after it was signed',
      async () => {
        const [header, , signature] = (await signed([])).split('.');
        return [header, Buffer.from('{"version":1}').toString('base64url'), signature].join('.');
      },
    ],
  ])('does not adopt a head that is %s', async (_what, make) => {
    const { world, snapshot } = edge();
    world.control = await make();
    await snapshot.refresh();
    expect(snapshot.epoch).toBeNull();
    expect(await verifyHead(await make(), keys, 'fusebox')).toBeNull();
  });

  it('lets only a few of many requests ask at the same time', async () => {
    const { world, snapshot } = edge();
    world.control = await signed([]);
    await snapshot.refresh();
    world.asked = 0;
    await Promise.all(Array.from({ length: 100 }, () => snapshot.refresh()));
    expect(world.asked).toBeLessThanOrEqual(4);
  });

  it('lets every request ask that finds the copy too old to decide by', async () => {
    const { world, snapshot } = edge();
    world.control = await signed([]);
    await snapshot.refresh();
    world.nowMs = START_MS + 60_001;
    world.control = await signed([], { asOfMs: world.nowMs });
    const found = Array.from({ length: 10 }, async () => {
      await snapshot.refresh();
      return snapshot.freshness();
    });
    expect(new Set(await Promise.all(found))).toEqual(new Set(['fresh']));
  });

  it('asks again although those that asked before were cancelled and never ended', async () => {
    const { world, snapshot } = edge();
    world.control = await signed([]);
    await snapshot.refresh();
    world.hangs = true;
    for (let asks = 0; asks < 10; asks += 1) void snapshot.refresh();
    world.hangs = false;
    world.nowMs = START_MS + 6_000;
    world.control = await signed([], { asOfMs: world.nowMs });
    await snapshot.refresh();
    expect(snapshot.freshness()).toBe('fresh');
  });
});
