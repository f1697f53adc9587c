// Pulls and lifts kill switches: decides, keeps, writes it into the log and says that the head has changed. All in one
// synchronous turn, so that two operators at once are one after the other.
import type {
  KillSwitch,
  LiftAnswer,
  PulledSwitch,
  PullAnswer,
  PullRequest,
  SwitchAct,
  SwitchName,
} from '../rpc/kill-switch.ts';
import type { LogStore } from './log-store.ts';
import { inForce, lift, pull } from './kill-switches.ts';
import type { SwitchStore } from './switch-store.ts';

export interface RegisterParts {
  readonly store: SwitchStore;
  readonly log: LogStore;
  /** Moves the epoch, which it returns, and publishes the head. */
  readonly changed: () => number;
}

export class KillSwitchRegister {
  readonly #parts: RegisterParts;

  constructor(parts: RegisterParts) {
    this.#parts = parts;
  }

  /** Those in force, with their stories. */
  list(nowMs: number): PulledSwitch[] {
    return this.#parts.store.all().flatMap((pulled) => inForce(pulled, nowMs) ?? []);
  }

  forHead(nowMs: number): KillSwitch[] {
    return this.#parts.store.forHead(nowMs);
  }

  pull(request: PullRequest, nowMs: number): PullAnswer {
    const { store, log, changed } = this.#parts;
    const before = inForce(store.find(request), nowMs);
    const pulledSwitch = pull(before, request, nowMs);
    if (!store.hasRoomFor(pulledSwitch, nowMs)) return { pulled: false };
    store.put(pulledSwitch);
    const event = before === null ? 'kill-switch.pulled' : 'kill-switch.pulled-again';
    log.append({ event, ...nameOf(request), until: timeOf(pulledSwitch.untilMs), ...signed(request.act) }, nowMs);
    return { pulled: true, created: before === null, pulledSwitch, epoch: changed() };
  }

  lift(name: SwitchName, act: SwitchAct, nowMs: number): LiftAnswer {
    const { store, log, changed } = this.#parts;
    const pulledSwitch = inForce(store.find(name), nowMs);
    if (pulledSwitch === null) return { outcome: 'not-pulled' };
    const answer = lift(pulledSwitch, act, nowMs);
    switch (answer.outcome) {
      case 'refused':
        log.append({ event: 'kill-switch.lift-refused', ...nameOf(name), why: answer.why, ...signed(act) }, nowMs);
        return { ...answer, pulledSwitch };
      case 'requested':
        store.put(answer.pulledSwitch);
        log.append({ event: 'kill-switch.lift-requested', ...nameOf(name), ...signed(act) }, nowMs);
        return answer;
      case 'lifted': {
        store.delete(name);
        const { lift: asked } = pulledSwitch;
        const askedBy = asked === null ? {} : { asked_by: asked.by, asked_reason: asked.reason };
        log.append({ event: 'kill-switch.lifted', ...nameOf(name), ...askedBy, ...signed(act) }, nowMs);
        return { outcome: 'lifted', pulledSwitch, epoch: changed() };
      }
    }
  }

  /** Takes out those whose time is up. */
  dropEnded(nowMs: number): void {
    const ended = this.#parts.store.dropEnded(nowMs);
    for (const pulled of ended) this.#parts.log.append({ event: 'kill-switch.ended', ...nameOf(pulled) }, nowMs);
    if (ended.length > 0) this.#parts.changed();
  }

  /** When the next one ends by itself; Infinity when none does. */
  nextEndMs(): number {
    return this.#parts.store.nextEndMs();
  }
}

function nameOf({ namespace, level, target }: SwitchName): { namespace: string; level: string; target: string } {
  return { namespace, level, target };
}

function signed({ by, owner, reason }: SwitchAct): { by: string; owner: string; reason: string } {
  return { by, owner, reason };
}

function timeOf(ms: number | null): string | null {
  return ms === null ? null : new Date(ms).toISOString();
}
