// What crosses between the Worker and an agent's object. Types only.
import type { Act } from './session-rpc.ts';

/** One session of an agent, and when the last of its credentials ends. */
export interface AgentSession {
  readonly issuer: string;
  readonly sid: string;
  readonly untilMs: number;
}

export interface AgentRevocationRequest {
  readonly agent: string;
  readonly act: Act;
  /** The last moment at which a credential issued until now can end, of sessions that were never seen here too. */
  readonly untilMs: number;
}

export interface AgentRevocation {
  /** Credentials issued until then are dead, milliseconds. */
  readonly beforeMs: number;
  /** Live sessions that this revocation found. */
  readonly sessions: number;
  /** Of those, how many of their objects have not acknowledged it yet: they are told until they have. */
  readonly pending: number;
  /** Whether the edges can hear of it: false while the control object has not acknowledged it. */
  readonly listed: boolean;
}

/** The methods that an agent's object serves. */
export interface AgentRpc {
  /** Takes a session into the index, or moves its end. Answers until when the agent's credentials were revoked. */
  track(session: AgentSession): Promise<{ readonly revokedBeforeMs: number | null }>;
  /** Revokes every session of the agent that exists now. Repeated, it goes on with what is pending. */
  revoke(request: AgentRevocationRequest): Promise<AgentRevocation>;
}
