// The Durable Object of one agent: the index of its sessions, and what is told to all of them. Never between a request and
// its session's answer.
import { DurableObject } from 'cloudflare:workers';
import {
  AGENT_ANSWER_TIMEOUT_MS,
  AGENT_REVOCATIONS_AT_ONCE,
  AGENT_REVOCATIONS_PER_TURN,
  AGENT_LIST_RETRY_MS,
  AGENT_RETRY_MS,
  AGENT_SESSION_KEPT_MS,
} from '../limits.ts';
import type { AgentRevocation, AgentRevocationRequest, AgentRpc, AgentSession } from '../rpc/agent-rpc.ts';
import { type ControlNamespace, controlClient } from '../rpc/control-client.ts';
import { within } from '../rpc/deadline.ts';
import { type SessionNamespace, sessionClient } from '../rpc/session-client.ts';
import { sessionName } from '../rpc/session-name.ts';
import { AgentStore, type RevocationRecord } from './agent-store.ts';

interface Env {
  readonly CONTROL: ControlNamespace;
  readonly SESSION: SessionNamespace;
}

export class AgentObject extends DurableObject<Env> implements AgentRpc {
  readonly #store: AgentStore;
  /** The control object has said that the head has no room for the revocation. */
  #headIsFull = false;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#store = new AgentStore(ctx.storage);
  }

  async track(session: AgentSession): Promise<{ revokedBeforeMs: number | null }> {
    this.#store.track(session);
    this.#store.forgetEnded(Date.now() - AGENT_SESSION_KEPT_MS);
    return { revokedBeforeMs: this.#store.revocation?.beforeMs ?? null };
  }

  /**
   * Written down first, so that it is carried out whatever happens next; then the edges are told, then the sessions. What
   * does not answer in this turn is told by the alarm.
   */
  async revoke({ agent, act, untilMs }: AgentRevocationRequest): Promise<AgentRevocation> {
    const beforeMs = Date.now();
    const sessions = this.#store.markAll(beforeMs);
    this.#store.revocation = { agent, act, beforeMs, untilMs, sessions, listed: false };
    await this.ctx.storage.setAlarm(beforeMs + AGENT_RETRY_MS);
    await this.#carryOn(AGENT_REVOCATIONS_PER_TURN);
    const { listed } = this.#store.revocation;
    return { beforeMs, sessions, pending: this.#store.pendingCount(), listed };
  }

  override async alarm(): Promise<void> {
    const done = await this.#carryOn(AGENT_REVOCATIONS_PER_TURN);
    if (done) return;
    // Room in the head comes as other revocations end.
    const isOnlyFull = this.#headIsFull && this.#store.pendingCount() === 0;
    await this.ctx.storage.setAlarm(Date.now() + (isOnlyFull ? AGENT_LIST_RETRY_MS : AGENT_RETRY_MS));
  }

  /** Tells the control object and at most `limit` sessions; true when nothing is left to be told. */
  async #carryOn(limit: number): Promise<boolean> {
    const { revocation } = this.#store;
    if (revocation === null) return true;
    this.#store.forgetEnded(Date.now() - AGENT_SESSION_KEPT_MS);
    const hasEnded = revocation.untilMs <= Date.now();
    const listed = revocation.listed || hasEnded || (await this.#list(revocation));
    const sessions = this.#store.pending(limit);
    for (let at = 0; at < sessions.length; at += AGENT_REVOCATIONS_AT_ONCE) {
      const some = sessions.slice(at, at + AGENT_REVOCATIONS_AT_ONCE);
      const told = await Promise.all(some.map(async (session) => this.#tell(session, revocation)));
      // Nobody of a whole group answered: leave the others to the alarm, which takes them in another order.
      if (!told.includes(true)) break;
    }
    return listed && this.#store.pendingCount() === 0;
  }

  async #list(revocation: RevocationRecord): Promise<boolean> {
    const { agent, act, beforeMs, untilMs, sessions } = revocation;
    try {
      const told = controlClient(this.env.CONTROL).revokeAgent({ agent, act, beforeMs, untilMs, sessions });
      const answer = await within(told, AGENT_ANSWER_TIMEOUT_MS);
      if (answer === null) throw new Error('no answer in time');
      this.#headIsFull = !answer.listed;
      if (!answer.listed) return false;
    } catch (error) {
      console.warn(JSON.stringify({ event: 'agent.list-failed', agent, error: String(error) }));
      this.#headIsFull = false;
      return false;
    }
    const current = this.#store.revocation;
    if (current?.beforeMs === beforeMs) this.#store.revocation = { ...current, listed: true };
    return true;
  }

  async #tell(session: { issuer: string; sid: string }, { agent, act }: RevocationRecord): Promise<boolean> {
    try {
      const told = sessionClient(this.env.SESSION, sessionName(session.issuer, session.sid)).revoke(act);
      if ((await within(told, AGENT_ANSWER_TIMEOUT_MS)) === null) throw new Error('no answer in time');
      this.#store.forget(session);
      return true;
    } catch (error) {
      console.warn(JSON.stringify({ event: 'agent.revoke-failed', agent, session: session.sid, error: String(error) }));
      return false;
    }
  }
}
