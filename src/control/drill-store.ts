// How drills lie on disk: their evidence, which one is running, and when the next is due.
import { MAX_DRILL_MS, MAX_DRILLS_KEPT, MAX_DRILLS_LISTED } from '../limits.ts';
import type { DrillReport } from '../rpc/drill-rpc.ts';
import type { DrillRecord } from '../snapshot/head.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS drills (id TEXT PRIMARY KEY, finished_ms INTEGER NOT NULL, report TEXT NOT NULL) WITHOUT ROWID;
`;
const RUNNING = 'drill/running';
const LAST = 'drill/last';
const ALERTED = 'drill/alerted';

interface Running {
  readonly id: string;
  readonly sinceMs: number;
  /** Rows that the log had when it began. */
  readonly logSeq: number;
}

export class DrillStore {
  readonly #storage: DurableObjectStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    storage.sql.exec(SCHEMA);
  }

  /** The one that runs; null also where it has been lost. */
  running(nowMs: number): Running | null {
    const running = this.#storage.kv.get<Running>(RUNNING) ?? null;
    return running === null || nowMs - running.sinceMs > MAX_DRILL_MS ? null : running;
  }

  begin(running: Running): void {
    this.#storage.kv.put(RUNNING, running);
  }

  /** Keeps the evidence of the one that ran; forgets the oldest beyond MAX_DRILLS_KEPT. */
  finish(report: DrillReport, last: NonNullable<DrillRecord>): void {
    this.put(report);
    this.#storage.kv.put(LAST, last);
    this.#storage.kv.delete(RUNNING);
    this.#storage.sql.exec(
      'DELETE FROM drills WHERE id NOT IN (SELECT id FROM drills ORDER BY finished_ms DESC LIMIT ?)',
      MAX_DRILLS_KEPT,
    );
  }

  put(report: DrillReport): void {
    this.#storage.sql.exec(
      'INSERT INTO drills VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET report = excluded.report',
      report.id,
      Date.parse(report.finished_at),
      JSON.stringify(report),
    );
  }

  find(id: string): DrillReport | null {
    const [row] = this.#storage.sql.exec<{ report: string }>('SELECT report FROM drills WHERE id = ?', id).toArray();
    return row === undefined ? null : (JSON.parse(row.report) as DrillReport);
  }

  list(): DrillReport[] {
    return this.#storage.sql
      .exec<{ report: string }>('SELECT report FROM drills ORDER BY finished_ms DESC LIMIT ?', MAX_DRILLS_LISTED)
      .toArray()
      .map(({ report }) => JSON.parse(report) as DrillReport);
  }

  /** As the head carries it; null before the first one. */
  last(): DrillRecord {
    return this.#storage.kv.get<NonNullable<DrillRecord>>(LAST) ?? null;
  }

  /** True once for each drill that is overdue. */
  turnsOverdue(nowMs: number): boolean {
    const last = this.last();
    if (
      last === null ||
      last.dueMs === null ||
      nowMs < last.dueMs ||
      this.#storage.kv.get<number>(ALERTED) === last.dueMs
    )
      return false;
    this.#storage.kv.put(ALERTED, last.dueMs);
    return true;
  }
}
