import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { BLOB_RETRY_MS, MAX_HEAD_BYTES, STALE_RETRY_MS } from '../../src/limits.ts';
import type { KeyRing } from '../../src/signing/signing-keys.ts';
import { policyBlobName, revokedBlobName } from '../../src/snapshot/head.ts';
import { digestOf } from '../../src/snapshot/digest64.ts';
import { packDigests } from '../../src/snapshot/revocation-list.ts';
import { signHead } from '../../src/snapshot/signed-head.ts';
import { keyRing, privateJwk } from '../support/credentials.ts';
import { headOf, recent, revoking, START_MS } from '../support/heads.ts';
import { current, type EdgeWorld, edgeWorld } from './edge-world.ts';

let keys: KeyRing;
let strangers: KeyRing;
let world: EdgeWorld;

beforeAll(async () => {
  keys = await keyRing(await privateJwk('k1'));
  strangers = await keyRing(await privateJwk('k1'));
});
beforeEach(() => {
  world = edgeWorld(keys);
});

const sha256 = async (bytes: Uint8Array): Promise<string> =>
  Buffer.from(await crypto.subtle.digest('SHA-256', bytes)).toString('hex');

/** A head with one blob that has these sessions on it. */
async function withBlob(...names: readonly string[]) {
  const bytes = packDigests(names.map(digestOf));
  const digest = await sha256(bytes);
  return {
    bytes,
    name: revokedBlobName(digest),
    head: headOf({ revoked: { blobs: [{ digest, count: names.length }], recent: '' } }),
  };
}

describe('how fresh the copy is', () => {
  it('is stale until the edge has heard, fresh for 5 s, unconfirmed until 60 s, then stale', async () => {
    expect(world.snapshot.freshness()).toBe('stale');
    world.relay.head = current(world);
    await world.refresh();
    const at = (ageMs: number): string => {
      world.nowMs = START_MS + ageMs;
      return world.snapshot.freshness();
    };
    expect([0, 5_000, 5_001, 60_000, 60_001].map(at)).toEqual([
      'fresh',
      'fresh',
      'unconfirmed',
      'unconfirmed',
      'stale',
    ]);
  });

  it('follows the intervals of the policy in force', async () => {
    world.relay.head = current(world);
    await world.refresh();
    world.nowMs += 1_001;
    world.rules = { refreshMs: 1_000, maxAgeMs: 2_000 };
    expect(world.snapshot.freshness()).toBe('unconfirmed');
    world.nowMs += 1_000;
    expect(world.snapshot.freshness()).toBe('stale');
  });

  it.each([
    [0, 5_000],
    [0.5, 4_500],
    [0.999, 4_001],
  ])('is due for a refresh at an age of its own: with %d, after %d ms', async (random, dueAfterMs) => {
    world.random = random;
    world.relay.head = current(world);
    await world.refresh();
    world.nowMs = START_MS + dueAfterMs;
    expect(world.snapshot.refreshIsDue()).toBe(false);
    world.nowMs += 1;
    expect(world.snapshot.refreshIsDue()).toBe(true);
  });

  it('of a quiet deployment stays fresh for hours, by confirmations of one and the same epoch', async () => {
    for (let minute = 0; minute < 180; minute += 1) {
      world.relay.head = current(world);
      await world.refresh();
      expect(world.snapshot.freshness()).toBe('fresh');
      world.nowMs += 60_000;
    }
    expect(world.snapshot.epoch).toBe(1);
  });

  it('is not made fresher by a clock that is ahead of ours', async () => {
    world.relay.head = current(world, { asOfMs: world.nowMs + 3_600_000 });
    await world.refresh();
    world.relay.head = null;
    world.nowMs += 60_001;
    expect(world.snapshot.freshness()).toBe('stale');
  });

  it('is not kept fresh by a clock that was set back', async () => {
    world.relay.head = current(world);
    await world.refresh();
    world.nowMs -= 600_000;
    expect([world.snapshot.freshness(), world.snapshot.refreshIsDue()]).toEqual(['stale', true]);
    world.relay.head = revoking(['fusebox~a'], { epoch: 2, asOfMs: START_MS + 1_000 });
    await world.refresh();
    expect([world.snapshot.freshness(), world.refusal('fusebox~a')]).toEqual(['fresh', 'session-revoked']);
  });

  it('is not made fresh again by what a clock that is ahead has said before', async () => {
    const ahead = current(world, { asOfMs: world.nowMs + 3_600_000 });
    for (const place of [world.relay, world.control, world.kv]) place.head = ahead;
    for (let seconds = 0; seconds <= 60; seconds += 20) {
      await world.refresh();
      world.nowMs += 20_001;
    }
    expect(world.snapshot.freshness()).toBe('stale');
  });
});

describe('whom the edge asks', () => {
  it('is its relay alone, while that one has what the control object confirmed', async () => {
    world.relay.head = current(world);
    world.control.head = current(world);
    await world.refresh();
    world.nowMs += 5_000;
    world.relay.head = current(world);
    await world.refresh();
    expect([world.relay.asked, world.control.asked]).toEqual([2, 0]);
  });

  it('is the control object where the relay is out of reach', async () => {
    world.relay.head = current(world);
    await world.refresh();
    world.nowMs += 6_000;
    world.relay.head = null;
    world.control.head = revoking(['fusebox~a'], { epoch: 2, asOfMs: world.nowMs });
    await world.refresh();
    expect(world.snapshot.freshness()).toBe('fresh');
    expect(world.refusal('fusebox~a')).toBe('session-revoked');
  });

  it('is the control object where the relay says nothing, and where it has not heard of it for long', async () => {
    world.relay.head = current(world);
    await world.refresh();
    for (const broken of [() => (world.relay.hangs = true), () => (world.relay.hangs = false)]) {
      broken();
      world.nowMs += 6_000;
      world.control.head = current(world);
      await world.refresh();
      expect(world.snapshot.freshness()).toBe('fresh');
    }
    expect(world.control.asked).toBe(2);
  });

  it('is KV after both, for content: its confirmation counts as what it says', async () => {
    world.relay.head = current(world);
    await world.refresh();
    world.nowMs += 30_000;
    world.relay.head = null;
    world.kv.head = revoking(['fusebox~a'], { epoch: 2, asOfMs: START_MS + 1_000 });
    await world.refresh();
    expect(world.refusal('fusebox~a')).toBe('session-revoked');
    expect(world.snapshot.ageMs()).toBe(29_000);
    expect(world.snapshot.freshness()).toBe('unconfirmed');
  });

  it('may be out of reach altogether: the copy is good until the maximum age, and then nothing passes', async () => {
    world.relay.head = current(world);
    await world.refresh();
    world.relay.head = null;
    world.nowMs += 60_000;
    await world.refresh();
    expect(world.snapshot.freshness()).toBe('unconfirmed');
    world.nowMs += 1;
    await world.refresh();
    expect(world.snapshot.freshness()).toBe('stale');
  });
});

describe('a cold isolate', () => {
  it('asks its relay and KV at once, and nobody else where one of them confirms', async () => {
    world.relay.head = current(world);
    await world.refresh();
    expect([world.relay.asked, world.kv.asked, world.control.asked]).toEqual([1, 1, 0]);
    expect(world.snapshot.freshness()).toBe('fresh');
  });

  it('serves by what KV has, where that is young enough and the relay is slow', async () => {
    world.relay.hangs = true;
    world.kv.head = current(world, { asOfMs: world.nowMs - 30_000 });
    await world.snapshot.refresh();
    expect(world.snapshot.freshness()).toBe('unconfirmed');
  });

  it('hears from the control object, where the relay is slow and KV is old', async () => {
    world.relay.hangs = true;
    world.kv.head = current(world, { asOfMs: world.nowMs - 3_600_000 });
    world.control.head = current(world);
    await world.snapshot.refresh();
    expect(world.snapshot.freshness()).toBe('fresh');
  });

  it('serves nothing by what KV has alone, where that is too old', async () => {
    world.kv.head = current(world, { asOfMs: world.nowMs - 60_001 });
    await world.refresh();
    expect(world.snapshot.epoch).toBe(1);
    expect(world.snapshot.freshness()).toBe('stale');
  });

  it('serves nothing where relay, KV and control object are down', async () => {
    await world.refresh();
    expect(world.snapshot.freshness()).toBe('stale');
    expect(world.snapshot.epoch).toBeNull();
    expect(world.control.asked).toBe(1);
  });
});

describe('what the edge adopts', () => {
  it('is never an older epoch, whoever has it: a head replayed, or KV rolled back', async () => {
    world.relay.head = revoking(['fusebox~a'], { epoch: 5 });
    await world.refresh();
    world.nowMs += 6_000;
    for (const place of [world.relay, world.control, world.kv]) place.head = current(world, { epoch: 4 });
    await world.refresh();
    expect(world.snapshot.epoch).toBe(5);
    expect(world.refusal('fusebox~a')).toBe('session-revoked');
    expect(world.snapshot.freshness()).toBe('unconfirmed');
    const refused = world.logged.filter(({ event }) => event === 'snapshot.refused');
    expect(refused.map(({ reason, source }) => `${String(source)}: ${String(reason)}`)).toEqual([
      'relay: older',
      'control: older',
      'kv: older',
    ]);
  });

  it('says who confirmed it, and once in a while who did not', async () => {
    world.relay.head = current(world);
    await world.refresh();
    expect(world.snapshot.health().confirmedBy).toBe('relay');
    world.relay.head = null;
    for (const laterMs of [6_000, 6_000]) {
      world.nowMs += laterMs;
      world.control.head = current(world);
      await world.refresh();
    }
    expect(world.snapshot.health().confirmedBy).toBe('control');
    expect(world.logged).toMatchObject([{ event: 'snapshot.source-missed', source: 'relay' }]);
  });

  it('is never an older confirmation', async () => {
    world.relay.head = current(world);
    await world.refresh();
    world.nowMs += 6_000;
    world.relay.head = current(world, { asOfMs: START_MS - 60_000 });
    await world.refresh();
    expect(world.snapshot.ageMs()).toBe(6_000);
  });

  it('is a later epoch also where its clock was set back, and the confirmation stays', async () => {
    world.relay.head = current(world);
    await world.refresh();
    world.nowMs += 1_500;
    world.relay.head = revoking(['fusebox~a'], { epoch: 2, asOfMs: START_MS - 3_600_000 });
    await world.refresh();
    expect(world.refusal('fusebox~a')).toBe('session-revoked');
    expect(world.snapshot.ageMs()).toBe(1_500);
  });

  it.each<[string, string, () => Promise<string> | string]>([
    ['unsigned', 'unsigned', () => 'nonsense'],
    ['signed by another key of the same name', 'unsigned', () => signHead(revoking(['fusebox~x']), strangers)],
    ['cut off', 'unsigned', async () => (await signHead(revoking(['fusebox~x']), keys)).slice(0, -8)],
    ['too large', 'too-large', () => 'x'.repeat(MAX_HEAD_BYTES + 1)],
    [
      'of another deployment',
      'other-deployment',
      () => signHead(revoking(['fusebox~x'], { deployment: 'other' }), keys),
    ],
    [
      'changed after it was signed',
      'unsigned',
      async () => {
        const [header, payload, signature] = (await signHead(headOf(), keys)).split('.');
        const changed = Buffer.from(payload ?? '', 'base64url')
          .toString()
          .replace('"epoch":1', '"epoch":9');
        return [header, Buffer.from(changed).toString('base64url'), signature].join('.');
      },
    ],
  ])('is no head that is %s; that is logged once', async (_what, reason, make) => {
    world.control.head = await make();
    await world.refresh();
    world.nowMs += STALE_RETRY_MS;
    await world.refresh();
    expect(world.control.asked).toBe(2);
    expect(world.snapshot.epoch).toBeNull();
    expect(world.logged).toEqual([{ event: 'snapshot.refused', reason, source: 'control', epoch: null }]);
  });
});

describe('what stands against a session', () => {
  it('is also what its object told this isolate, whatever the list says', () => {
    world.snapshot.learn('fusebox~b', { code: 'session-revoked', detail: 'tripped' });
    expect(world.refusal('fusebox~b')).toBe('session-revoked');
    expect(world.refusal('fusebox~c')).toBeNull();
  });

  it('leaves with its entry when the credential has expired', async () => {
    world.relay.head = revoking(['fusebox~a']);
    await world.refresh();
    expect(world.refusal('fusebox~a')).toBe('session-revoked');
    world.nowMs += 5_001;
    world.relay.head = current(world, { epoch: 2 });
    await world.refresh();
    expect(world.refusal('fusebox~a')).toBeNull();
  });
});

describe('a blob of revocations', () => {
  it('that takes in what heads carried until then does not let it go before it is here', async () => {
    const { head, bytes, name } = await withBlob('fusebox~a', 'fusebox~b');
    world.relay.head = revoking(['fusebox~a'], { asOfMs: world.nowMs });
    await world.refresh();
    world.nowMs += 5_001;
    world.relay.head = { ...head, epoch: 2, asOfMs: world.nowMs };
    await world.refresh();
    expect([world.snapshot.epoch, world.refusal('fusebox~a')]).toEqual([2, 'session-revoked']);
    world.nowMs += BLOB_RETRY_MS;
    world.kv.blobs.set(name, bytes);
    world.relay.head = { ...head, epoch: 2, asOfMs: world.nowMs };
    await world.refresh();
    expect([world.snapshot.health().revocations, world.refusal('fusebox~a')]).toEqual([2, 'session-revoked']);
  });

  it('is loaded in the background: nobody waits for it, and the head holds meanwhile', async () => {
    const { bytes, name, head } = await withBlob('fusebox~a');
    world.relay.head = { ...head, revoked: { ...head.revoked, recent: recent('fusebox~b') } };
    world.kv.blobs.set(name, bytes);
    await world.snapshot.refresh((work) => world.background.push(work));
    expect([world.refusal('fusebox~a'), world.refusal('fusebox~b')]).toEqual([null, 'session-revoked']);
    expect(world.snapshot.health().isListComplete).toBe(false);
    await Promise.all(world.background);
    expect(world.refusal('fusebox~a')).toBe('session-revoked');
    expect(world.snapshot.health()).toMatchObject({ isListComplete: true, revocations: 2 });
  });

  it.each<[string, (world: EdgeWorld, name: string, good: Uint8Array) => void]>([
    ['the relay where KV has none', ({ relay }, name, good) => relay.blobs.set(name, good)],
    ['the control object where neither has it', ({ control }, name, good) => control.blobs.set(name, good)],
    [
      'the relay where that of KV has another digest',
      ({ kv, relay }, name, good) => {
        kv.blobs.set(name, packDigests([digestOf('fusebox~other')]));
        relay.blobs.set(name, good);
      },
    ],
    [
      'the control object where both others are cut off',
      ({ kv, relay, control }, name, good) => {
        kv.blobs.set(name, good.slice(0, 8));
        relay.blobs.set(name, good.slice(0, 8));
        control.blobs.set(name, good);
      },
    ],
  ])('comes from %s', async (_where, place) => {
    const { bytes, name, head } = await withBlob('fusebox~a', 'fusebox~z');
    world.relay.head = head;
    place(world, name, bytes);
    await world.refresh();
    expect(world.refusal('fusebox~a')).toBe('session-revoked');
    expect(world.refusal('fusebox~other')).toBeNull();
  });

  it('is not adopted out of order, though its digest is right', async () => {
    const bytes = packDigests([digestOf('fusebox~a'), digestOf('fusebox~b')]);
    const swapped = new Uint8Array([...bytes.subarray(8), ...bytes.subarray(0, 8)]);
    const digest = await sha256(swapped);
    world.relay.head = headOf({ revoked: { blobs: [{ digest, count: 2 }], recent: '' } });
    world.kv.blobs.set(revokedBlobName(digest), swapped);
    await world.refresh();
    expect(world.snapshot.health()).toMatchObject({ isListComplete: false, revocations: 0 });
    expect(world.logged).toEqual([{ event: 'snapshot.blob-missing', digest }]);
  });

  it('comes from the relay where KV says nothing', async () => {
    const { bytes, name, head } = await withBlob('fusebox~a');
    world.relay.head = head;
    world.kv.hangs = true;
    world.relay.blobs.set(name, bytes);
    await world.refresh();
    expect(world.refusal('fusebox~a')).toBe('session-revoked');
  });

  it('is asked for again where its load was lost with the request that it ran under', async () => {
    const { bytes, name, head } = await withBlob('fusebox~a');
    world.relay.head = head;
    world.kv.hangs = true;
    await world.snapshot.refresh(() => undefined);
    world.kv.hangs = false;
    world.kv.blobs.set(name, bytes);
    world.nowMs += 20_000;
    world.relay.head = { ...head, asOfMs: world.nowMs };
    await world.refresh();
    expect(world.refusal('fusebox~a')).toBe('session-revoked');
  });
});

describe('a run-time policy', () => {
  const TEXT = 'version: 1';
  const adopted: (string | null)[] = [];
  const accepting = (): void => {
    adopted.length = 0;
    world.policy = {
      inForce: () => adopted.at(-1) ?? null,
      adopt: async (_text, digest) => adopted.push(digest) > 0,
    };
  };

  it('is put in force with the text that has its digest, and back to the deployed one', async () => {
    accepting();
    const policy = await sha256(new TextEncoder().encode(TEXT));
    world.kv.blobs.set(policyBlobName(policy), new TextEncoder().encode(TEXT));
    world.relay.head = current(world, { policy });
    await world.refresh();
    await world.refresh();
    expect(adopted).toEqual([policy]);
    world.nowMs += 6_000;
    world.relay.head = current(world, { epoch: 2 });
    await world.refresh();
    expect(adopted).toEqual([policy, null]);
  });

  it('that is bad does not keep the switches beside it from being adopted, and is read once', async () => {
    let read = 0;
    world.policy = {
      inForce: () => null,
      adopt: async () => {
        read += 1;
        throw new Error('not a policy');
      },
    };
    const policy = await sha256(new TextEncoder().encode(TEXT));
    world.kv.blobs.set(policyBlobName(policy), new TextEncoder().encode(TEXT));
    const switches = [{ level: 'global' as const, target: 'all', namespace: 'live' as const, untilMs: null }];
    for (let time = 0; time < 3; time += 1) {
      world.relay.head = current(world, { policy, switches });
      await world.refresh();
      world.nowMs += 5_001;
    }
    expect(world.refusal('fusebox~a')).toBe('kill-switch-active');
    expect(read).toBe(1);
    expect(world.snapshot.health().refusedPolicy).toBe(policy);
    world.relay.head = current(world, { epoch: 2, policy: null });
    await world.refresh();
    expect(world.snapshot.health().refusedPolicy).toBeNull();
    expect(world.logged.map(({ event }) => event)).toEqual(['snapshot.policy-failed', 'snapshot.policy-refused']);
  });

  it('that does not come holds nobody back, not even on a cold isolate', async () => {
    accepting();
    world.kv.hangs = true;
    world.relay.head = current(world, { policy: '0'.repeat(64) });
    await world.snapshot.refresh((work) => world.background.push(work));
    expect([world.snapshot.freshness(), adopted]).toEqual(['fresh', []]);
  });

  it('that comes late is not put in force where another is wanted by then', async () => {
    accepting();
    const policy = await sha256(new TextEncoder().encode(TEXT));
    world.kv.hangs = true;
    world.relay.blobs.set(policyBlobName(policy), new TextEncoder().encode(TEXT));
    world.relay.head = current(world, { policy });
    const late = world.refresh();
    while (world.snapshot.epoch === null) await new Promise((resolve) => setTimeout(resolve, 0));
    world.control.head = current(world, { epoch: 2, asOfMs: world.nowMs + 1 });
    await world.snapshot.catchUp();
    await late;
    expect([world.snapshot.epoch, adopted]).toEqual([2, []]);
  });

  it('that cannot be had is asked for again', async () => {
    accepting();
    const policy = await sha256(new TextEncoder().encode(TEXT));
    world.relay.head = current(world, { policy });
    await world.refresh();
    expect(adopted).toEqual([]);
    world.nowMs += 5_001;
    world.control.blobs.set(policyBlobName(policy), new TextEncoder().encode(TEXT));
    world.relay.head = current(world, { policy });
    await world.refresh();
    expect(adopted).toEqual([policy]);
  });
});

describe('many requests of one isolate', () => {
  it.each([
    ['one asks while the copy is fresh', 4_999, 1],
    ['a few ask while it is unconfirmed', 5_001, 4],
    ['all ask while it is too old to decide by', 60_001, 100],
  ])('%s', async (_what, ageMs, asks) => {
    world.relay.head = current(world);
    await world.refresh();
    world.relay.asked = 0;
    world.nowMs += ageMs;
    world.relay.head = current(world);
    await Promise.all(Array.from({ length: 100 }, () => world.snapshot.refresh()));
    expect(world.relay.asked).toBe(asks);
    expect(world.snapshot.freshness()).toBe('fresh');
  });

  it('are not held up by those that asked before, were cancelled and never ended', async () => {
    world.relay.head = current(world);
    await world.refresh();
    world.nowMs += 5_001;
    for (const place of [world.relay, world.control, world.kv]) place.hangs = true;
    for (let asks = 0; asks < 10; asks += 1) void world.snapshot.refresh();
    world.relay.hangs = false;
    world.nowMs += 1_000;
    world.relay.head = current(world);
    await world.refresh();
    expect(world.snapshot.freshness()).toBe('fresh');
  });

  it('that wake it together all wait for the news that some of them have asked for', async () => {
    world.relay.head = current(world);
    await world.refresh();
    world.nowMs += 20_000;
    world.relay.head = current(world, {
      epoch: 9,
      switches: [{ level: 'global', target: 'all', namespace: 'live', untilMs: null }],
    });
    const refusals = await Promise.all(
      Array.from({ length: 100 }, async () => {
        await world.snapshot.refresh();
        return world.refusal('fusebox~s');
      }),
    );
    expect(new Set(refusals)).toEqual(new Set(['kill-switch-active']));
  });

  it('do not each ask while nobody answers: what was just tried in vain is not tried again at once', async () => {
    await world.refresh();
    const asked = world.control.asked;
    await Promise.all(Array.from({ length: 100 }, () => world.snapshot.refresh()));
    expect(world.control.asked).toBe(asked);
    world.nowMs += STALE_RETRY_MS;
    world.control.head = current(world);
    await world.refresh();
    expect(world.snapshot.freshness()).toBe('fresh');
  });
});
