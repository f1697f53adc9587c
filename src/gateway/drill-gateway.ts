// The data plane as drills use it: the same pipeline, snapshot and sessions, but routes of its own whose upstream is made
// up, in the namespace of drills. No address leads here from outside.
import type { TokenVerifier } from '../credential/session-token.ts';
import { DRILL_POLICY } from '../drill/drill-plan.ts';
import { drillUpstream } from '../drill/drill-upstream.ts';
import { parsePolicy } from '../policy/parse.ts';
import type { Policy } from '../policy/policy.ts';
import { type GatewayParts, type Lifetime, serveRoute } from './pipeline.ts';
import { routeTable } from './route-table.ts';

export interface DrillGateway {
  probe(request: Request): Promise<Response>;
  /** The same, with the out-of-band stop set. */
  probeHalted(request: Request): Promise<Response>;
  /** Requests for that path that have reached the upstream. */
  upstreamCalls(path: string): number;
}

/** One for each drill: it counts. `tokens` verifies the credentials of that policy's sessions. */
export function drillGateway(
  live: GatewayParts,
  { tokens, lifetime }: { readonly tokens: (policy: Policy) => TokenVerifier; readonly lifetime: Lifetime },
): DrillGateway {
  const reading = parsePolicy(DRILL_POLICY, { allowLoopback: false });
  if (!reading.ok) throw new Error(`the policy of drills is not valid: ${JSON.stringify(reading.errors)}`);
  const { policy } = reading;
  const rules = { policy, routes: routeTable(policy, {}), tokens: tokens(policy) };
  const upstream = drillUpstream();
  const parts: GatewayParts = {
    ...live,
    rules: () => rules,
    namespace: 'drill',
    upstream: async (call) => ({ outcome: 'answered', response: upstream.answer(call) }),
  };
  return {
    probe: (request) => serveRoute(request, parts, lifetime),
    probeHalted: (request) => serveRoute(request, { ...parts, halted: true }, lifetime),
    upstreamCalls: (path) => upstream.callsOf(path),
  };
}
