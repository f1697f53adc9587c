// Kill switches: what a level and a target mean, and whether one is pulled against a request. Pure; who may pull and lift
// is control/kill-switches.ts.
import * as z from 'zod';
import { isId } from '../policy/grammar.ts';
import {
  KILL_LEVELS,
  type KillLevel,
  type KillSwitch,
  type Namespace,
  NAMESPACES,
  type SwitchName,
} from '../rpc/kill-switch.ts';

export const killSwitchSchema = z.object({
  level: z.enum(KILL_LEVELS),
  target: z.string(),
  namespace: z.enum(NAMESPACES),
  untilMs: z.int().nonnegative().nullable(),
});

/** What of a request the levels look at. */
export interface Bearing {
  readonly agent: string;
  readonly customer: string | null;
  readonly segments: readonly string[];
  /** The feature of the route. */
  readonly feature: string | null;
  readonly namespace: Namespace;
}

/** The one target of the level `global`. */
const EVERYTHING = 'all';
const ANY = '*';
const OF_AGENT = '@';

/** Why a target is none of that level, as the end of a sentence; null where it is one. */
export function targetProblem(level: KillLevel, target: string): string | null {
  switch (level) {
    case 'global':
      return target === EVERYTHING ? null : `is not "${EVERYTHING}", the one target of the level "global"`;
    case 'agent':
      return isAgentPattern(target) ? null : 'is neither the id of an agent nor a kind of agents such as "billing-*"';
    case 'feature': {
      const { feature, agent } = featureParts(target);
      if (isId(feature) && (agent === null || isAgentPattern(agent))) return null;
      return 'is neither a feature such as "refunds" nor one of an agent such as "refunds@billing-*"';
    }
    case 'customer':
    case 'segment':
      return isId(target) ? null : `is not the id of a ${level}`;
  }
}

/** An agent's id, or the beginning of ids followed by one `*`. */
function isAgentPattern(text: string): boolean {
  return isId(text.endsWith(ANY) ? text.slice(0, -ANY.length) : text);
}

function featureParts(target: string): { readonly feature: string; readonly agent: string | null } {
  const at = target.indexOf(OF_AGENT);
  return at < 0
    ? { feature: target, agent: null }
    : { feature: target.slice(0, at), agent: target.slice(at + OF_AGENT.length) };
}

/** Whether a switch stops a request of that bearing, whatever its end. */
export function matches({ level, target, namespace }: SwitchName, bearing: Bearing): boolean {
  if (namespace !== bearing.namespace) return false;
  switch (level) {
    case 'global':
      return true;
    case 'agent':
      return isOfKind(bearing.agent, target);
    case 'feature': {
      const { feature, agent } = featureParts(target);
      return feature === bearing.feature && (agent === null || isOfKind(bearing.agent, agent));
    }
    case 'customer':
      return target === bearing.customer;
    case 'segment':
      return bearing.segments.includes(target);
  }
}

/** Whether an agent is the one that the pattern names, or of that kind. */
function isOfKind(agent: string, pattern: string): boolean {
  return pattern.endsWith(ANY) ? agent.startsWith(pattern.slice(0, -ANY.length)) : agent === pattern;
}

/** Switches made ready for lookups: by name where a name decides, in a list where a pattern does. */
export interface SwitchBoard {
  readonly named: ReadonlyMap<string, KillSwitch>;
  readonly patterns: readonly KillSwitch[];
}

export const NO_SWITCHES: SwitchBoard = { named: new Map(), patterns: [] };

/** Drops nothing: a target that this version does not know is kept as a pattern that matches nothing. */
export function switchBoardOf(switches: readonly KillSwitch[]): SwitchBoard {
  const named = new Map<string, KillSwitch>();
  const patterns: KillSwitch[] = [];
  for (const pulled of switches) {
    if (pulled.level === 'feature' || pulled.target.endsWith(ANY)) patterns.push(pulled);
    else named.set(nameOf(pulled.namespace, pulled.level, pulled.target), pulled);
  }
  return { named, patterns };
}

/** The switch that stops a request of that bearing at that time; the widest first, null when none does. */
export function pulledAgainst(board: SwitchBoard, bearing: Bearing, nowMs: number): KillSwitch | null {
  const { named, patterns } = board;
  if (named.size === 0 && patterns.length === 0) return null;
  const { namespace, agent, customer, segments } = bearing;
  const isOn = (pulled: KillSwitch | undefined): pulled is KillSwitch =>
    pulled !== undefined && (pulled.untilMs === null || nowMs < pulled.untilMs);
  if (named.size > 0) {
    const byName = [
      named.get(nameOf(namespace, 'global', EVERYTHING)),
      named.get(nameOf(namespace, 'agent', agent)),
      customer === null ? undefined : named.get(nameOf(namespace, 'customer', customer)),
      ...segments.map((segment) => named.get(nameOf(namespace, 'segment', segment))),
    ].find(isOn);
    if (byName !== undefined) return byName;
  }
  return patterns.find((pulled) => isOn(pulled) && matches(pulled, bearing)) ?? null;
}

function nameOf(namespace: Namespace, level: KillLevel, target: string): string {
  return `${namespace}/${level}/${target}`;
}
