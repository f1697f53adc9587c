import { env } from 'cloudflare:workers';
import { reset, runInDurableObject } from 'cloudflare:test';
import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { ControlObject } from '../../src/control/control-object.ts';
import type { HeadParts } from '../../src/control/head-parts.ts';
import { HeadStore } from '../../src/control/head-store.ts';
import { Publication } from '../../src/control/publication-client.ts';
import { RevocationStore } from '../../src/control/revocation-store.ts';
import { BLOB_RETENTION_MS, HEAD_MAX_REUSE_MS, MAX_RELAYS, RELAY_ACTIVE_MS } from '../../src/limits.ts';
import { type RelayName, relayName } from '../../src/rpc/region.ts';
import type { SignedHead } from '../../src/rpc/relay-rpc.ts';
import type { KeyRing } from '../../src/signing/signing-keys.ts';
import { digestHex, digestOf } from '../../src/snapshot/digest64.ts';
import { type Head, HEAD_KEY, policyBlobName, revokedBlobName } from '../../src/snapshot/head.ts';
import { verifyHead } from '../../src/snapshot/signed-head.ts';
import { keyRing, privateJwk } from '../support/credentials.ts';
import { START_MS } from '../support/heads.ts';

const bindings = env as { CONTROL: DurableObjectNamespace<ControlObject> };
let keys: KeyRing;

beforeAll(async () => {
  keys = await keyRing(await privateJwk('k1'));
});
afterEach(() => reset());

async function read({ head }: { readonly head: string }): Promise<Head> {
  const reading = await verifyHead(head, keys, 'fusebox');
  if (!reading.ok) throw new Error(reading.reason);
  return reading.head;
}

/** A publication on the storage of a real object, with KV and relays that a test decides. */
function controlWorld(storage: DurableObjectStorage) {
  const world = {
    nowMs: START_MS,
    switches: [] as ReturnType<HeadParts['switches']>,
    agents: [] as ReturnType<HeadParts['agents']>,
    policy: null as string | null,
    deployed: null as string | null,
    drill: null as Head['drill'],
    puts: [] as string[],
    kv: new Map<string, string | Uint8Array>(),
    kvFails: false,
    pushed: [] as [RelayName, SignedHead][],
    relayFails: new Set<RelayName>(),
    signatures: 0,
  };
  const revocations = new RevocationStore(storage, START_MS);
  const start = (): Publication =>
    new Publication({
      deployment: 'fusebox',
      revocations,
      heads: new HeadStore(storage),
      parts: {
        switches: () => world.switches,
        agents: () => world.agents,
        policy: () => world.policy,
        policyText: (digest) => `text of ${digest}`,
        deployed: () => world.deployed,
        drill: () => world.drill,
      },
      kv: {
        async put(key, value) {
          if (world.kvFails) throw new Error('KV is down');
          world.puts.push(key);
          world.kv.set(key, value);
        },
        async delete(key) {
          if (world.kvFails) throw new Error('KV is down');
          world.kv.delete(key);
        },
      },
      relay: (name) => ({
        async push(head) {
          if (world.relayFails.has(name)) throw new Error('out of reach');
          world.pushed.push([name, head]);
        },
      }),
      keys: async () => {
        world.signatures += 1;
        return keys;
      },
      now: () => world.nowMs,
    });
  const revoke = (from: number, count: number, lifeMs = 3_600_000): void => {
    const entries = Array.from({ length: count }, (_, index) => ({
      digest: digestOf(`fusebox~${from + index}`),
      untilMs: world.nowMs + lifeMs,
    }));
    revocations.add(entries, world.nowMs);
  };
  return { world, start, revoke, revocations };
}

type World = ReturnType<typeof controlWorld>;
const inWorld = (use: (world: World) => Promise<void>): Promise<void> =>
  runInDurableObject(bindings.CONTROL.getByName(crypto.randomUUID()), (_object, { storage }) =>
    use(controlWorld(storage)),
  );
/** Pushes go out by themselves. */
const settled = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

describe('the head that the control object makes', () => {
  it('carries what each keeper says, at the time at which it says so', () =>
    inWorld(async ({ world, start, revoke }) => {
      revoke(0, 1);
      world.switches = [{ level: 'global', target: 'all', namespace: 'drill', untilMs: null }];
      world.agents = [{ agent: 'a', beforeMs: 1, untilMs: 2 }];
      world.drill = { finishedMs: 1, passed: true, dueMs: 2 };
      const { switches, drill } = world;
      const head = await read(await start().head());
      expect(head.revoked.recent).toHaveLength(12);
      expect(head).toMatchObject({
        version: 2,
        deployment: 'fusebox',
        asOfMs: START_MS,
        policy: null,
        switches,
        drill,
        agents: [[digestHex(digestOf('a')), 1, 2]],
        revoked: { blobs: [] },
      });
    }));

  it('has a new epoch with every change, whose ever it is, and none without', () =>
    inWorld(async ({ world, start, revoke }) => {
      const publication = start();
      const epochs = [publication.epoch];
      const changes = [
        () => revoke(0, 1),
        () => (world.switches = [{ level: 'agent', target: 'a', namespace: 'live', untilMs: null }]),
        () => (world.agents = [{ agent: 'a', beforeMs: 1, untilMs: 2 }]),
        () => (world.policy = '0'.repeat(64)),
        () => (world.drill = { finishedMs: 1, passed: true, dueMs: 2 }),
        () => (world.switches = []),
      ];
      for (const change of changes) {
        change();
        epochs.push(publication.changed(), publication.changed());
        world.nowMs += 60_000;
      }
      expect(epochs).toEqual([1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7]);
    }));

  it('goes back in neither epoch nor time, though the clock does, within a life and across two', () =>
    inWorld(async ({ world, start, revoke }) => {
      const first = start();
      revoke(0, 1);
      first.changed();
      const before = await read(await first.head());
      world.nowMs -= 3_600_000;
      expect((await read(await first.head())).asOfMs).toBe(before.asOfMs);
      const second = start();
      expect(await read(await second.head())).toEqual(before);
      revoke(1, 1);
      second.changed();
      const after = await read(await second.head());
      expect([after.epoch, after.asOfMs]).toEqual([before.epoch + 1, before.asOfMs]);
      world.nowMs = START_MS + 5_000;
      expect((await read(await second.head())).asOfMs).toBe(START_MS + 5_000);
    }));

  it('is signed once for all who ask within a moment, and anew when something has changed', () =>
    inWorld(async ({ world, start, revoke }) => {
      const publication = start();
      await publication.head();
      world.nowMs += HEAD_MAX_REUSE_MS - 1;
      await publication.head();
      expect(world.signatures).toBe(1);
      revoke(0, 1);
      publication.changed();
      expect((await read(await publication.head())).epoch).toBe(2);
      await settled();
      const { signatures } = world;
      world.nowMs += HEAD_MAX_REUSE_MS;
      await publication.head();
      expect(world.signatures).toBe(signatures + 1);
    }));

  it('does not hide what changes while it is being signed', () =>
    inWorld(async ({ start, revoke }) => {
      const publication = start();
      const early = publication.head();
      revoke(0, 1);
      publication.changed();
      expect((await read(await early)).epoch).toBe(1);
      expect((await read(await publication.head())).epoch).toBe(2);
    }));
});

describe('publishing to KV', () => {
  it('puts the blobs that the head names before the head, and each once', () =>
    inWorld(async ({ world, start, revoke }) => {
      const publication = start();
      revoke(0, 600);
      world.policy = 'a'.repeat(64);
      await publication.publish();
      const { revoked } = await read({ head: String(world.kv.get(HEAD_KEY)) });
      expect(world.puts).toEqual([
        revokedBlobName(revoked.blobs[0]?.digest ?? ''),
        policyBlobName(world.policy),
        HEAD_KEY,
      ]);
      world.puts.length = 0;
      world.nowMs += 60_000;
      await start().publish();
      expect(world.puts).toEqual([HEAD_KEY]);
    }));

  it('that fails keeps nobody from getting the head or a blob, and is made up for', () =>
    inWorld(async ({ world, start, revoke }) => {
      const publication = start();
      revoke(0, 600);
      world.kvFails = true;
      await expect(publication.publish()).rejects.toThrow('KV is down');
      const head = await read(await publication.head());
      expect(publication.blob(revokedBlobName(head.revoked.blobs[0]?.digest ?? ''))).toHaveLength(600 * 8);
      world.kvFails = false;
      await publication.publish();
      expect(world.puts).toHaveLength(2);
    }));

  it('takes a merged blob out again after no head can name it, from KV and from the object', () =>
    inWorld(async ({ world, start, revoke, revocations }) => {
      const publication = start();
      revoke(0, 600, 1_000);
      await publication.publish();
      const name = revokedBlobName((await read(await publication.head())).revoked.blobs[0]?.digest ?? '');
      world.nowMs += 10_000;
      revocations.dropExpired(world.nowMs);
      publication.changed();
      world.nowMs += BLOB_RETENTION_MS;
      await publication.publish();
      expect(world.kv.has(name)).toBe(true);
      expect(publication.blob(name)).not.toBeNull();
      world.nowMs += 1;
      await publication.publish();
      expect(world.kv.has(name)).toBe(false);
      expect(publication.blob(name)).toBeNull();
    }));

  it('puts a blob again that was taken out and is named again', () =>
    inWorld(async ({ world, start, revoke, revocations }) => {
      const publication = start();
      revoke(0, 600, 1_000);
      await publication.publish();
      world.nowMs += 10_000;
      revocations.dropExpired(world.nowMs);
      world.nowMs += BLOB_RETENTION_MS + 1;
      publication.changed();
      await publication.publish();
      revoke(0, 600);
      publication.changed();
      await publication.publish();
      const head = await read({ head: String(world.kv.get(HEAD_KEY)) });
      expect(world.kv.has(revokedBlobName(head.revoked.blobs[0]?.digest ?? ''))).toBe(true);
    }));

  it('knows no blob of another name', () =>
    inWorld(async ({ start }) => {
      const names = ['head', 'revoked/', `revoked/${'0'.repeat(64)}`, '../head'];
      expect(names.map((name) => start().blob(name))).toEqual([null, null, null, null]);
    }));
});

describe('telling the relays', () => {
  const WEUR = relayName('weur', 0);
  const ENAM = relayName('enam', 0.5);

  it('goes to those that asked within the last minute', () =>
    inWorld(async ({ world, start, revoke }) => {
      const publication = start();
      publication.asked(WEUR);
      world.nowMs += RELAY_ACTIVE_MS;
      publication.asked(ENAM);
      revoke(0, 1);
      publication.changed();
      await settled();
      expect(world.pushed.map(([name]) => name)).toEqual([WEUR, ENAM]);
      world.nowMs += 1;
      revoke(1, 1);
      publication.changed();
      await settled();
      expect(world.pushed.slice(2).map(([name, { epoch }]) => [name, epoch])).toEqual([[ENAM, 2]]);
    }));

  it('tells of many changes at once, and of the last one surely', () =>
    inWorld(async ({ world, start, revoke }) => {
      const publication = start();
      publication.asked(WEUR);
      for (let index = 0; index < 50; index += 1) {
        revoke(index, 1);
        publication.changed();
      }
      await settled();
      expect(world.pushed.length).toBeLessThanOrEqual(2);
      expect(world.pushed.at(-1)?.[1].epoch).toBe(publication.epoch);
    }));

  it('is not held up by a relay that is out of reach', () =>
    inWorld(async ({ world, start, revoke }) => {
      const publication = start();
      world.relayFails.add(WEUR);
      publication.asked(WEUR);
      publication.asked(ENAM);
      revoke(0, 1);
      publication.changed();
      await settled();
      expect(world.pushed.map(([name]) => name)).toEqual([ENAM]);
    }));

  it('remembers no more relays than there may be', () =>
    inWorld(async ({ world, start, revoke }) => {
      const publication = start();
      for (let index = 0; index <= MAX_RELAYS; index += 1) publication.asked(`weur-${index}`);
      revoke(0, 1);
      publication.changed();
      await settled();
      expect(world.pushed).toHaveLength(MAX_RELAYS);
      expect(world.pushed[0]?.[0]).toBe('weur-1');
    }));
});
