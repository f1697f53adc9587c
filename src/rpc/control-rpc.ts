// What crosses between the Worker (or a session's object) and the control object. Types only.
import type { Act, SessionStatus } from './session-rpc.ts';

/** One session as the deployment's index knows it. */
export interface IndexedSession {
  readonly issuer: string;
  readonly sid: string;
  readonly agent: string;
  readonly customer: string | null;
  readonly createdAtMs: number;
  readonly expiresAtMs: number;
  /** The last status reported; expiry by time is applied when listing. */
  readonly status: SessionStatus;
}

export interface SessionListRequest {
  readonly agent: string | null;
  readonly status: SessionStatus | null;
  readonly cursor: string | null;
  readonly limit: number;
}

export interface SessionList {
  readonly sessions: readonly IndexedSession[];
  readonly nextCursor: string | null;
}

export interface RevokedSession {
  readonly issuer: string;
  readonly sid: string;
  /** When the credential's life ends and the entry may leave the list. */
  readonly untilMs: number;
  readonly act: Act;
}

/** The methods that the control object serves. */
export interface ControlRpc {
  /** Adds a session to the index, or updates what it says. */
  record(session: IndexedSession): Promise<void>;
  list(request: SessionListRequest): Promise<SessionList>;
  /** Puts a session on the revocation list and publishes it. Idempotent. */
  revoke(session: RevokedSession): Promise<{ readonly epoch: number }>;
  /** The signed head as it stands, with the time at which the control object says so. */
  head(): Promise<{ readonly head: string }>;
}
