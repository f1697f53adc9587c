// What the policy says where its file does not: on the safe side for money, and adjustable key by key.
import { DEFAULT_RETENTION_DAYS, MAX_SESSION_TTL_SECONDS } from '../limits.ts';
import { microUsd } from '../money.ts';
import type { SessionPolicy, UsageBounds } from './policy.ts';

const HOUR_SECONDS = 3_600;

/** Only money is capped where the policy names no limits: the other dimensions have no amount that suits everyone. */
export const DEFAULT_SESSIONS: SessionPolicy = {
  ttlSeconds: HOUR_SECONDS,
  ttlSecondsMax: Math.min(24 * HOUR_SECONDS, MAX_SESSION_TTL_SECONDS),
  limits: { spendMicroUsd: microUsd(10_000_000), tokens: null, tokensPerRequest: null, requestsPerMinute: null },
  warnAt: 0.9,
  onLimit: 'revoke',
  leastUsefulMicroUsd: null,
  defaultOutputTokens: 8_192,
  retentionDays: DEFAULT_RETENTION_DAYS,
  requiredClaims: [],
};

/**
 * Declared worst cases of media. A picture is at most some 5,000 tokens on the models in use; a page of a document is a
 * picture and its text; audio is 32 tokens a second at no less than 8 kbit/s; video 300 a second, from 3 kbit/s for stills.
 * Hosted tools are empty here: each protocol declares those of its provider, and the policy's entries come before them.
 */
export const DEFAULT_BOUNDS: UsageBounds = {
  imageTokens: 6_144,
  documentTokensPerKib: 2_048,
  audioTokensPerKib: 64,
  videoTokensPerKib: 1_024,
  hostedTools: new Map(),
};
