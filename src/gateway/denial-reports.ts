// Tells a session's object, for its log, what this isolate refused without asking it. The first refusal is told at once,
// what repeats it within a window in one more report; never on the way of the answer.
import QuickLRU from 'quick-lru';
import type { DenialCode } from '../denial.ts';
import { DENIAL_REPORT_WINDOW_MS, MAX_DENIAL_WINDOWS } from '../limits.ts';
import type { DenialReport, SessionRpc } from '../rpc/session-rpc.ts';

export interface Refusal {
  /** See `sessionName`. */
  readonly session: string;
  readonly code: DenialCode;
  readonly route: string;
  readonly requestId: string;
}

export interface ReportPorts {
  readonly session: (name: string) => SessionRpc;
  readonly now: () => number;
  readonly sleep: (delayMs: number) => Promise<void>;
  readonly log: (entry: Readonly<Record<string, unknown>>) => void;
}

/** Refusals since the window's first one, which was told. */
interface Window {
  readonly openedMs: number;
  count: number;
  firstMs: number;
  lastMs: number;
}

export class DenialReports {
  readonly #ports: ReportPorts;
  /** What is dropped from here is told as if it were the first. */
  readonly #windows = new QuickLRU<string, Window>({ maxSize: MAX_DENIAL_WINDOWS });

  constructor(ports: ReportPorts) {
    this.#ports = ports;
  }

  /** Takes a refusal down. `background` keeps the request alive until the window is over (`waitUntil`). */
  note(refusal: Refusal, background: (work: Promise<unknown>) => void): void {
    const key = `${refusal.session} ${refusal.code} ${refusal.route}`;
    const now = this.#ports.now();
    const open = this.#windows.get(key);
    if (open !== undefined && now - open.openedMs < 2 * DENIAL_REPORT_WINDOW_MS) {
      if (open.count === 0) open.firstMs = now;
      open.count += 1;
      open.lastMs = now;
      return;
    }
    this.#windows.set(key, { openedMs: now, count: 0, firstMs: now, lastMs: now });
    background(this.#report(key, refusal, now));
  }

  async #report(key: string, refusal: Refusal, nowMs: number): Promise<void> {
    await this.#tell(refusal, { count: 1, fromMs: nowMs, toMs: nowMs });
    await this.#ports.sleep(DENIAL_REPORT_WINDOW_MS);
    const counted = this.#windows.get(key);
    this.#windows.delete(key);
    if (counted === undefined || counted.count === 0) return;
    await this.#tell(refusal, { count: counted.count, fromMs: counted.firstMs, toMs: counted.lastMs });
  }

  async #tell(
    { session, code, route, requestId }: Refusal,
    times: Pick<DenialReport, 'count' | 'fromMs' | 'toMs'>,
  ): Promise<void> {
    try {
      await this.#ports.session(session).denied({ code, route, id: requestId, ...times });
    } catch (error) {
      this.#ports.log({ event: 'denial.report-failed', session, code, route, ...times, error: String(error) });
    }
  }
}
