// The Durable Object of one relay: keeps nothing on disk, since what it would find there after a rest is too old to answer.
import { DurableObject } from 'cloudflare:workers';
import { type ControlNamespace, controlClient } from '../rpc/control-client.ts';
import { within } from '../rpc/deadline.ts';
import type { RelayRpc, SignedHead } from '../rpc/relay-rpc.ts';
import { type KvNamespace, snapshotKv } from '../snapshot/kv-client.ts';
import { Relay } from './relay.ts';

interface Env {
  readonly CONTROL: ControlNamespace;
  readonly SNAPSHOT: KvNamespace;
}

export class RelayObject extends DurableObject<Env> implements RelayRpc {
  readonly #relay: Relay;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#relay = new Relay({
      control: () => controlClient(env.CONTROL),
      kv: snapshotKv(env.SNAPSHOT),
      name: ctx.id.name ?? '',
      now: () => Date.now(),
      within,
    });
  }

  async head(request: { readonly confirmedWithinMs: number }): Promise<SignedHead | null> {
    return this.#relay.head(request);
  }

  async blob(name: string): Promise<Uint8Array | null> {
    return this.#relay.blob(name);
  }

  async push(head: SignedHead): Promise<void> {
    return this.#relay.push(head);
  }
}
