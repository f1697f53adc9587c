// The head's stamp on disk: the epoch, which grows with every change of what the head carries, and the time that was last
// put on one. Neither ever goes back. And the names of the blobs that KV has.
import { createHash } from 'node:crypto';

const STAMP = 'head-stamp';
/** Of version 1. */
const OLD_EPOCH = 'epoch';
const SCHEMA = 'CREATE TABLE IF NOT EXISTS published (name TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;';

interface Stored extends Stamp {
  /** SHA-256 of what the head carried. */
  readonly content: string;
}

export interface Stamp {
  readonly epoch: number;
  readonly asOfMs: number;
}

export class HeadStore {
  readonly #storage: DurableObjectStorage;
  #asOfMs = 0;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    storage.sql.exec(SCHEMA);
  }

  /** The stamp for a head that carries this: a new epoch where it is not what the one before carried. */
  stamp(content: unknown, nowMs: number): Stamp {
    const stored = this.#storage.kv.get<Stored>(STAMP);
    // The clock may have been set back, in this life of the object or between two.
    this.#asOfMs = Math.max(nowMs, this.#asOfMs, stored?.asOfMs ?? 0);
    const digest = createHash('sha256').update(JSON.stringify(content)).digest('hex');
    if (stored?.content === digest) return { epoch: stored.epoch, asOfMs: this.#asOfMs };
    const epoch = (stored?.epoch ?? this.#storage.kv.get<number>(OLD_EPOCH) ?? 0) + 1;
    this.#storage.kv.put<Stored>(STAMP, { epoch, asOfMs: this.#asOfMs, content: digest });
    return { epoch, asOfMs: this.#asOfMs };
  }

  isPublished(name: string): boolean {
    return this.#storage.sql.exec('SELECT 1 FROM published WHERE name = ?', name).toArray().length > 0;
  }

  published(name: string): void {
    this.#storage.sql.exec('INSERT OR IGNORE INTO published VALUES (?)', name);
  }

  unpublished(name: string): void {
    this.#storage.sql.exec('DELETE FROM published WHERE name = ?', name);
  }
}
