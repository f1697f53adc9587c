// How versions of the policy lie on disk: what happened, in the order in which it was heard of, and each text once.
import { MAX_POLICY_VERSIONS } from '../limits.ts';
import type { PolicyVersion } from '../rpc/policy-rpc.ts';
import { forgettable } from './policy-history.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS policy_history (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL, digest TEXT NOT NULL, at_ms INTEGER NOT NULL,
    by_whom TEXT NOT NULL, owner TEXT, reason TEXT NOT NULL
  );
  CREATE TABLE IF NOT EXISTS policy_texts (digest TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID;
`;

interface HistoryRow {
  [column: string]: SqlStorageValue;
  seq: number;
  kind: string;
  digest: string;
  at_ms: number;
  by_whom: string;
  owner: string | null;
  reason: string;
}

interface KeptVersion extends PolicyVersion {
  readonly seq: number;
}

export class PolicyStore {
  readonly #sql: SqlStorage;
  /** The head of the deployment asks for it each time that it is signed. */
  #history: readonly KeptVersion[] | null = null;

  constructor(storage: DurableObjectStorage) {
    this.#sql = storage.sql;
    this.#sql.exec(SCHEMA);
  }

  /** Oldest first. */
  history(): readonly KeptVersion[] {
    return (this.#history ??= this.#sql
      .exec<HistoryRow>('SELECT * FROM policy_history ORDER BY seq')
      .toArray()
      .map(versionOf));
  }

  /** Writes an event down, and forgets the oldest beyond the bound together with texts that nothing names. */
  add({ kind, digest, atMs, by, owner, reason }: PolicyVersion): void {
    this.#history = null;
    this.#sql.exec(
      'INSERT INTO policy_history (kind, digest, at_ms, by_whom, owner, reason) VALUES (?, ?, ?, ?, ?, ?)',
      kind,
      digest,
      atMs,
      by,
      owner,
      reason,
    );
    const forgotten = forgettable(this.history(), MAX_POLICY_VERSIONS);
    if (forgotten.length === 0) return;
    this.#history = null;
    for (const { seq } of forgotten) this.#sql.exec('DELETE FROM policy_history WHERE seq = ?', seq);
    this.#sql.exec('DELETE FROM policy_texts WHERE digest NOT IN (SELECT digest FROM policy_history)');
  }

  text(digest: string): string | null {
    const [row] = this.#sql.exec<{ text: string }>('SELECT text FROM policy_texts WHERE digest = ?', digest).toArray();
    return row?.text ?? null;
  }

  keepText(digest: string, text: string): void {
    this.#sql.exec('INSERT OR IGNORE INTO policy_texts (digest, text) VALUES (?, ?)', digest, text);
  }
}

const KINDS: readonly PolicyVersion['kind'][] = ['deploy', 'run-time', 'let-go'];

function versionOf({ seq, kind, digest, at_ms: atMs, by_whom: by, owner, reason }: HistoryRow): KeptVersion {
  const known = KINDS.find((one) => one === kind);
  if (known === undefined) throw new Error(`the history of the policy has an event of the unknown kind "${kind}"`);
  return { seq, kind: known, digest, atMs, by, owner, reason };
}
