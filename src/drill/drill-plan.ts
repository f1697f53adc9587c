// What a drill stops: synthetic sessions of its own, on routes of its own, whose upstream is made up. Pure. Its kill
// switches are in the namespace of drills, so that even a global one stops nothing else.
import type { KillLevel, SwitchName } from '../rpc/kill-switch.ts';

/** Whom a synthetic session runs for. */
export interface DrillSubject {
  readonly agent: string;
  readonly customer: string;
  readonly segment: string;
  /** The routes that it uses: one that answers at once, one that streams. */
  readonly tool: string;
  readonly chat: string;
}

/** What no credential from outside may hold: it opens the drills' own routes, which nobody else can reach. */
export const DRILL_SCOPE = 'fusebox-drill:probe';
const DRILL_MODEL = 'drill-model';
/** As many as one stream can use in the time that a drill may take. */
const STREAM_TOKENS = 4_000;

/** The routes of drills. Tools are free; the model has a price, so that streams are metered like any other. */
export const DRILL_POLICY = `version: 1
routes:
  drill-tool: { upstream: "https://drill.invalid", protocol: http, scope: "${DRILL_SCOPE}", feature: drill-common, fees: [{ usd: 0 }] }
  drill-chat: { upstream: "https://drill.invalid", protocol: openai, scope: "${DRILL_SCOPE}", feature: drill-common }
  drill-feature-tool: { upstream: "https://drill.invalid", protocol: http, scope: "${DRILL_SCOPE}", feature: drill-feature, fees: [{ usd: 0 }] }
  drill-feature-chat: { upstream: "https://drill.invalid", protocol: openai, scope: "${DRILL_SCOPE}", feature: drill-feature }
prices:
  - { match: ${DRILL_MODEL}, input_usd_per_million: "0.1", output_usd_per_million: "0.1", context_tokens: 128000, max_output_tokens: 16384 }
`;

/** Who is stopped when `name` is: everything about it but the level is its own. */
export function subjectOf(id: string, name: string): DrillSubject {
  const mark = `drill-${id}-${name}`;
  const routes = name === 'feature' ? 'drill-feature' : 'drill';
  return { agent: `${mark}-1`, customer: mark, segment: mark, tool: `${routes}-tool`, chat: `${routes}-chat` };
}

/** The switch that stops the subject of that level. The level agent is drilled by kind. */
export function switchOf(id: string, level: KillLevel): SwitchName {
  const { customer, segment } = subjectOf(id, level);
  const targets: Readonly<Record<KillLevel, string>> = {
    global: 'all',
    agent: `drill-${id}-agent-*`,
    feature: 'drill-feature',
    customer,
    segment,
  };
  return { level, target: targets[level], namespace: 'drill' };
}

/** A request that is answered at once. */
export function toolRequest({ tool, customer }: DrillSubject, token: string): Request {
  return new Request(`https://drill.invalid/${tool}/${customer}`, { headers: { authorization: `Bearer ${token}` } });
}

/** A request whose answer streams for as long as a drill may take. */
export function chatRequest({ chat }: DrillSubject, token: string): Request {
  return new Request(`https://drill.invalid/${chat}/v1/chat/completions`, {
    method: 'POST',
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({
      model: DRILL_MODEL,
      stream: true,
      max_tokens: STREAM_TOKENS,
      messages: [{ role: 'user', content: 'count' }],
    }),
  });
}
