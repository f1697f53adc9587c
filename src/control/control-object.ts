// The Durable Object of the deployment: the index of sessions, what is in force everywhere (the revocation list, kill
// switches, the policy), published as a signed head, and the log of what operators did.
// Never on the path of a data-plane request.
import { DurableObject } from 'cloudflare:workers';
import { loadSigningKeys } from '../signing/signing-keys.ts';
import { sessionName } from '../rpc/session-name.ts';
import {
  CHECKPOINT_EVERY_MS,
  INDEX_SWEEP_AGAIN_MS,
  MAX_LOG_LINES_PER_PAGE,
  PREVIEW_ANSWER_TIMEOUT_MS,
  PREVIEW_WINDOW_MS,
  PUBLISH_EVERY_MS,
  PUBLISH_RETRY_MS,
  REVOCATION_SWEEP_MS,
  UNTOLD_ANSWER_TIMEOUT_MS,
  UNTOLD_AT_ONCE,
  UNTOLD_PER_TURN,
  UNTOLD_RETRY_MS,
} from '../limits.ts';
import type {
  ControlRpc,
  ImportAnswer,
  IndexedSession,
  RevocationImport,
  RevokedAgent,
  RevokedSession,
  SessionList,
  SessionListRequest,
} from '../rpc/control-rpc.ts';
import type { DeployedFile, PolicyState, PolicyVersion, SetPolicy } from '../rpc/policy-rpc.ts';
import { within } from '../rpc/deadline.ts';
import { isRelayName } from '../rpc/region.ts';
import { relayClient, type RelayNamespace } from '../rpc/relay-client.ts';
import type { SignedHead } from '../rpc/relay-rpc.ts';
import { deploymentIdOf, issuerOf } from '../deployment.ts';
import { digestOf } from '../snapshot/digest64.ts';
import type { DrillBegin, DrillReport, DrillRpc } from '../rpc/drill-rpc.ts';
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
import type { Act, AuditPage, SignedRow } from '../rpc/session-rpc.ts';
import { type SessionNamespace, sessionClient } from '../rpc/session-client.ts';
import { type AuditEntry, controlLog } from '../audit/chain.ts';
import { ControlStore } from './control-store.ts';
import { HeadStore } from './head-store.ts';
import { DrillRegister } from './drill-register.ts';
import { DrillStore } from './drill-store.ts';
import { KillSwitchRegister } from './kill-switch-register.ts';
import { LogStore } from './log-store.ts';
import { PolicyRegister } from './policy-register.ts';
import { PolicyStore } from './policy-store.ts';
import { preview } from './preview.ts';
import { Publication, type PublishedKv } from './publication-client.ts';
import { RevocationStore } from './revocation-store.ts';
import { RevokedAgentStore } from './revoked-agent-store.ts';
import { SwitchStore } from './switch-store.ts';
import { UntoldStore } from './untold-store.ts';

interface Env {
  readonly SESSION_SIGNING_KEYS?: string;
  readonly DEPLOYMENT_ID?: string;
  readonly ISSUER?: string;
  readonly SESSION: SessionNamespace;
  readonly RELAY: RelayNamespace;
  readonly SNAPSHOT: PublishedKv;
}

export class ControlObject extends DurableObject<Env> implements ControlRpc {
  readonly #store: ControlStore;
  /** Appends in the turn of what it tells of, so that neither is on disk without the other. */
  readonly #log: LogStore;
  readonly #switches: KillSwitchRegister;
  readonly #agents: RevokedAgentStore;
  readonly #untold: UntoldStore;
  readonly #drills: DrillRegister;
  readonly #policies: PolicyRegister;
  readonly #revocations: RevocationStore;
  readonly #publication: Publication;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#store = new ControlStore(ctx.storage);
    this.#log = new LogStore(
      ctx.storage,
      controlLog(deploymentIdOf({ ...env })),
      () => void this.#wakeBy(Date.now() + CHECKPOINT_EVERY_MS),
    );
    this.#agents = new RevokedAgentStore(ctx.storage);
    this.#untold = new UntoldStore(ctx.storage);
    this.#switches = new KillSwitchRegister({
      store: new SwitchStore(ctx.storage),
      log: this.#log,
      changed: () => this.#changed(),
    });
    this.#policies = new PolicyRegister({
      store: new PolicyStore(ctx.storage),
      log: this.#log,
      changed: () => void this.#changed(),
    });
    this.#drills = new DrillRegister({
      store: new DrillStore(ctx.storage),
      log: this.#log,
      changed: () => this.#changed(),
    });
    this.#revocations = new RevocationStore(ctx.storage, Date.now());
    this.#publication = new Publication({
      deployment: deploymentIdOf({ ...env }),
      revocations: this.#revocations,
      heads: new HeadStore(ctx.storage),
      parts: {
        switches: (nowMs) => this.#switches.forHead(nowMs),
        agents: (nowMs) => this.#agents.all(nowMs),
        policy: () => this.#policies.runTimeDigest(),
        deployed: () => this.#policies.deployedDigest(),
        policyText: (digest) => this.#policies.text(digest),
        drill: () => this.#drills.forHead(),
      },
      kv: env.SNAPSHOT,
      relay: (name) => relayClient(env.RELAY, name),
      keys: () => loadSigningKeys(env.SESSION_SIGNING_KEYS ?? ''),
      now: () => Date.now(),
    });
  }

  async record(session: IndexedSession): Promise<void> {
    if (!this.#store.recordSession(session)) return;
    const { issuer, sid, agent, customer } = session;
    this.#log.append({ event: 'session.created', session: sessionName(issuer, sid), agent, customer }, Date.now());
  }

  async list(request: SessionListRequest): Promise<SessionList> {
    return this.#store.listSessions(request, Date.now());
  }

  async revoke({ issuer, sid, untilMs, act }: RevokedSession): Promise<{ epoch: number }> {
    const now = Date.now();
    if (untilMs <= now) return { epoch: this.#publication.epoch };
    const session = sessionName(issuer, sid);
    const added = this.#revocations.add([{ digest: digestOf(session), untilMs }], now);
    // The session's own object refuses it all the same; the edges do not know of it earlier, that is all.
    if (added === null) console.error(JSON.stringify({ event: 'revocations.full', session }));
    else if (added > 0) this.#log.append({ event: 'session.revoked', session, ...act }, now);
    // Also where it was listed already: whoever asks again may do so because this object died before it came to this.
    return { epoch: this.#changed() };
  }

  async revokeMany({ entries, sha256, act }: RevocationImport): Promise<ImportAnswer> {
    const now = Date.now();
    const listed = this.#revocations.add(
      entries.map(({ issuer, sid, untilMs }) => ({ digest: digestOf(sessionName(issuer, sid)), untilMs })),
      now,
    );
    if (listed === null) return { imported: false };
    const own = entries.filter(({ issuer }) => issuer === issuerOf({ ...this.env }));
    this.#untold.add(
      own.map(({ issuer, sid }) => sessionName(issuer, sid)),
      act,
    );
    this.#log.append({ event: 'revocations.imported', entries: entries.length, listed, sha256, ...act }, now);
    return { imported: true, epoch: this.#changed(), listed };
  }

  async revokeAgent({
    agent,
    act,
    beforeMs,
    untilMs,
    sessions,
  }: RevokedAgent): Promise<{ listed: boolean; epoch: number }> {
    const now = Date.now();
    const { epoch } = this.#publication;
    if (untilMs <= now) return { listed: true, epoch };
    const added = this.#agents.add({ agent, beforeMs, untilMs }, now);
    if (added === 'full') console.error(JSON.stringify({ event: 'agents.full', agent }));
    if (added !== 'added') return { listed: added === 'known', epoch };
    this.#log.append({ event: 'agent.revoked', agent, sessions, ...act }, now);
    return { listed: true, epoch: this.#changed() };
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
        within(
          sessionClient(this.env.SESSION, sessionName(issuer, sid)).spent({ withinMs: PREVIEW_WINDOW_MS, routes }),
          PREVIEW_ANSWER_TIMEOUT_MS,
        ),
    });
  }

  async policyState(): Promise<PolicyState> {
    return this.#policies.state();
  }

  async policyVersions(): Promise<readonly PolicyVersion[]> {
    return this.#policies.versions();
  }

  async policyText(digest: string): Promise<string | null> {
    return this.#policies.text(digest);
  }

  async setPolicy(request: SetPolicy): Promise<PolicyState> {
    return this.#policies.set(request, Date.now());
  }

  async policyDeployed(file: DeployedFile): Promise<{ wanted: boolean }> {
    return { wanted: this.#policies.deployed(file, Date.now()) };
  }

  async keepDeployedPolicy(text: string): Promise<void> {
    this.#policies.keep(text);
  }

  async beginDrill(drill: Parameters<DrillRpc['beginDrill']>[0]): Promise<DrillBegin> {
    return this.#drills.begin(drill, Date.now());
  }

  async drillEvents(id: string): Promise<readonly string[]> {
    return this.#drills.events(id, Date.now());
  }

  async finishDrill(drill: Parameters<DrillRpc['finishDrill']>[0]): Promise<void> {
    this.#drills.finish(drill, Date.now());
  }

  async drills(): Promise<readonly DrillReport[]> {
    return this.#drills.list();
  }

  async drill(id: string): Promise<DrillReport | null> {
    return this.#drills.find(id);
  }

  async signOffDrill(signed: Parameters<DrillRpc['signOffDrill']>[0]): Promise<DrillReport | null> {
    return this.#drills.signOff(signed, Date.now());
  }

  async note(entry: AuditEntry): Promise<void> {
    this.#log.append(entry, Date.now());
  }

  async audit({ cursor }: { readonly cursor: string | null }): Promise<AuditPage> {
    const first = cursor === null ? { signed: await this.#vouch() } : {};
    return { ...first, ...this.#log.page({ cursor, limit: MAX_LOG_LINES_PER_PAGE }) };
  }

  async head(request: { readonly relay?: string } = {}): Promise<SignedHead> {
    if (request.relay !== undefined && isRelayName(request.relay)) this.#publication.asked(request.relay);
    const { head, epoch, asOfMs } = await this.#publication.head();
    return { head, epoch, asOfMs };
  }

  async blob(name: string): Promise<Uint8Array | null> {
    return this.#publication.blob(name);
  }

  /** Tidies up and publishes to KV, at most once a second: KV takes one write per second and key. */
  override async alarm(): Promise<void> {
    const now = Date.now();
    let nextMs = now + REVOCATION_SWEEP_MS;
    try {
      this.#switches.dropEnded(now);
      nextMs = Math.min(nextMs, this.#switches.nextEndMs());
      this.#agents.dropEnded(now);
      this.#drills.alertOverdue(now);
      this.#revocations.dropExpired(now);
      if (this.#store.dropOld(now)) nextMs = Math.min(nextMs, now + INDEX_SWEEP_AGAIN_MS);
      if (this.#store.isFull()) console.error(JSON.stringify({ event: 'index.full', alert: true }));
      await this.#signLog();
      await this.#publication.publish();
      if (!(await this.#tellRevoked())) nextMs = Math.min(nextMs, Date.now() + UNTOLD_RETRY_MS);
    } catch (error) {
      console.warn(JSON.stringify({ event: 'snapshot.publish-failed', error: String(error) }));
      nextMs = Date.now() + PUBLISH_RETRY_MS;
    } finally {
      await this.#wakeBy(nextMs);
    }
  }

  /**
   * Tells the objects of our own sessions what was put on the list in bulk: the list forgets, a session does not. True when
   * nobody is left to be told.
   */
  async #tellRevoked(): Promise<boolean> {
    const untold = this.#untold.some(UNTOLD_PER_TURN);
    for (let at = 0; at < untold.length; at += UNTOLD_AT_ONCE) {
      const some = untold.slice(at, at + UNTOLD_AT_ONCE);
      const told = await Promise.all(some.map(({ name, act }) => this.#tell(name, act)));
      if (!told.includes(true)) return false;
    }
    return this.#untold.isEmpty();
  }

  /** False when the session's object failed or did not answer in time: it is told again in another turn. */
  async #tell(name: string, act: Act): Promise<boolean> {
    try {
      const answer = await within(sessionClient(this.env.SESSION, name).revoke(act), UNTOLD_ANSWER_TIMEOUT_MS);
      if (answer === null) return false;
      this.#untold.told(name);
      return true;
    } catch {
      return false;
    }
  }

  async #vouch(): Promise<SignedRow> {
    return this.#log.vouch(await loadSigningKeys(this.env.SESSION_SIGNING_KEYS ?? ''), Date.now());
  }

  async #signLog(): Promise<void> {
    await this.#log.sign(await loadSigningKeys(this.env.SESSION_SIGNING_KEYS ?? ''), Date.now());
  }

  /** What the head carries has changed: has it published, and says its epoch. */
  #changed(): number {
    void this.#wakeBy(Date.now() + PUBLISH_EVERY_MS);
    return this.#publication.changed();
  }

  /** Moves the alarm earlier, never later: a flood of revocations must not put off their publication. */
  async #wakeBy(atMs: number): Promise<void> {
    const armedMs = await this.ctx.storage.getAlarm();
    if (armedMs === null || armedMs > atMs) await this.ctx.storage.setAlarm(atMs);
  }
}
