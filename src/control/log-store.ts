// The control object's log on disk: appended and chained in one synchronous turn with whatever else that turn writes, and
// signed when it is asked to. Knows nothing of what the entries mean.
import { type AuditEntry, type ChainHead, genesis, link, type LogName } from '../audit/chain.ts';
import { signCheckpoint } from '../audit/checkpoint.ts';
import { checkpointLine } from '../audit/log-format.ts';
import type { AuditPage, SignedRow } from '../rpc/session-rpc.ts';
import type { KeyRing } from '../signing/signing-keys.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS audit_rows (seq INTEGER PRIMARY KEY, hash TEXT NOT NULL, line TEXT NOT NULL);
  CREATE TABLE IF NOT EXISTS audit_checkpoints (seq INTEGER PRIMARY KEY, line TEXT NOT NULL);
`;

const NAME = 'log-name';

export class LogStore {
  /** As the first row was chained to it, whatever the deployment is called by now. */
  readonly name: LogName;
  readonly #storage: DurableObjectStorage;
  readonly #wake: () => void;
  /** Or not known to be otherwise: the first row of an incarnation always wakes. */
  #isSigned = true;

  /** `wake` is called with the first row after a signature: there is something to sign. */
  constructor(storage: DurableObjectStorage, name: LogName, wake: () => void = () => undefined) {
    this.#storage = storage;
    this.#wake = wake;
    storage.sql.exec(SCHEMA);
    this.name = storage.kv.get<LogName>(NAME) ?? name;
  }

  /** Adds a row. It is part of the caller's turn: what a transaction rolls back takes its rows along. */
  append(entry: AuditEntry, atMs: number): void {
    const before = this.head;
    if (before.seq === 0) this.#storage.kv.put(NAME, this.name);
    const { head, line } = link(before, entry, atMs);
    this.#storage.sql.exec('INSERT INTO audit_rows (seq, hash, line) VALUES (?, ?, ?)', head.seq, head.hash, line);
    if (this.#isSigned) this.#wake();
    this.#isSigned = false;
  }

  /** Read from disk each time: memory would run ahead of a transaction that was rolled back. */
  get head(): ChainHead {
    const [last] = this.#storage.sql
      .exec<{ seq: number; hash: string }>('SELECT seq, hash FROM audit_rows ORDER BY seq DESC LIMIT 1')
      .toArray();
    return last ?? genesis(this.name);
  }

  /** Signs the log as far as it is on disk, unless that is signed already. */
  async sign(keys: KeyRing, atMs: number): Promise<void> {
    const { head } = this;
    const [known] = this.#storage.sql.exec('SELECT 1 FROM audit_checkpoints WHERE seq >= ?', head.seq).toArray();
    this.#isSigned = true;
    if (known !== undefined || head.seq === 0) return;
    await this.#storage.sync();
    const line = checkpointLine(await signCheckpoint({ ...this.name, ...head, atMs }, keys));
    this.#storage.sql.exec('INSERT OR IGNORE INTO audit_checkpoints (seq, line) VALUES (?, ?)', head.seq, line);
  }

  /** Signs the log, and answers how far, with the checkpoint that says so: of a log without rows, that it has none. */
  async vouch(keys: KeyRing, atMs: number): Promise<SignedRow> {
    await this.sign(keys, atMs);
    const [last] = this.#storage.sql
      .exec<{ seq: number; line: string }>('SELECT seq, line FROM audit_checkpoints ORDER BY seq DESC LIMIT 1')
      .toArray();
    if (last !== undefined) return last;
    return { seq: 0, line: checkpointLine(await signCheckpoint({ ...this.name, ...genesis(this.name), atMs }, keys)) };
  }

  /** Rows and checkpoints in their order. The cursor is the last row of the page before. */
  page({ cursor, limit }: { readonly cursor: string | null; readonly limit: number }): AuditPage {
    const after = /^\d{1,15}$/.test(cursor ?? '') ? Number(cursor) : 0;
    const rows = this.#storage.sql
      .exec<{ seq: number; line: string; checkpoint: string | null }>(
        `SELECT r.seq, r.line, c.line AS checkpoint FROM audit_rows r LEFT JOIN audit_checkpoints c ON c.seq = r.seq
         WHERE r.seq > ? ORDER BY r.seq LIMIT ?`,
        after,
        limit,
      )
      .toArray();
    const lines = rows.flatMap(({ line, checkpoint }) => (checkpoint === null ? [line] : [line, checkpoint]));
    const last = rows.at(-1);
    return { name: this.name, lines, nextCursor: last === undefined || rows.length < limit ? null : String(last.seq) };
  }

  /** The events and reasons of the rows after `seq`, oldest first. */
  since(seq: number): { readonly event: string; readonly reason: string | null }[] {
    return this.#storage.sql
      .exec<{ line: string }>('SELECT line FROM audit_rows WHERE seq > ? ORDER BY seq', seq)
      .toArray()
      .map(({ line }) => {
        const { event, reason = null } = JSON.parse(line) as { event: string; reason?: string | null };
        return { event, reason };
      });
  }
}
