// How an agent lies on disk: the index of its sessions, and its last revocation.
import type { AgentSession } from '../rpc/agent-rpc.ts';
import type { Act } from '../rpc/session-rpc.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS sessions (
    issuer TEXT NOT NULL, sid TEXT NOT NULL, until_ms INTEGER NOT NULL, pending INTEGER NOT NULL,
    PRIMARY KEY (issuer, sid)
  ) WITHOUT ROWID;
`;
const REVOCATION = 'revocation';

/** An agent's revocation: what it covers, and how far it has come. */
export interface RevocationRecord {
  readonly agent: string;
  readonly act: Act;
  readonly beforeMs: number;
  readonly untilMs: number;
  /** Live sessions that it found. */
  readonly sessions: number;
  /** Whether the control object has it. */
  readonly listed: boolean;
}

export class AgentStore {
  readonly #storage: DurableObjectStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    storage.sql.exec(SCHEMA);
  }

  get revocation(): RevocationRecord | null {
    return this.#storage.kv.get<RevocationRecord>(REVOCATION) ?? null;
  }

  set revocation(record: RevocationRecord) {
    this.#storage.kv.put(REVOCATION, record);
  }

  /** Adds a session or moves its end, never to an earlier one. */
  track({ issuer, sid, untilMs }: AgentSession): void {
    this.#storage.sql.exec(
      `INSERT INTO sessions VALUES (?, ?, ?, 0)
       ON CONFLICT DO UPDATE SET until_ms = max(until_ms, excluded.until_ms)`,
      issuer,
      sid,
      untilMs,
    );
  }

  /** Forgets those that ended before, also where they were never told of a revocation: nothing of them can be used. */
  forgetEnded(endedMs: number): void {
    this.#storage.sql.exec('DELETE FROM sessions WHERE until_ms < ?', endedMs);
  }

  /** Marks every live session as one that has to be told, and says how many there are. */
  markAll(nowMs: number): number {
    return this.#storage.sql.exec('UPDATE sessions SET pending = 1 WHERE until_ms > ?', nowMs).rowsWritten;
  }

  /** Some of those that still have to be told. Any: those that never answer must not stand before the others. */
  pending(limit: number): { readonly issuer: string; readonly sid: string }[] {
    return this.#storage.sql
      .exec<{ issuer: string; sid: string }>(
        'SELECT issuer, sid FROM sessions WHERE pending = 1 ORDER BY random() LIMIT ?',
        limit,
      )
      .toArray();
  }

  pendingCount(): number {
    return this.#storage.sql.exec<{ n: number }>('SELECT count(*) AS n FROM sessions WHERE pending = 1').one().n;
  }

  /** A session that has acknowledged its revocation needs no index any more: revocation is final. */
  forget({ issuer, sid }: { readonly issuer: string; readonly sid: string }): void {
    this.#storage.sql.exec('DELETE FROM sessions WHERE issuer = ? AND sid = ?', issuer, sid);
  }
}
