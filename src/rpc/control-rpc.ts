// What crosses between the Worker (or a session's object) and the control object. Types only.
import type { AuditEntry } from '../audit/chain.ts';
import type { DrillRpc } from './drill-rpc.ts';
import type {
  LiftAnswer,
  Preview,
  PreviewRequest,
  PullAnswer,
  PulledSwitch,
  PullRequest,
  SwitchAct,
  SwitchName,
} from './kill-switch.ts';
import type { PolicyRpc } from './policy-rpc.ts';
import type { SignedHead } from './relay-rpc.ts';
import type { Act, AuditPage, SessionStatus } from './session-rpc.ts';

/** One session as the deployment's index knows it. */
export interface IndexedSession {
  readonly issuer: string;
  readonly sid: string;
  readonly agent: string;
  readonly customer: string | null;
  readonly segments: readonly string[];
  readonly scopes: readonly string[];
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

/** Every credential of an agent that was issued until `beforeMs` is dead. */
export interface RevokedAgent {
  readonly agent: string;
  readonly act: Act;
  readonly beforeMs: number;
  /** When the last of those credentials ends and the entry may leave the head. */
  readonly untilMs: number;
  /** Live sessions that its object found, for the log. */
  readonly sessions: number;
}

/** Revocations that go on the list alone: of credentials that were issued elsewhere, or too many to be told one by one. */
export interface RevocationImport {
  /** At most MAX_IMPORT_LINES. */
  readonly entries: readonly Omit<RevokedSession, 'act'>[];
  /** Of the list as it was sent, hex: whoever keeps it can show who was on it. */
  readonly sha256: string;
  readonly act: Act;
}

export type ImportAnswer =
  | { readonly imported: true; readonly epoch: number; readonly listed: number }
  /** The list would have more than MAX_REVOCATIONS; nothing was put on it. */
  | { readonly imported: false };

/** What the control object serves to edges and relays. */
export interface HeadRpc {
  /** The signed head as it stands. A relay says its name, so that changes are pushed to it. */
  head(request?: { readonly relay?: string }): Promise<SignedHead>;
  /** The bytes of a blob that a head names; null when there is none of that name. */
  blob(name: string): Promise<Uint8Array | null>;
}

/** The methods that the control object serves. */
export interface ControlRpc extends HeadRpc, PolicyRpc, DrillRpc {
  /** Adds a session to the index, or updates what it says. */
  record(session: IndexedSession): Promise<void>;
  list(request: SessionListRequest): Promise<SessionList>;
  /** Puts a session on the revocation list and publishes it. Idempotent. */
  revoke(session: RevokedSession): Promise<{ readonly epoch: number }>;
  /** Puts many sessions on the list at once, and tells no session's object. Idempotent. */
  revokeMany(revocations: RevocationImport): Promise<ImportAnswer>;
  /** Puts an agent's revocation into the head. Idempotent. `listed: false`: the head has no room for another one. */
  revokeAgent(agent: RevokedAgent): Promise<{ readonly listed: boolean; readonly epoch: number }>;
  /** The kill switches in force, of all namespaces. */
  switches(): Promise<readonly PulledSwitch[]>;
  pull(request: PullRequest): Promise<PullAnswer>;
  lift(name: SwitchName, act: SwitchAct): Promise<LiftAnswer>;
  /** What a switch would stop, were it pulled now. */
  preview(request: PreviewRequest): Promise<Preview>;
  /** Adds an entry to the deployment's log: what happened elsewhere and is for its auditors. */
  note(entry: AuditEntry): Promise<void>;
  /** The deployment's log; its first page signs what is on disk. */
  audit(request: { readonly cursor: string | null }): Promise<AuditPage>;
}
