// Sessions of our own that are on the revocation list and whose objects have not been told yet, as they lie on disk.
import type { Act } from '../rpc/session-rpc.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS untold (name TEXT PRIMARY KEY, act TEXT NOT NULL) WITHOUT ROWID;
`;

export interface Untold {
  /** See `sessionName`. */
  readonly name: string;
  readonly act: Act;
}

export class UntoldStore {
  readonly #sql: SqlStorage;

  constructor(storage: DurableObjectStorage) {
    this.#sql = storage.sql;
    this.#sql.exec(SCHEMA);
  }

  add(names: readonly string[], act: Act): void {
    const text = JSON.stringify(act);
    for (const name of names) this.#sql.exec('INSERT OR IGNORE INTO untold VALUES (?, ?)', name, text);
  }

  /** In no order: those that fail must not keep their turn from the others. */
  some(limit: number): Untold[] {
    return this.#sql
      .exec<{ name: string; act: string }>('SELECT name, act FROM untold ORDER BY random() LIMIT ?', limit)
      .toArray()
      .map(({ name, act }) => ({ name, act: JSON.parse(act) as Act }));
  }

  isEmpty(): boolean {
    return this.#sql.exec('SELECT 1 FROM untold LIMIT 1').toArray().length === 0;
  }

  told(name: string): void {
    this.#sql.exec('DELETE FROM untold WHERE name = ?', name);
  }
}
