// The control object's log on disk: appended and chained in one synchronous turn with whatever else that turn writes.
// Signs nothing by itself, and knows nothing of what the entries mean.
import { type AuditEntry, type ChainHead, genesis, link, type LogName } from '../audit/chain.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS audit_rows (seq INTEGER PRIMARY KEY, hash TEXT NOT NULL, line TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS audit_checkpoints (seq INTEGER PRIMARY KEY, line TEXT NOT NULL);
`;

export class LogStore {
  readonly name: LogName;
  readonly #sql: SqlStorage;

  constructor(storage: DurableObjectStorage, name: LogName) {
    this.name = name;
    this.#sql = storage.sql;
    this.#sql.exec(SCHEMA);
  }

  /** Adds a row. It is part of the caller's turn: what a transaction rolls back takes its rows along. */
  append(entry: AuditEntry, atMs: number): void {
    const { head, line } = link(this.head, entry, atMs);
    this.#sql.exec('INSERT INTO audit_rows (seq, hash, line) VALUES (?, ?, ?)', head.seq, head.hash, line);
  }

  /** Read from disk each time: memory would run ahead of a transaction that was rolled back. */
  get head(): ChainHead {
    const [last] = this.#sql
      .exec<{ seq: number; hash: string }>('SELECT seq, hash FROM audit_rows ORDER BY seq DESC LIMIT 1')
      .toArray();
    return last ?? genesis(this.name);
  }
}
