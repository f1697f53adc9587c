// What crosses between the Worker and the control object about kill switches. Types, and the words they are made of.

export const KILL_LEVELS = ['global', 'agent', 'feature', 'customer', 'segment'] as const;
export type KillLevel = (typeof KILL_LEVELS)[number];

/** Drills run in a namespace of their own: a switch stops only what is served in its namespace. */
export const NAMESPACES = ['live', 'drill'] as const;
export type Namespace = (typeof NAMESPACES)[number];

/** Which switch is meant. */
export interface SwitchName {
  readonly level: KillLevel;
  readonly target: string;
  readonly namespace: Namespace;
}

/** A switch as the head carries it. */
export interface KillSwitch extends SwitchName {
  /** When it ends by itself, in milliseconds; null where an operator has to lift it. */
  readonly untilMs: number | null;
}

/** Who acts on a switch, and why. */
export interface SwitchAct {
  /** The admin's id. */
  readonly by: string;
  /** The person behind it: two tokens of one person are not four eyes. */
  readonly owner: string;
  /** What an identity provider calls that person, besides: it stays when the address changes. */
  readonly subject?: string;
  /** Roles as credential/admin-token.ts names them. */
  readonly roles: readonly string[];
  readonly reason: string;
}

/** A switch with its story. */
export interface PulledSwitch extends KillSwitch {
  readonly by: string;
  readonly owner: string;
  readonly reason: string;
  readonly atMs: number;
  /** A lift that waits for a second person. */
  readonly lift: LiftRequest | null;
}

interface LiftRequest {
  readonly by: string;
  readonly owner: string;
  readonly subject?: string;
  readonly reason: string;
  readonly atMs: number;
  /** After this it counts for nothing. */
  readonly confirmByMs: number;
}

export interface PullRequest extends SwitchName {
  readonly untilMs: number | null;
  readonly act: SwitchAct;
}

export type PullAnswer =
  | { readonly pulled: true; readonly created: boolean; readonly pulledSwitch: PulledSwitch; readonly epoch: number }
  /** The head has no room for another one. */
  | { readonly pulled: false };

export type LiftAnswer =
  | { readonly outcome: 'lifted'; readonly pulledSwitch: PulledSwitch; readonly epoch: number }
  /** A second person has to confirm it. */
  | { readonly outcome: 'requested'; readonly pulledSwitch: PulledSwitch }
  | { readonly outcome: 'refused'; readonly why: LiftRefusal; readonly pulledSwitch: PulledSwitch }
  | { readonly outcome: 'not-pulled' };

/** `not-operator`: only an operator begins. `same-person`: asked by the one who would confirm. `not-approver`: only an approver confirms. */
export type LiftRefusal = 'not-operator' | 'same-person' | 'not-approver';

export interface PreviewRequest extends SwitchName {
  /** The routes of a feature, and what a credential must be granted for them: empty for other levels. */
  readonly routes: readonly { readonly name: string; readonly scope: string }[];
}

/** What a switch would stop now. */
export interface Preview {
  readonly liveSessions: number;
  /** Whole micro-USD that the sessions asked were charged within the last minute. */
  readonly spentLastMinuteMicroUsd: number;
  /** Of the live sessions, how many were asked for it, the newest first, and answered. */
  readonly sessionsAsked: number;
}
