// How revoked agents lie on disk: until when their credentials are dead, and when the last of those ends.
import { MAX_REVOKED_AGENTS } from '../limits.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS revoked_agents (
    agent TEXT PRIMARY KEY, before_ms INTEGER NOT NULL, until_ms INTEGER NOT NULL
  ) WITHOUT ROWID;
`;

export interface AgentEntry {
  readonly agent: string;
  readonly beforeMs: number;
  readonly untilMs: number;
}

export class RevokedAgentStore {
  readonly #sql: SqlStorage;

  constructor(storage: DurableObjectStorage) {
    this.#sql = storage.sql;
    this.#sql.exec(SCHEMA);
  }

  /** Those whose credentials can still be alive. */
  all(nowMs: number): AgentEntry[] {
    return this.#sql
      .exec<{ agent: string; before_ms: number; until_ms: number }>(
        'SELECT agent, before_ms, until_ms FROM revoked_agents WHERE until_ms > ? ORDER BY agent',
        nowMs,
      )
      .toArray()
      .map(({ agent, before_ms: beforeMs, until_ms: untilMs }) => ({ agent, beforeMs, untilMs }));
  }

  /** `known`: a revocation at least as late is there already. `full`: the head carries `MAX_REVOKED_AGENTS`. */
  add({ agent, beforeMs, untilMs }: AgentEntry, nowMs: number): 'added' | 'known' | 'full' {
    const others = this.all(nowMs).filter((entry) => entry.agent !== agent);
    const known = this.all(nowMs).find((entry) => entry.agent === agent);
    if (known !== undefined && known.beforeMs >= beforeMs) return 'known';
    if (others.length >= MAX_REVOKED_AGENTS) return 'full';
    this.#sql.exec(
      `INSERT INTO revoked_agents VALUES (?, ?, ?)
       ON CONFLICT DO UPDATE SET before_ms = excluded.before_ms, until_ms = max(until_ms, excluded.until_ms)`,
      agent,
      beforeMs,
      untilMs,
    );
    return 'added';
  }

  /** True where any was dropped. */
  dropEnded(nowMs: number): boolean {
    return this.#sql.exec('DELETE FROM revoked_agents WHERE until_ms <= ?', nowMs).rowsWritten > 0;
  }
}
