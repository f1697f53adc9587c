// What a chaos run remembers of its sessions and requests, as their clients saw them. Must not judge: that is audit.ts.

export interface Violation {
  readonly kind: ViolationKind;
  readonly session: string;
  readonly what: string;
}

export const VIOLATION_KINDS = [
  'settlement-lost',
  'charged-twice',
  'open-after-expiry',
  'overspent',
  'not-charged',
  'overcharged',
  'does-not-add-up',
  'act-undone',
  'frozen',
  'unanswered',
] as const;
export type ViolationKind = (typeof VIOLATION_KINDS)[number];

/** One HTTP request of an agent. Its outcome is unknown unless an answer came. */
export interface AgentRequest {
  readonly tag: string;
  readonly kind: 'ticket' | 'chat' | 'stream';
  readonly startedMs: number;
  readonly idempotencyKey: string | null;
  endedMs: number;
  /** Of the answer; null when none came. */
  requestId: string | null;
  status: number | null;
  /** Refusals carry a code. */
  code: string | null;
  /** The answer came to its end. */
  whole: boolean;
  /** The client went away on purpose. */
  abandoned: boolean;
  /** Output tokens that the client has received. */
  seenTokens: number;
}

/** One hold of a Worker that outlives crashes. */
export interface FarHold {
  readonly id: string;
  readonly startedMs: number;
  /** The settlement that was acknowledged. */
  acknowledged: { readonly atMs: number; readonly costMicroUsd: number; readonly state: string } | null;
  /** Micro-USD that the answer used up, where it was settled. */
  servedMicroUsd: number;
  servedTokens: number;
  admittedMs: number | null;
}

/** What the upstream has to bill for a request that reached it. */
export interface Served {
  readonly tag: string;
  readonly inputMicroUsd: number;
  readonly inputTokens: number;
  readonly wholeMicroUsd: number;
  readonly wholeTokens: number;
}

export interface SessionUnderTest {
  readonly id: string;
  readonly name: string;
  readonly agent: string;
  readonly token: string;
  readonly expiresAtMs: number;
  readonly issuedMs: number;
  readonly small: boolean;
  readonly limits: { spendMicroUsd: number; readonly tokens: number | null };
  /** The largest cap that was ever asked for. */
  largestCapMicroUsd: number;
  /** What may be used at most: the cap in force, or what was used already when it was lowered. */
  boundMicroUsd: number;
  /** When an answer first said that it is revoked; null before. */
  revokedMs: number | null;
  revocation: string | null;
  /** No more load, fewer looks. */
  retired: boolean;
  readonly requests: AgentRequest[];
  readonly holds: FarHold[];
  /** Ended entries as they were listed first, by id. */
  readonly observed: Map<string, string>;
  /** Keys that an answer said were completed, with when. */
  readonly completedKeys: Map<string, number>;
}

export interface Counts {
  polls: number;
  limitsChanged: number;
  revocations: number;
}
