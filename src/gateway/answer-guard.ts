// Looks after one answer while it passes: asks each second what this isolate knows against it, keeps that knowledge fresh
// though no other request comes, and watches the session's object. Says once why the answer is to be cut; cutting is the
// caller's.
import type { Denial } from '../denial.ts';

/** What this isolate knows by itself against an answer that is under way. */
export interface Screen {
  /** The reason to cut it; null while it may go on. */
  against(): Denial | null;
  /** Asks for news when it is time to. */
  keepFresh(): void;
}

export interface GuardPorts {
  readonly screen: Screen;
  /** Started once the answer has been under way for a moment; resolves with the reason to cut, or null. */
  readonly watch?: () => Promise<Denial | null>;
  readonly now: () => number;
  /** Called at most once. */
  readonly cut: (denial: Denial) => void;
  /** Called each second. */
  readonly tick?: () => void;
}

/** Answers shorter than this need no watch: they are over before it could say anything. */
const WATCH_AFTER_MS = 1_000;
const TICK_MS = 1_000;

export class AnswerGuard {
  readonly #ports: GuardPorts;
  readonly #startedMs: number;
  readonly #ticker: ReturnType<typeof setInterval>;
  #watching = false;
  #over = false;

  constructor(ports: GuardPorts) {
    this.#ports = ports;
    this.#startedMs = ports.now();
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
  }

  /** The answer has ended: nothing is cut any more. */
  stop(): void {
    this.#over = true;
    clearInterval(this.#ticker);
  }

  #tick(): void {
    const { screen, watch, now, tick } = this.#ports;
    screen.keepFresh();
    const denial = screen.against();
    if (denial !== null) return this.#cut(denial);
    tick?.();
    if (watch === undefined || this.#over || this.#watching || now() - this.#startedMs < WATCH_AFTER_MS) return;
    this.#watching = true;
    void watch().then((reason) => {
      if (reason !== null) this.#cut(reason);
    });
  }

  #cut(denial: Denial): void {
    if (this.#over) return;
    this.stop();
    this.#ports.cut(denial);
  }
}
