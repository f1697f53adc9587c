// An edge in a world that a test decides: what its relay, the control object and KV answer, how slowly, and what time it is.
import type { HeadRpc } from '../../src/rpc/control-rpc.ts';
import { within } from '../../src/rpc/deadline.ts';
import type { RelayRpc, SignedHead } from '../../src/rpc/relay-rpc.ts';
import type { KeyRing } from '../../src/signing/signing-keys.ts';
import type { Head } from '../../src/snapshot/head.ts';
import { signHead } from '../../src/snapshot/signed-head.ts';
import { EdgeSnapshot, type PolicyPort } from '../../src/snapshot/snapshot-client.ts';
import { callerOf, headOf, START_MS } from '../support/heads.ts';

/** What a place has: null where it is out of reach; `hangs` where it never answers. */
interface Place {
  /** A head to sign, or a text as it is. */
  head: Head | string | null;
  readonly blobs: Map<string, Uint8Array>;
  hangs: boolean;
  asked: number;
}

export interface EdgeWorld {
  readonly relay: Place;
  readonly control: Place;
  readonly kv: Place;
  nowMs: number;
  random: number;
  rules: { refreshMs: number; maxAgeMs: number };
  policy: PolicyPort;
  readonly logged: Readonly<Record<string, unknown>>[];
  readonly snapshot: EdgeSnapshot;
  /** What was begun in the background. */
  readonly background: Promise<unknown>[];
  /** Refreshes, and waits for what that began. */
  refresh(): Promise<void>;
  /** Why a session is refused. */
  refusal(name: string): string | null;
}

const place = (): Place => ({ head: null, blobs: new Map(), hangs: false, asked: 0 });

export function edgeWorld(keys: KeyRing): EdgeWorld {
  const world = {
    relay: place(),
    control: place(),
    kv: place(),
    nowMs: START_MS,
    random: 0,
    rules: { refreshMs: 5_000, maxAgeMs: 60_000 },
    policy: { inForce: () => null, adopt: async () => false } satisfies PolicyPort as PolicyPort,
    logged: [] as Readonly<Record<string, unknown>>[],
    background: [] as Promise<unknown>[],
  };
  const headAt = async (at: Place): Promise<string | null> => {
    at.asked += 1;
    if (at.hangs) return new Promise(() => undefined);
    return at.head === null || typeof at.head === 'string' ? at.head : signHead(at.head, keys);
  };
  const rpcAt = (at: Place): HeadRpc & Pick<RelayRpc, 'head' | 'blob'> => ({
    async head(): Promise<SignedHead> {
      const head = await headAt(at);
      if (head === null) throw new Error('out of reach');
      return { head, epoch: 0, asOfMs: 0 };
    },
    async blob(name) {
      if (at.hangs) return new Promise(() => undefined);
      return at.blobs.get(name) ?? null;
    },
  });
  const snapshot = new EdgeSnapshot({
    relay: () => rpcAt(world.relay),
    control: () => rpcAt(world.control),
    kv: {
      head: () => headAt(world.kv),
      blob: async (name) =>
        world.kv.hangs ? new Promise(() => undefined) : (world.kv.blobs.get(name)?.slice().buffer ?? null),
    },
    keys,
    deployment: 'fusebox',
    rules: () => world.rules,
    policy: { inForce: () => world.policy.inForce(), adopt: (text, digest) => world.policy.adopt(text, digest) },
    now: () => world.nowMs,
    random: () => world.random,
    // Long enough for whatever answers at all.
    within: (answer) => within(answer, 20),
    log: (entry) => world.logged.push(entry),
  });
  return Object.assign(world, {
    snapshot,
    async refresh() {
      await snapshot.refresh((work) => world.background.push(work));
      await Promise.race([Promise.all(world.background), new Promise((resolve) => setTimeout(resolve, 50))]);
    },
    refusal: (name: string) => snapshot.verdict(callerOf(name), { feature: null, namespace: 'live' })?.code ?? null,
  });
}

/** The head of now, at a place that has it. */
export function current(world: EdgeWorld, more: Partial<Head> = {}): Head {
  return headOf({ asOfMs: world.nowMs, ...more });
}
