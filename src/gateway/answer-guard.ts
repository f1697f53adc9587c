// Looks after one answer while it passes: asks each second what this isolate knows against it, keeps that knowledge fresh
// though no other request comes, and soon has the session's object watched. Says once why the answer is to be cut; cutting
// is the caller's.
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
  /** Called at most once. */
  readonly cut: (denial: Denial) => void;
  /** Called each second. */
  readonly tick?: () => void;
}

/** Answers shorter than this are not worth the call. Far under the second within which a revocation cuts a stream. */
const WATCH_AFTER_MS = 250;
const TICK_MS = 1_000;

export class AnswerGuard {
  readonly #ports: GuardPorts;
  readonly #ticker: ReturnType<typeof setInterval>;
  readonly #watchTimer: ReturnType<typeof setTimeout> | undefined;
  #over = false;

  constructor(ports: GuardPorts) {
    this.#ports = ports;
    const { watch } = ports;
    this.#ticker = setInterval(() => this.#tick(), TICK_MS);
    this.#watchTimer = watch === undefined ? undefined : setTimeout(() => void this.#watch(watch), WATCH_AFTER_MS);
  }

  /** The answer has ended: nothing is cut any more. */
  stop(): void {
    this.#over = true;
    clearInterval(this.#ticker);
    clearTimeout(this.#watchTimer);
  }

  #tick(): void {
    const { screen, tick } = this.#ports;
    screen.keepFresh();
    const denial = screen.against();
    if (denial !== null) return this.#cut(denial);
    tick?.();
  }

  async #watch(watch: () => Promise<Denial | null>): Promise<void> {
    const denial = await watch();
    if (denial !== null) this.#cut(denial);
  }

  #cut(denial: Denial): void {
    if (this.#over) return;
    this.stop();
    this.#ports.cut(denial);
  }
}
