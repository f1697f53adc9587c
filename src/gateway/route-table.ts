// The policy's routes, made ready once: protocol, header filters, the provider's key. A request only looks them up.
import type { TokenVerifier } from '../credential/session-token.ts';
import { type HeaderFilter, requestHeaderFilter, responseHeaderFilter } from '../http/headers.ts';
import type { Policy, RoutePolicy } from '../policy/policy.ts';
import { fillTemplate, secretNames } from '../policy/template.ts';
import type { Protocol } from '../protocol/protocol.ts';
import { protocolFor } from '../protocol/registry.ts';

export interface Route {
  readonly policy: RoutePolicy;
  readonly protocol: Protocol;
  readonly requestHeaders: HeaderFilter;
  readonly responseHeaders: HeaderFilter;
  /** The provider's key, or which secrets are missing: the route is then disabled. */
  readonly auth: RouteAuth;
}

type RouteAuth =
  | {
      readonly ready: true;
      readonly header: { readonly name: string; readonly value: string } | null;
      readonly secrets: readonly string[];
    }
  | { readonly ready: false; readonly missing: readonly string[] };

export type RouteTable = ReadonlyMap<string, Route>;

/** What the policy in force makes of the gateway. A request takes it once, so that no policy changes under its way. */
export interface Rules {
  readonly policy: Policy;
  readonly routes: RouteTable;
  /** Verifies credentials by that policy. */
  readonly tokens: TokenVerifier;
}

export function routeTable(policy: Policy, env: Readonly<Record<string, unknown>>): RouteTable {
  return new Map([...policy.routes].map(([name, route]) => [name, makeRoute(route, env)]));
}

function makeRoute(policy: RoutePolicy, env: Readonly<Record<string, unknown>>): Route {
  const protocol = protocolFor(policy.protocol);
  return {
    policy,
    protocol,
    requestHeaders: requestHeaderFilter({ names: [...protocol.requestHeaders, ...policy.forwardHeaders] }),
    responseHeaders: responseHeaderFilter({ names: protocol.responseHeaders }),
    auth: readAuth(policy, env),
  };
}

function readAuth({ auth }: RoutePolicy, env: Readonly<Record<string, unknown>>): RouteAuth {
  if (auth === null) return { ready: true, header: null, secrets: [] };
  const filled = fillTemplate(auth.value, env);
  if (!filled.ok) return { ready: false, missing: filled.missing };
  const secrets = secretNames(auth.value).map((name) => String(env[name]).trim());
  return { ready: true, header: { name: auth.header, value: filled.value }, secrets };
}
