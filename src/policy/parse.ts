// Policy text to Policy: shape by policy/schema.ts, then the rules that span keys. Every error says line, column, key and
// reason, and all of one kind are told at once.
import type * as z from 'zod';
import { mayForward } from '../http/headers.ts';
import { readAdminSection } from './admin-section.ts';
import { DEFAULT_BOUNDS, DEFAULT_SESSIONS } from './defaults.ts';
import { digestOf } from './digest.ts';
import { isRouteName } from './grammar.ts';
import type { Fee, HostedToolBound, Policy, PriceOverride, RoutePolicy, SessionPolicy, UsageBounds } from './policy.ts';
import { KNOWN_KEYS, LATER_KEYS, NOT_YET, type PolicyDocument, policySchema } from './schema.ts';
import { DRILL_EVERY_DAYS } from '../limits.ts';
import { readRevocationSection } from './revocation-section.ts';
import { nearest } from './spelling.ts';
import { secretNames, secretProblem } from './template.ts';
import { readUpstream, type UpstreamRules } from './upstream-url.ts';
import { type PolicyError, readYaml, type Report } from './yaml-source.ts';

export type { PolicyError } from './yaml-source.ts';

export type PolicyReading =
  | { readonly ok: true; readonly policy: Policy }
  | { readonly ok: false; readonly errors: readonly PolicyError[] };

/** First segments that mean something else: no route may take them. */
export const RESERVED_ROUTE_NAMES: readonly string[] = [
  'admin',
  'session',
  'decide',
  'console',
  'problems',
  'healthz',
  '.well-known',
];

/** An error on every line helps nobody. */
const MAX_ERRORS = 50;

/**
 * Reads policy.yaml. `allowLoopback` permits upstreams on the own machine, plain http among them: for local development
 * only. Checks everything that can be checked without the secrets' values.
 */
export function parsePolicy(text: string, rules: UpstreamRules): PolicyReading {
  const source = readYaml(text);
  if (source.errors.length > 0) return { ok: false, errors: source.errors.slice(0, MAX_ERRORS) };
  const shape = policySchema.safeParse(source.value);
  if (!shape.success) {
    for (const issue of shape.error.issues) reportIssue(issue, source.report);
    return { ok: false, errors: inOrder(source.errors) };
  }
  const routes = new Map<string, RoutePolicy>();
  for (const [name, route] of Object.entries(shape.data.routes))
    routes.set(name, readRoute({ name, route, rules, report: source.report }));
  if (routes.size === 0) source.report(['routes'], 'has no route');
  const sessions = readSessions(shape.data.sessions, source.report);
  const revocation = readRevocationSection(shape.data.revocation, source.report);
  const drills = { everyDays: shape.data.drills?.every_days ?? DRILL_EVERY_DAYS };
  const admin = readAdminSection(shape.data.admin, rules, source.report);
  if (source.errors.length > 0) return { ok: false, errors: inOrder(source.errors) };
  const prices = shape.data.prices.map(readPrice);
  return {
    ok: true,
    policy: {
      digest: digestOf(text),
      sessions,
      revocation,
      drills,
      routes,
      prices,
      bounds: readBounds(shape.data.bounds),
      admin,
    },
  };
}

/** One line for people: `policy.yaml:12:5 routes.openai.upstream: is not a URL`. */
export function describePolicyError(file: string, error: PolicyError): string {
  return `${file}:${error.line}:${error.column} ${error.path === '' ? '' : `${error.path}: `}${error.reason}`;
}

function inOrder(errors: readonly PolicyError[]): readonly PolicyError[] {
  return errors.toSorted((a, b) => a.line - b.line || a.column - b.column).slice(0, MAX_ERRORS);
}

function reportIssue(issue: z.core.$ZodIssue, report: Report): void {
  if (issue.code === 'unrecognized_keys') {
    const place = issue.path.map((key, index) => (isName(issue.path, index) ? '*' : String(key))).join('.');
    for (const key of issue.keys) report([...issue.path, key], unknownKey(place, key), 'on-key');
    return;
  }
  if (issue.code === 'invalid_key') return report(issue.path, issue.issues[0]?.message ?? issue.message, 'on-key');
  report(issue.path, issue.message);
}

/** Whether a key of a path is a name or an index of the file's own choosing. */
function isName(path: readonly PropertyKey[], index: number): boolean {
  return (
    typeof path[index] === 'number' ||
    (index === 1 && path[0] === 'routes') ||
    (index === 2 && path[1] === 'hosted_tools')
  );
}

function unknownKey(place: string, key: string): string {
  if (LATER_KEYS.get(place)?.includes(key) === true) return NOT_YET;
  const known = KNOWN_KEYS.get(place) ?? [];
  const meant = nearest(key, known);
  return meant === null ? `is not known; known here: ${known.join(', ')}` : `is not known; did you mean "${meant}"?`;
}

interface RouteSource {
  readonly name: string;
  readonly route: PolicyDocument['routes'][string];
  readonly rules: UpstreamRules;
  readonly report: Report;
}

function readRoute({ name, route, rules, report }: RouteSource): RoutePolicy {
  const at = (...keys: readonly PropertyKey[]): readonly PropertyKey[] => ['routes', name, ...keys];
  if (RESERVED_ROUTE_NAMES.includes(name)) report(at(), `"${name}" is reserved`, 'on-key');
  else if (!isRouteName(name)) report(at(), 'is not the name of a route: small letters, digits, "-" and "_"', 'on-key');
  const upstream = readUpstream(route.upstream, rules);
  if (!upstream.ok) report(at('upstream'), upstream.reason);
  const isLocal = upstream.ok && upstream.upstream.startsWith('http://');
  const auth = route.auth === undefined ? null : { header: route.auth.header.toLowerCase(), value: route.auth.value };
  if (auth !== null) {
    const problem =
      secretProblem(auth.value) ??
      (secretNames(auth.value).length === 0 && !isLocal
        ? 'holds no ${NAME}: the key itself must be a Worker secret'
        : null);
    if (problem !== null) report(at('auth', 'value'), problem);
    if (!mayForward(auth.header) && !AUTH_HEADERS.has(auth.header))
      report(at('auth', 'header'), `"${auth.header}" is not a header for keys`);
  }
  for (const [index, header] of (route.forward_headers ?? []).entries()) {
    if (!mayForward(header.toLowerCase()) || header.endsWith('*'))
      report(at('forward_headers', index), `"${header}" may not be forwarded`);
  }
  return {
    name,
    upstream: upstream.ok ? upstream.upstream : '',
    protocol: route.protocol,
    auth,
    scope: route.scope,
    feature: route.feature ?? null,
    fees: readFees(route, (keys, reason, onKey) => report(at(...keys), reason, onKey)),
    forwardHeaders: (route.forward_headers ?? []).map((header) => header.toLowerCase()),
    timeoutMs: route.timeout_seconds * 1_000,
  };
}

/** Where providers expect their keys; never forwarded from a client. */
const AUTH_HEADERS = new Set(['authorization', 'x-api-key', 'x-goog-api-key', 'api-key']);

/** A request that matches no fee is refused with `policy-denied`: what has no price is not let through for nothing. */
function readFees(route: RouteSource['route'], report: Report): readonly Fee[] {
  const { fees } = route;
  if (route.protocol !== 'http') {
    if (fees !== undefined) report(['fees'], 'is for protocol http only; models are priced by their tokens');
    return [];
  }
  if (fees === undefined || fees.length === 0) {
    report([], 'has no fees, so that every request would be refused; `fees: [{ usd: "0" }]` makes it free', 'on-key');
    return [];
  }
  return fees.map((fee, index) => {
    if (fee.method === undefined && fee.path === undefined && index < fees.length - 1) {
      report(['fees', index], 'is the default (no method, no path), and the fees after it are never reached');
    }
    return {
      method: fee.method?.toUpperCase() ?? null,
      path: fee.path ?? null,
      microUsd: fee.usd,
      scope: fee.scope ?? null,
    };
  });
}

function readSessions(sessions: PolicyDocument['sessions'], report: Report): SessionPolicy {
  if (sessions === undefined) return DEFAULT_SESSIONS;
  if (sessions.ttl_seconds > sessions.ttl_seconds_max)
    report(['sessions', 'ttl_seconds'], `is more than ttl_seconds_max (${sessions.ttl_seconds_max})`);
  if (sessions.least_useful_usd === 0) report(['sessions', 'least_useful_usd'], 'is less than 0.000001');
  const { limits } = sessions;
  return {
    ttlSeconds: sessions.ttl_seconds,
    ttlSecondsMax: sessions.ttl_seconds_max,
    limits:
      limits === undefined
        ? DEFAULT_SESSIONS.limits
        : {
            spendMicroUsd: limits.spend_usd,
            tokens: limits.tokens ?? null,
            tokensPerRequest: limits.tokens_per_request ?? null,
            requestsPerMinute: limits.requests_per_minute ?? null,
          },
    warnAt: sessions.warn_at,
    onLimit: sessions.on_limit,
    leastUsefulMicroUsd: sessions.least_useful_usd ?? null,
    defaultOutputTokens: sessions.default_output_tokens,
    retentionDays: sessions.retention_days,
    requiredClaims: [...new Set(sessions.required_claims)],
  };
}

function readPrice(price: PolicyDocument['prices'][number]): PriceOverride {
  return {
    match: price.match,
    inputMicroUsdPerMillion: price.input_usd_per_million,
    outputMicroUsdPerMillion: price.output_usd_per_million,
    cachedInputMicroUsdPerMillion: price.cached_input_usd_per_million ?? null,
    cacheWriteMicroUsdPerMillion: price.cache_write_usd_per_million ?? null,
    contextTokens: price.context_tokens,
    maxOutputTokens: price.max_output_tokens,
  };
}

function readBounds(bounds: PolicyDocument['bounds']): UsageBounds {
  if (bounds === undefined) return DEFAULT_BOUNDS;
  const hostedTools = new Map<string, HostedToolBound>();
  for (const [name, tool] of Object.entries(bounds.hosted_tools)) {
    hostedTools.set(name, {
      usesMax: tool.uses_max,
      inputTokensPerUse: tool.input_tokens_per_use,
      microUsdPerUse: tool.usd_per_use,
    });
  }
  return {
    imageTokens: bounds.image_tokens,
    documentTokensPerKib: bounds.document_tokens_per_kib,
    audioTokensPerKib: bounds.audio_tokens_per_kib,
    videoTokensPerKib: bounds.video_tokens_per_kib,
    hostedTools,
  };
}
