// Takes drills down: one at a time, begun and finished in the log, their evidence kept and signed. Knows nothing of how
// they are run.
import type { DrillBegin, DrillReport, DrillRpc } from '../rpc/drill-rpc.ts';
import type { DrillRecord } from '../snapshot/head.ts';
import type { DrillStore } from './drill-store.ts';
import type { LogStore } from './log-store.ts';

export interface DrillRegisterParts {
  readonly store: DrillStore;
  readonly log: LogStore;
  /** Moves the epoch, and publishes the head. */
  readonly changed: () => number;
}

export class DrillRegister {
  readonly #parts: DrillRegisterParts;

  constructor(parts: DrillRegisterParts) {
    this.#parts = parts;
  }

  begin({ id, trigger, act }: Parameters<DrillRpc['beginDrill']>[0], nowMs: number): DrillBegin {
    const { store, log } = this.#parts;
    const running = store.running(nowMs);
    if (running !== null) return { begun: false, running: running.id };
    store.begin({ id, sinceMs: nowMs, logSeq: log.head.seq });
    log.append({ event: 'drill.begun', drill: id, trigger, ...act }, nowMs);
    return { begun: true };
  }

  /** Events since it began whose reason names it. */
  events(id: string, nowMs: number): string[] {
    const running = this.#parts.store.running(nowMs);
    if (running?.id !== id) return [];
    return this.#parts.log
      .since(running.logSeq)
      .flatMap(({ event, reason }) => (reason === `drill ${id}` ? [event] : []));
  }

  /** Evidence that was kept before is kept as it is. */
  finish({ report, dueMs }: Parameters<DrillRpc['finishDrill']>[0], nowMs: number): void {
    const { store, log, changed } = this.#parts;
    if (store.find(report.id) !== null) return;
    const { id, passed, within_goal: withinGoal, issues } = report;
    store.finish(report, { finishedMs: Date.parse(report.finished_at), passed, dueMs });
    log.append({ event: 'drill.finished', drill: id, passed, within_goal: withinGoal, issues: issues.length }, nowMs);
    if (!passed) this.#alert({ event: 'drill.failed', drill: id, issues: issues.length }, nowMs);
    changed();
  }

  signOff({ id, signOff }: Parameters<DrillRpc['signOffDrill']>[0], nowMs: number): DrillReport | null {
    const { store, log } = this.#parts;
    const report = store.find(id);
    if (report === null || report.sign_off !== null) return report;
    const signed = { ...report, sign_off: { ...signOff, at: new Date(nowMs).toISOString() } };
    store.put(signed);
    const { by, owner, note, remedial_action: remedialAction } = signOff;
    log.append(
      { event: 'drill.signed-off', drill: id, by, owner, reason: note, remedial_action: remedialAction },
      nowMs,
    );
    return signed;
  }

  list(): DrillReport[] {
    return this.#parts.store.list();
  }

  find(id: string): DrillReport | null {
    return this.#parts.store.find(id);
  }

  forHead(): DrillRecord {
    return this.#parts.store.last();
  }

  /** Says once that the next one should have been run. */
  alertOverdue(nowMs: number): void {
    const last = this.#parts.store.last();
    if (this.#parts.store.turnsOverdue(nowMs))
      this.#alert({ event: 'drill.overdue', due: new Date(last?.dueMs ?? nowMs).toISOString() }, nowMs);
  }

  #alert(entry: { readonly event: string; readonly [member: string]: string | number }, nowMs: number): void {
    this.#parts.log.append({ ...entry, alert: true }, nowMs);
    console.warn(JSON.stringify({ ...entry, alert: true }));
  }
}
