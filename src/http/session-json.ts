// A session and its ledger as JSON: what operators and the agent itself are shown. Money leaves as decimal strings, times
// as RFC 3339.
import { formatUsd } from '../money.ts';
import type { LedgerEntry, SessionLimits, SessionStatus, SessionView, Usage } from '../rpc/session-rpc.ts';
import { timestamp } from './timestamp.ts';

export interface SessionJson {
  readonly id: string;
  readonly agent: string;
  readonly customer: string | null;
  /** One, or a list where the credential names several. */
  readonly segment: string | readonly string[] | null;
  readonly scopes: readonly string[];
  readonly status: SessionStatus;
  readonly created_at: string;
  readonly expires_at: string;
  readonly limits: LimitsJson;
  readonly spend: { readonly settled_usd: string; readonly held_usd: string; readonly available_usd: string };
  readonly tokens: { readonly settled: number; readonly held: number; readonly available: number | null };
  readonly requests: { readonly admitted: number; readonly denied: number };
  readonly breaker: { readonly state: 'closed' | 'open'; readonly since: string; readonly reason: string | null };
  /** Not scored by this version: no component has been measured. */
  readonly risk: { readonly score: 0; readonly components: Readonly<Record<string, never>> };
  readonly warnings: readonly string[];
  readonly trip: {
    readonly at: string;
    readonly reason: string;
    readonly evidence: Readonly<Record<string, string | number>>;
  } | null;
  readonly revocation: { readonly at: string; readonly reason: string; readonly by: string } | null;
}

interface LimitsJson {
  readonly spend_usd: string;
  readonly tokens: number | null;
  readonly tokens_per_request: number | null;
  readonly requests_per_minute: number | null;
}

export interface LedgerEntryJson {
  readonly id: string;
  readonly at: string;
  readonly route: string;
  readonly protocol: string;
  readonly model: string | null;
  readonly action: string;
  readonly state: LedgerEntry['state'];
  readonly hold_usd: string;
  readonly hold_tokens: number;
  readonly cost_usd: string;
  readonly cost_tokens: number;
  readonly usage: UsageJson | null;
  readonly estimated: boolean;
  readonly reason: string | null;
  readonly adjusts?: string;
  readonly flags?: readonly string[];
}

interface UsageJson {
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly cache_read_tokens: number;
  readonly cache_write_tokens: number;
  readonly reasoning_tokens: number;
}

/** `id` is how people name the session (see `sessionId`). What is available may be negative inside; 0 is shown. */
export function sessionJson(id: string, view: SessionView): SessionJson {
  const { identity, spend, tokens, requests, breaker, trip, revocation } = view;
  return {
    id,
    agent: identity.agent,
    customer: identity.customer,
    segment: identity.segments.length > 1 ? identity.segments : (identity.segments[0] ?? null),
    scopes: identity.scopes,
    status: view.status,
    created_at: timestamp(view.createdAtMs),
    expires_at: timestamp(identity.expiresAtMs),
    limits: limitsJson(view.limits),
    spend: {
      settled_usd: formatUsd(spend.settledMicroUsd),
      held_usd: formatUsd(spend.heldMicroUsd),
      available_usd: formatUsd(Math.max(0, spend.availableMicroUsd)),
    },
    tokens: {
      settled: tokens.settled,
      held: tokens.held,
      available: tokens.available === null ? null : Math.max(0, tokens.available),
    },
    requests: { admitted: requests.admitted, denied: requests.denied },
    breaker: { state: breaker.state, since: timestamp(breaker.sinceMs), reason: breaker.reason },
    risk: { score: 0, components: {} },
    warnings: view.warnings.map((warning) => warning.warning),
    trip: trip === null ? null : { at: timestamp(trip.atMs), reason: trip.reason, evidence: trip.evidence },
    revocation:
      revocation === null ? null : { at: timestamp(revocation.atMs), reason: revocation.reason, by: revocation.by },
  };
}

/** One line of the ledger. `cost_usd` of all entries adds up to `spend.settled_usd`. */
export function ledgerEntryJson(entry: LedgerEntry): LedgerEntryJson {
  return {
    id: entry.id,
    at: timestamp(entry.atMs),
    route: entry.route,
    protocol: entry.protocol,
    model: entry.model,
    action: entry.action,
    state: entry.state,
    hold_usd: formatUsd(entry.holdMicroUsd),
    hold_tokens: entry.holdTokens,
    cost_usd: formatUsd(entry.costMicroUsd),
    cost_tokens: entry.costTokens,
    usage: entry.usage === null ? null : usageJson(entry.usage),
    estimated: entry.estimated,
    reason: entry.reason,
    ...(entry.adjusts === undefined ? {} : { adjusts: entry.adjusts }),
    ...(entry.flags === undefined ? {} : { flags: entry.flags }),
  };
}

function limitsJson(limits: SessionLimits): LimitsJson {
  return {
    spend_usd: formatUsd(limits.spendMicroUsd),
    tokens: limits.tokens,
    tokens_per_request: limits.tokensPerRequest,
    requests_per_minute: limits.requestsPerMinute,
  };
}

function usageJson(usage: Usage): UsageJson {
  return {
    input_tokens: usage.inputTokens,
    output_tokens: usage.outputTokens,
    cache_read_tokens: usage.cacheReadTokens,
    cache_write_tokens: usage.cacheWriteTokens,
    reasoning_tokens: usage.reasoningTokens,
  };
}
