// What the tests of protocols share: a policy, a context, and requests as the gateway hands them over.
import { microUsd } from '../../src/money.ts';
import type { Policy, PriceOverride, RoutePolicy, UsageBounds } from '../../src/policy/policy.ts';
import { DEFAULT_BOUNDS } from '../../src/policy/defaults.ts';
import { protocolFor } from '../../src/protocol/registry.ts';
import type { Call, Grant, Meter, ReadContext, RouteRequest } from '../../src/protocol/protocol.ts';
import { isJsonObject, type JsonObject } from '../../src/json/body-json.ts';
import type { Result } from '../../src/denial.ts';
import type { ProtocolName } from '../../src/policy/policy.ts';

export const NOW_MS = Date.UTC(2026, 10, 20);

export interface PolicyParts {
  readonly prices?: readonly PriceOverride[];
  readonly bounds?: UsageBounds;
  readonly fees?: RoutePolicy['fees'];
  readonly defaultOutputTokens?: number;
}

export function contextFor(protocol: ProtocolName, parts: PolicyParts = {}): ReadContext {
  const route: RoutePolicy = {
    name: protocol,
    upstream: 'https://upstream.example',
    protocol,
    auth: null,
    scope: `llm:${protocol}`,
    feature: null,
    fees: parts.fees ?? [],
    forwardHeaders: [],
    timeoutMs: 600_000,
  };
  const policy: Policy = {
    digest: '0'.repeat(64),
    sessions: {
      ttlSeconds: 3_600,
      ttlSecondsMax: 86_400,
      limits: { spendMicroUsd: microUsd(10_000_000), tokens: null, tokensPerRequest: null, requestsPerMinute: null },
      warnAt: 0.9,
      onLimit: 'revoke',
      leastUsefulMicroUsd: null,
      defaultOutputTokens: parts.defaultOutputTokens ?? 8_192,
      retentionDays: 30,
      requiredClaims: [],
    },
    revocation: { refreshMs: 5_000, maxAgeMs: 60_000 },
    routes: new Map([[protocol, route]]),
    prices: parts.prices ?? [],
    bounds: parts.bounds ?? DEFAULT_BOUNDS,
    drills: { everyDays: 0 },
    admin: { access: null },
  };
  return { policy, route, nowMs: NOW_MS };
}

export interface RequestParts {
  readonly method?: string;
  readonly query?: string;
  readonly headers?: Record<string, string>;
}

export function requestOf(path: string, body: unknown, parts: RequestParts = {}): RouteRequest {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return {
    method: parts.method ?? 'POST',
    path,
    query: parts.query ?? '',
    headers: new Headers(parts.headers ?? {}),
    body: body === null ? null : new TextEncoder().encode(text),
  };
}

function readOf(
  protocol: ProtocolName,
  path: string,
  body: unknown,
  parts: PolicyParts & RequestParts = {},
): Result<Call> {
  return protocolFor(protocol).read(requestOf(path, body, parts), contextFor(protocol, parts));
}

/** The call, or the refusal as a failure of the test. */
export function callOf(
  protocol: ProtocolName,
  path: string,
  body: unknown,
  parts: PolicyParts & RequestParts = {},
): Call {
  const read = readOf(protocol, path, body, parts);
  if (!read.ok) throw new Error(`refused: ${read.denial.code}: ${read.denial.detail}`);
  return read.value;
}

export function codeOf(
  protocol: ProtocolName,
  path: string,
  body: unknown,
  parts: PolicyParts & RequestParts = {},
): string {
  const read = readOf(protocol, path, body, parts);
  return read.ok ? 'accepted' : read.denial.code;
}

/** All that was asked for, and no warning. */
export function fullGrant(call: Call): Grant {
  return { outputTokens: call.demand.output?.askedTokens ?? null, warnings: [] };
}

export function writtenText(call: Call, grant: Grant = fullGrant(call)): string {
  const { body } = call.write(grant);
  return body === null ? '' : new TextDecoder().decode(body);
}

export function writtenJson(call: Call, grant: Grant = fullGrant(call)): JsonObject {
  const written: unknown = JSON.parse(writtenText(call, grant));
  if (!isJsonObject(written)) throw new Error('not an object');
  return written;
}

/** Feeds a stream given as data (objects are written as JSON), and says what the client saw of each event. */
export function feed(meter: Meter, events: readonly (string | object)[]): readonly ('pass' | 'hide')[] {
  return events.map((event) => {
    const data = typeof event === 'string' ? event : JSON.stringify(event);
    const type =
      typeof event === 'object' && 'type' in event && typeof event.type === 'string' ? event.type : undefined;
    return meter.event({ event: type, data });
  });
}
