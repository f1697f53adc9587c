// How kill switches lie on disk: one row each, by namespace, level and target.
import { MAX_DRILL_SWITCHES_BYTES, MAX_SWITCHES_BYTES } from '../limits.ts';
import type { KillSwitch, PulledSwitch, SwitchName } from '../rpc/kill-switch.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS switches (
    namespace TEXT NOT NULL, level TEXT NOT NULL, target TEXT NOT NULL, pulled TEXT NOT NULL,
    PRIMARY KEY (namespace, level, target)
  ) WITHOUT ROWID;
`;

export class SwitchStore {
  readonly #sql: SqlStorage;

  constructor(storage: DurableObjectStorage) {
    this.#sql = storage.sql;
    this.#sql.exec(SCHEMA);
  }

  all(): PulledSwitch[] {
    return this.#sql
      .exec<{ pulled: string }>('SELECT pulled FROM switches ORDER BY namespace, level, target')
      .toArray()
      .map(({ pulled }) => JSON.parse(pulled) as PulledSwitch);
  }

  /** Those in force, as the head carries them. */
  forHead(nowMs: number): KillSwitch[] {
    return this.all()
      .filter(({ untilMs }) => untilMs === null || untilMs > nowMs)
      .map(({ level, target, namespace, untilMs }) => ({ level, target, namespace, untilMs }));
  }

  find({ namespace, level, target }: SwitchName): PulledSwitch | null {
    const [row] = this.#sql
      .exec<{
        pulled: string;
      }>('SELECT pulled FROM switches WHERE namespace = ? AND level = ? AND target = ?', namespace, level, target)
      .toArray();
    return row === undefined ? null : (JSON.parse(row.pulled) as PulledSwitch);
  }

  /** Whether the head has room for all of them with this one as it will be. What stops everything always has room. */
  hasRoomFor({ level, target, namespace, untilMs }: KillSwitch, nowMs: number): boolean {
    if (level === 'global') return true;
    const others = this.forHead(nowMs).filter(
      (other) =>
        other.level !== 'global' &&
        other.namespace === namespace &&
        !(other.level === level && other.target === target),
    );
    const most = namespace === 'drill' ? MAX_DRILL_SWITCHES_BYTES : MAX_SWITCHES_BYTES;
    return JSON.stringify([...others, { level, target, namespace, untilMs }]).length <= most;
  }

  put(pulled: PulledSwitch): void {
    const { namespace, level, target } = pulled;
    this.#sql.exec(
      'INSERT INTO switches VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET pulled = excluded.pulled',
      namespace,
      level,
      target,
      JSON.stringify(pulled),
    );
  }

  delete({ namespace, level, target }: SwitchName): void {
    this.#sql.exec('DELETE FROM switches WHERE namespace = ? AND level = ? AND target = ?', namespace, level, target);
  }

  /** Removes those whose time is up, and says which. */
  dropEnded(nowMs: number): PulledSwitch[] {
    const ended = this.all().filter(({ untilMs }) => untilMs !== null && untilMs <= nowMs);
    for (const pulled of ended) this.delete(pulled);
    return ended;
  }

  /** When the next one ends by itself; Infinity when none does. */
  nextEndMs(): number {
    return Math.min(...this.all().map(({ untilMs }) => untilMs ?? Number.POSITIVE_INFINITY), Number.POSITIVE_INFINITY);
  }
}
