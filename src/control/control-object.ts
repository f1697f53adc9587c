// The Durable Object of the deployment: the index of sessions and the revocation list, published as a signed head.
// Never on the path of a data-plane request.
import { DurableObject } from 'cloudflare:workers';
import { readSigningKeys } from '../signing/signing-keys.ts';
import { sessionName } from '../rpc/session-name.ts';
import {
  HEAD_MAX_REUSE_MS,
  PREVIEW_WINDOW_MS,
  PUBLISH_EVERY_MS,
  PUBLISH_RETRY_MS,
  REVOCATION_SWEEP_MS,
} from '../limits.ts';
import type {
  ControlRpc,
  IndexedSession,
  RevokedAgent,
  RevokedSession,
  SessionList,
  SessionListRequest,
} from '../rpc/control-rpc.ts';
import { deploymentIdOf } from '../snapshot/deployment.ts';
import { signHead } from '../snapshot/signed-head.ts';
import { HEAD_KEY } from '../snapshot/snapshot-client.ts';
import { digestOf, packDigests } from '../snapshot/snapshot.ts';
import type {
  LiftAnswer,
  Preview,
  PreviewRequest,
  PullAnswer,
  PulledSwitch,
  PullRequest,
  SwitchAct,
  SwitchName,
} from '../rpc/kill-switch.ts';
import { type SessionNamespace, sessionClient } from '../rpc/session-client.ts';
import { controlLog } from '../audit/chain.ts';
import { ControlStore } from './control-store.ts';
import { KillSwitchRegister } from './kill-switch-register.ts';
import { LogStore } from './log-store.ts';
import { preview } from './preview.ts';
import { RevokedAgentStore } from './revoked-agent-store.ts';
import { SwitchStore } from './switch-store.ts';

interface Env {
  readonly SESSION_SIGNING_KEYS?: string;
  readonly DEPLOYMENT_ID?: string;
  readonly ISSUER?: string;
  readonly SESSION: SessionNamespace;
  readonly SNAPSHOT: { put(key: string, value: string): Promise<void> };
}

export class ControlObject extends DurableObject<Env> implements ControlRpc {
  readonly #store: ControlStore;
  /** Appends in the turn of what it tells of, so that neither is on disk without the other. */
  readonly #log: LogStore;
  readonly #switches: KillSwitchRegister;
  readonly #agents: RevokedAgentStore;
  #signed: { readonly head: string; readonly epoch: number; readonly asOfMs: number } | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#store = new ControlStore(ctx.storage);
    this.#log = new LogStore(ctx.storage, controlLog(deploymentIdOf({ ...env })));
    this.#agents = new RevokedAgentStore(ctx.storage);
    this.#switches = new KillSwitchRegister({
      store: new SwitchStore(ctx.storage),
      log: this.#log,
      changed: () => this.#changed(),
    });
  }

  async record(session: IndexedSession): Promise<void> {
    this.#store.recordSession(session);
  }

  async list(request: SessionListRequest): Promise<SessionList> {
    return this.#store.listSessions(request, Date.now());
  }

  async revoke(session: RevokedSession): Promise<{ epoch: number }> {
    const now = Date.now();
    if (session.untilMs > now) {
      const { issuer, sid, act } = session;
      if (this.#store.addRevocation(session, now)) {
        this.#log.append({ event: 'session.revoked', session: sessionName(issuer, sid), ...act }, now);
      }
      // Also where it was listed already: whoever asks again may do so because this object died before it came to this.
      await this.#wakeBy(now + PUBLISH_EVERY_MS);
    }
    return { epoch: this.#store.epoch };
  }

  async revokeAgent({ agent, act, beforeMs, untilMs, sessions }: RevokedAgent): Promise<{ epoch: number }> {
    const now = Date.now();
    if (untilMs <= now) return { epoch: this.#store.epoch };
    const added = this.#agents.add({ agent, beforeMs, untilMs }, now);
    if (added === 'full') throw new Error('the head has no room for another revoked agent');
    if (added === 'known') return { epoch: this.#store.epoch };
    this.#log.append({ event: 'agent.revoked', agent, sessions, ...act }, now);
    return { epoch: this.#changed() };
  }

  async switches(): Promise<readonly PulledSwitch[]> {
    return this.#switches.list(Date.now());
  }

  async pull(request: PullRequest): Promise<PullAnswer> {
    return this.#switches.pull(request, Date.now());
  }

  async lift(name: SwitchName, act: SwitchAct): Promise<LiftAnswer> {
    return this.#switches.lift(name, act, Date.now());
  }

  async preview(request: PreviewRequest): Promise<Preview> {
    return preview(request, {
      live: this.#store.liveSessions(Date.now()),
      spent: ({ issuer, sid }, routes) =>
        sessionClient(this.env.SESSION, sessionName(issuer, sid)).spent({ withinMs: PREVIEW_WINDOW_MS, routes }),
    });
  }

  async head(): Promise<{ head: string }> {
    return { head: await this.#head() };
  }

  /** Publishes the list to KV, at most once a second: KV takes one write per second and key. */
  override async alarm(): Promise<void> {
    let nextMs = Date.now() + REVOCATION_SWEEP_MS;
    try {
      this.#store.dropExpired(Date.now());
      await this.env.SNAPSHOT.put(HEAD_KEY, await this.#head());
    } catch (error) {
      console.warn(JSON.stringify({ event: 'snapshot.publish-failed', error: String(error) }));
      nextMs = Date.now() + PUBLISH_RETRY_MS;
    } finally {
      await this.#wakeBy(nextMs);
    }
  }

  /** What the head carries has changed: moves the epoch and has it published. */
  #changed(): number {
    const epoch = this.#store.moveEpoch();
    void this.#wakeBy(Date.now() + PUBLISH_EVERY_MS);
    return epoch;
  }

  /** Moves the alarm earlier, never later: a flood of revocations must not put off their publication. */
  async #wakeBy(atMs: number): Promise<void> {
    const armedMs = await this.ctx.storage.getAlarm();
    if (armedMs === null || armedMs > atMs) await this.ctx.storage.setAlarm(atMs);
  }

  /** The head as of now; one signature serves everybody who asks within a moment, unless the list has changed. */
  async #head(): Promise<string> {
    const now = Date.now();
    const { epoch } = this.#store;
    if (this.#signed !== null && this.#signed.epoch === epoch && now - this.#signed.asOfMs < HEAD_MAX_REUSE_MS) {
      return this.#signed.head;
    }
    const keys = await readSigningKeys(this.env.SESSION_SIGNING_KEYS ?? '');
    if (!keys.ok) throw new Error(`SESSION_SIGNING_KEYS: ${keys.reason}`);
    const revoked = packDigests(this.#store.revoked().map(({ issuer, sid }) => digestOf(sessionName(issuer, sid))));
    const deployment = deploymentIdOf({ ...this.env });
    const head = await signHead({ version: 1, deployment, epoch, asOfMs: now, revoked }, keys.keys);
    this.#signed = { head, epoch, asOfMs: now };
    return head;
  }
}
