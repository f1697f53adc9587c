import { beforeEach, describe, expect, it } from 'vitest';
import { MAX_RELAY_BLOB_BYTES, RELAY_ASK_TIMEOUT_MS, RELAY_CONFIRMED_MS, RELAY_RETRY_MS } from '../../src/limits.ts';
import { Relay } from '../../src/relay/relay.ts';
import { within } from '../../src/rpc/deadline.ts';
import type { SignedHead } from '../../src/rpc/relay-rpc.ts';
import { START_MS } from '../support/heads.ts';

const NEAR = { confirmedWithinMs: RELAY_CONFIRMED_MS };

/** A relay whose control object has an epoch, or is down, or never answers. */
function relayWorld() {
  const world = {
    nowMs: START_MS,
    epoch: 1 as number | 'down' | 'hangs',
    asked: [] as (string | undefined)[],
    timeoutsMs: [] as number[],
    blobs: new Map<string, Uint8Array>(),
    kv: new Map<string, ArrayBuffer>(),
    kvHangs: false,
    blobsAsked: 0,
  };
  const headAt = (epoch: number): SignedHead => ({ head: `head ${epoch}`, epoch, asOfMs: world.nowMs });
  const relay = new Relay({
    control: () => ({
      async head(request) {
        world.asked.push(request?.relay);
        if (world.epoch === 'hangs') return new Promise(() => undefined);
        if (world.epoch === 'down') throw new Error('out of reach');
        return headAt(world.epoch);
      },
      async blob(name) {
        world.blobsAsked += 1;
        return world.blobs.get(name) ?? null;
      },
    }),
    kv: {
      blob: async (name) => (world.kvHangs ? new Promise(() => undefined) : (world.kv.get(name) ?? null)),
    },
    name: 'weur-3',
    now: () => world.nowMs,
    within: (answer, timeoutMs) => {
      world.timeoutsMs.push(timeoutMs);
      return within(answer, 20);
    },
  });
  return { world, relay, headAt };
}

let world: ReturnType<typeof relayWorld>['world'];
let relay: Relay;
let headAt: ReturnType<typeof relayWorld>['headAt'];

beforeEach(() => {
  ({ world, relay, headAt } = relayWorld());
});

describe('a relay', () => {
  it('asks also where its clock was set back: it does not know any more when it was told', async () => {
    await relay.head(NEAR);
    world.epoch = 2;
    world.nowMs -= 600_000;
    expect((await relay.head(NEAR))?.epoch).toBe(2);
    await relay.head(NEAR);
    expect(world.asked).toHaveLength(2);
  });

  it('answers by itself while the control object has confirmed its head a moment ago, and then asks it first', async () => {
    expect((await relay.head(NEAR))?.epoch).toBe(1);
    world.epoch = 2;
    world.nowMs += RELAY_CONFIRMED_MS;
    expect((await relay.head(NEAR))?.epoch).toBe(1);
    world.nowMs += 1;
    expect((await relay.head(NEAR))?.epoch).toBe(2);
    expect(world.asked).toEqual(['weur-3', 'weur-3']);
  });

  it('asks earlier for an isolate that wants it confirmed more closely, and no later for one that does not care', async () => {
    await relay.head(NEAR);
    world.nowMs += 401;
    await relay.head({ confirmedWithinMs: 400 });
    expect(world.asked).toHaveLength(2);
    world.nowMs += RELAY_CONFIRMED_MS + 1;
    await relay.head({ confirmedWithinMs: 3_600_000 });
    expect(world.asked).toHaveLength(3);
  });

  it('does not answer by itself because it has missed a push: it has heard nothing, which is not "no change"', async () => {
    await relay.head(NEAR);
    world.epoch = 7;
    for (let second = 0; second < 3; second += 1) {
      world.nowMs += 1_000;
      await relay.head(NEAR);
    }
    expect((await relay.head(NEAR))?.epoch).toBe(7);
  });

  it('asks once for all who ask meanwhile', async () => {
    const answers = await Promise.all(Array.from({ length: 100 }, () => relay.head(NEAR)));
    expect(answers.every((answer) => answer?.epoch === 1)).toBe(true);
    expect(world.asked).toHaveLength(1);
  });

  it('answers a pushed head at once', async () => {
    await relay.head(NEAR);
    await relay.push(headAt(2));
    world.nowMs += 1_000;
    expect((await relay.head(NEAR))?.epoch).toBe(2);
    expect(world.asked).toHaveLength(1);
  });

  it('never goes back: neither by a push that was overtaken nor by an answer that is older', async () => {
    await relay.push(headAt(5));
    await relay.push(headAt(4));
    expect((await relay.head(NEAR))?.epoch).toBe(5);
    world.epoch = 3;
    world.nowMs += RELAY_CONFIRMED_MS + 1;
    expect((await relay.head(NEAR))?.epoch).toBe(5);
  });

  it('answers with what it has, as old as that says it is, when the control object is down', async () => {
    const first = await relay.head(NEAR);
    world.epoch = 'down';
    world.nowMs += 30_000;
    expect(await relay.head(NEAR)).toEqual(first);
    expect(first?.asOfMs).toBe(START_MS);
  });

  it('answers with nothing when it never heard', async () => {
    world.epoch = 'down';
    expect(await relay.head(NEAR)).toBeNull();
  });

  it('does not wait for a control object that never answers, and lets the next who ask not wait either', async () => {
    await relay.head(NEAR);
    world.epoch = 'hangs';
    world.nowMs += RELAY_CONFIRMED_MS + 1;
    expect((await relay.head(NEAR))?.epoch).toBe(1);
    expect(world.timeoutsMs.at(-1)).toBe(RELAY_ASK_TIMEOUT_MS);
    await relay.head(NEAR);
    expect(world.asked).toHaveLength(2);
    world.epoch = 2;
    world.nowMs += RELAY_RETRY_MS;
    expect((await relay.head(NEAR))?.epoch).toBe(2);
  });

  it('is not confirmed for longer by a clock of the control object that is ahead', async () => {
    await relay.push({ head: 'head 9', epoch: 9, asOfMs: world.nowMs + 3_600_000 });
    world.nowMs += RELAY_CONFIRMED_MS + 1;
    await relay.head(NEAR);
    expect(world.asked).toHaveLength(1);
  });
});

const named = async (bytes: Uint8Array): Promise<string> =>
  `revoked/${Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex')}`;

describe("a relay's blobs", () => {
  it('come from KV, are kept, and are asked for once by all who ask meanwhile', async () => {
    const bytes = new Uint8Array([1, 2, 3]);
    const name = await named(bytes);
    world.kv.set(name, bytes.slice().buffer);
    const all = await Promise.all(Array.from({ length: 20 }, () => relay.blob(name)));
    world.kv.clear();
    expect([...all, await relay.blob(name)].every((blob) => Buffer.from(blob ?? []).equals(bytes))).toBe(true);
    expect(world.blobsAsked).toBe(0);
  });

  it('come from the control object where KV has none yet, or has something else', async () => {
    const bytes = new Uint8Array([1, 2, 3]);
    const name = await named(bytes);
    world.blobs.set(name, bytes);
    world.kv.set(name, new Uint8Array([3, 2, 1]).buffer);
    expect(await relay.blob(name)).toEqual(bytes);
    expect(world.blobsAsked).toBe(1);
  });

  it('come from the control object where KV says nothing', async () => {
    const bytes = new Uint8Array([1, 2, 3]);
    const name = await named(bytes);
    world.blobs.set(name, bytes);
    world.kvHangs = true;
    expect(await relay.blob(name)).toEqual(bytes);
  });

  it('are nothing where nobody has them, and nobody is asked for what is no name of one', async () => {
    expect(await relay.blob(await named(new Uint8Array([9])))).toBeNull();
    expect(world.blobsAsked).toBe(1);
    expect(await relay.blob('head')).toBeNull();
    expect(world.blobsAsked).toBe(1);
  });

  it('are let go in the order in which they were last used, when they are too many bytes', async () => {
    const blobs = Array.from({ length: 4 }, (_, index) => new Uint8Array(MAX_RELAY_BLOB_BYTES / 3).fill(index));
    const names = await Promise.all(blobs.map(named));
    for (const [index, name] of names.entries()) world.blobs.set(name, blobs[index] ?? new Uint8Array());
    for (const name of names.slice(0, 3)) await relay.blob(name);
    await relay.blob(names[0] ?? '');
    await relay.blob(names[3] ?? '');
    world.blobs.clear();
    const kept = await Promise.all(names.map(async (name) => (await relay.blob(name)) !== null));
    expect(kept).toEqual([true, false, true, true]);
  });
});
