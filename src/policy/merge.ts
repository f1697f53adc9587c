// policy.yaml is what gets deployed; policy.local.yaml adds routes to it for development.
import { digestOf } from './digest.ts';
import type { Policy, RoutePolicy } from './policy.ts';

export type MergeResult =
  | { readonly ok: true; readonly policy: Policy }
  | { readonly ok: false; readonly reason: string };

/**
 * The base with the routes and prices of the local policy added. A route of the same name is refused: what is deployed
 * would not be what was tried. Sessions and bounds stay those of the base. The digest is that of both digests.
 */
export function mergePolicies(base: Policy, local: Policy): MergeResult {
  const routes = new Map<string, RoutePolicy>(base.routes);
  for (const [name, route] of local.routes) {
    if (routes.has(name))
      return { ok: false, reason: `the route "${name}" is in both policies; the local one may only add routes` };
    routes.set(name, route);
  }
  const digest = digestOf(`${base.digest}+${local.digest}`);
  return { ok: true, policy: { ...base, digest, routes, prices: [...local.prices, ...base.prices] } };
}
