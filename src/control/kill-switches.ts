// Who may pull and lift a kill switch, and what comes of it. Pure functions of (switch, command, now): what is kept and
// published is the control object's.
import { LIFT_CONFIRM_WITHIN_MS } from '../limits.ts';
import type { LiftRefusal, PulledSwitch, PullRequest, SwitchAct } from '../rpc/kill-switch.ts';

/** A switch as it stands: null once its time is up. */
export function inForce(pulled: PulledSwitch | null, nowMs: number): PulledSwitch | null {
  if (pulled === null || (pulled.untilMs !== null && pulled.untilMs <= nowMs)) return null;
  return pulled.lift !== null && pulled.lift.confirmByMs <= nowMs ? { ...pulled, lift: null } : pulled;
}

/**
 * Pulls a switch. Any one operator may, as the caller has checked. Pulled again, it keeps its first reason, never ends
 * earlier than it would have, and a lift that waited for its second person counts for nothing any more.
 */
export function pull(pulled: PulledSwitch | null, request: PullRequest, nowMs: number): PulledSwitch {
  const current = inForce(pulled, nowMs);
  const { level, target, namespace, untilMs, act } = request;
  if (current === null) {
    const { by, owner, reason } = act;
    return { level, target, namespace, untilMs, by, owner, reason, atMs: nowMs, lift: null };
  }
  const later = current.untilMs === null || untilMs === null ? null : Math.max(current.untilMs, untilMs);
  return { ...current, untilMs: later, lift: null };
}

export type Lift =
  | { readonly outcome: 'lifted' }
  | { readonly outcome: 'requested'; readonly pulledSwitch: PulledSwitch }
  | { readonly outcome: 'refused'; readonly why: LiftRefusal };

/**
 * Lifts a switch that is in force. An operator lifts any but a `global` one alone; that one takes an operator who asks
 * for it and, within `LIFT_CONFIRM_WITHIN_MS`, an approver who is another person.
 */
export function lift(pulled: PulledSwitch, act: SwitchAct, nowMs: number): Lift {
  const asked = inForce(pulled, nowMs)?.lift ?? null;
  if (asked === null) {
    if (!act.roles.includes('operator')) return { outcome: 'refused', why: 'not-operator' };
    if (pulled.level !== 'global') return { outcome: 'lifted' };
    const { roles: _roles, ...who } = act;
    const request = { ...who, atMs: nowMs, confirmByMs: nowMs + LIFT_CONFIRM_WITHIN_MS };
    return { outcome: 'requested', pulledSwitch: { ...pulled, lift: request } };
  }
  if (isSamePerson(asked, act)) return { outcome: 'refused', why: 'same-person' };
  if (!act.roles.includes('approver')) return { outcome: 'refused', why: 'not-approver' };
  return { outcome: 'lifted' };
}

interface Identity {
  readonly owner: string;
  readonly subject?: string;
}

/**
 * People are named by hand in one place and by their address in another: case and space around it say nothing. An alias
 * of an address is no second person where the identity provider says that both are one.
 */
function isSamePerson(one: Identity, other: Identity): boolean {
  if (one.subject !== undefined && one.subject === other.subject) return true;
  return one.owner.trim().toLowerCase() === other.owner.trim().toLowerCase();
}
