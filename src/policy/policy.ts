// The policy as the rest of the program sees it: parsed, defaulted, with money in micro-USD. policy/parse.ts makes it
// from YAML; nothing else may.
import type { MicroUsd } from '../money.ts';
import type { SessionLimits } from '../rpc/session-rpc.ts';
import type { AdminRole } from './admin-roles.ts';

export type ProtocolName = 'openai' | 'anthropic' | 'gemini' | 'http';

export interface Policy {
  /** Hex SHA-256 of the YAML text. */
  readonly digest: string;
  readonly sessions: SessionPolicy;
  readonly revocation: RevocationPolicy;
  readonly drills: {
    /** A kill drill is due this often; 0 for never. */
    readonly everyDays: number;
  };
  readonly routes: ReadonlyMap<string, RoutePolicy>;
  readonly prices: readonly PriceOverride[];
  readonly bounds: UsageBounds;
  /** Read of the deployed file alone: who may change the policy at run time must not decide who may change it. */
  readonly admin: { readonly access: AccessPolicy | null };
}

/** Cloudflare Access in front of the control plane. */
export interface AccessPolicy {
  /** `https://TEAM.cloudflareaccess.com`: `iss` of its assertions. */
  readonly issuer: string;
  /** `aud` of its assertions. */
  readonly audience: string;
  /** Where its keys are. */
  readonly certsUrl: string;
  readonly roles: readonly AccessRole[];
}

/** Whom a row names, and what they may do. */
export interface AccessRole {
  readonly kind: 'email' | 'group' | 'service_token';
  /** The address, the group, or the client id. */
  readonly name: string;
  /** The person who answers for a service token; null where none is named. */
  readonly owner: string | null;
  readonly roles: readonly AdminRole[];
}

export interface SessionPolicy {
  readonly ttlSeconds: number;
  readonly ttlSecondsMax: number;
  /** What a credential that names no limit gets. */
  readonly limits: SessionLimits;
  readonly warnAt: number;
  readonly onLimit: 'revoke' | 'pause';
  readonly leastUsefulMicroUsd: MicroUsd | null;
  /** Set on requests that name no maximum. */
  readonly defaultOutputTokens: number;
  /** Whole days after its end before a session is archived. */
  readonly retentionDays: number;
  readonly requiredClaims: readonly ('customer' | 'segment')[];
}

/** How fresh an isolate's knowledge of revocations and kill switches is kept. */
export interface RevocationPolicy {
  /** It asks this often, and a request beside whose admission it has to ask waits for it. */
  readonly refreshMs: number;
  /** Nothing is served by what is older. */
  readonly maxAgeMs: number;
}

export interface RoutePolicy {
  readonly name: string;
  /** Origin and optional base path, without a trailing slash: "https://api.openai.com". */
  readonly upstream: string;
  readonly protocol: ProtocolName;
  /** The header that carries the provider's key; `value` has `${NAME}` where a secret goes. */
  readonly auth: { readonly header: string; readonly value: string } | null;
  readonly scope: string;
  readonly feature: string | null;
  /** protocol http: first match wins; the default is the last. */
  readonly fees: readonly Fee[];
  /** Beyond those that the protocol forwards. Lower case. */
  readonly forwardHeaders: readonly string[];
  readonly timeoutMs: number;
}

export interface Fee {
  /** Upper case; null for any. */
  readonly method: string | null;
  /** "/tickets/*" style glob over the path after the route; `*` stands for one segment or less, a final `/*` for the rest; null for any. */
  readonly path: string | null;
  readonly microUsd: MicroUsd;
  readonly scope: string | null;
}

/** A price of the policy's own: added to, or over, the price library. Rates are whole micro-USD per million tokens. */
export interface PriceOverride {
  /** Glob over the model id. */
  readonly match: string;
  readonly inputMicroUsdPerMillion: number;
  readonly outputMicroUsdPerMillion: number;
  readonly cachedInputMicroUsdPerMillion: number | null;
  readonly cacheWriteMicroUsdPerMillion: number | null;
  readonly contextTokens: number;
  readonly maxOutputTokens: number;
}

/**
 * Declared worst cases for what a request's bytes do not bound. Hosted tools are bounded per use: so many uses, so many
 * input tokens each, and a fee. All adjustable in the policy under `bounds`.
 */
export interface UsageBounds {
  /** One picture in a request, as tokens. */
  readonly imageTokens: number;
  /** One page-less document (PDF) by its bytes: tokens per KiB. */
  readonly documentTokensPerKib: number;
  readonly audioTokensPerKib: number;
  readonly videoTokensPerKib: number;
  /** By the protocol's own name of the tool ("web_search", "code_interpreter", "googleSearch"). */
  readonly hostedTools: ReadonlyMap<string, HostedToolBound>;
}

export interface HostedToolBound {
  readonly usesMax: number;
  readonly inputTokensPerUse: number;
  readonly microUsdPerUse: MicroUsd;
}
