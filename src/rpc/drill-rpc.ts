// What crosses between the Worker and the control object about drills: the evidence, as it is kept and shown. Types only.
import type { KillLevel } from './kill-switch.ts';
import type { Act } from './session-rpc.ts';

/** Something that had to be seen, and whether it was. */
export interface DrillCheck {
  readonly what: string;
  readonly passed: boolean;
  /** What was seen. */
  readonly detail: string;
}

/** One stop as it was drilled: a kill level, the revocation of one session, or the out-of-band halt. Times in milliseconds. */
export interface DrilledStop {
  readonly stop: KillLevel | 'session' | 'halt';
  readonly target: string;
  /** RFC 3339: the decision, as the control object or the session's object took it down. */
  readonly decided_at: string;
  /** From the decision to the first refusal at the edge; null where none came in time. */
  readonly refused_after_ms: number | null;
  /** From the decision to the end of a stream that was under way; null where it went on. */
  readonly stream_cut_after_ms: number | null;
  /** From the lift to the first request that went through again; null where none did, or where it is final. */
  readonly recovered_after_ms: number | null;
  readonly checks: readonly DrillCheck[];
  readonly passed: boolean;
  /** Whether it also met the goal, which is stricter. */
  readonly within_goal: boolean;
}

/** The evidence of one drill. */
export interface DrillReport {
  readonly id: string;
  readonly started_at: string;
  readonly finished_at: string;
  readonly trigger: 'operator' | 'schedule';
  readonly by: string;
  readonly reason: string;
  /** What a stop may take at most, and what it should take, in seconds. */
  readonly required_seconds: number;
  readonly goal_seconds: number;
  readonly session_goal_seconds: number;
  readonly method: string;
  readonly stops: readonly DrilledStop[];
  /** What concerns no single stop: who may pull and lift, what the log says. */
  readonly checks: readonly DrillCheck[];
  readonly passed: boolean;
  readonly within_goal: boolean;
  /** One sentence for each thing that was not as it has to be. */
  readonly issues: readonly string[];
  readonly sign_off: DrillSignOff | null;
}

interface DrillSignOff {
  readonly by: string;
  readonly owner: string;
  readonly at: string;
  readonly note: string;
  /** What is done about the issues found. */
  readonly remedial_action: string | null;
}

/** `running`: the id of another one, which has to end first. */
export type DrillBegin = { readonly begun: true } | { readonly begun: false; readonly running: string };

/** The calls of the control object for drills. */
export interface DrillRpc {
  /** Only one drill runs at a time; one that was lost is forgotten after MAX_DRILL_MS. */
  beginDrill(drill: {
    readonly id: string;
    readonly trigger: DrillReport['trigger'];
    readonly act: Act;
  }): Promise<DrillBegin>;
  /** Events that the deployment's log has of that drill, in order. */
  drillEvents(id: string): Promise<readonly string[]>;
  /** Keeps the evidence, and says to the edges when the next drill is due; null for never. */
  finishDrill(drill: { readonly report: DrillReport; readonly dueMs: number | null }): Promise<void>;
  /** The newest first, at most MAX_DRILLS_LISTED. */
  drills(): Promise<readonly DrillReport[]>;
  drill(id: string): Promise<DrillReport | null>;
  /** Null when there is none of that id. Signed again, the first signature stands. */
  signOffDrill(signed: {
    readonly id: string;
    readonly signOff: Omit<DrillSignOff, 'at'>;
  }): Promise<DrillReport | null>;
}
