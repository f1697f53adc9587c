// A session's standing as the IETF RateLimit fields (draft-ietf-httpapi-ratelimit-headers): structured lists of what
// each dimension allows (`q`) and what is left of it (`r`).
import type { Standing } from '../rpc/session-rpc.ts';

export interface StandingFields {
  readonly ratelimit: string;
  readonly 'ratelimit-policy': string;
}

/** Money in micro-USD. Only `requests` has a window: the others are for the session's life. */
export function standingFields({ spend, tokens, requests }: Standing): StandingFields {
  let policy = `"spend";q=${spend.limitMicroUsd}`;
  let left = `"spend";r=${spend.availableMicroUsd}`;
  if (tokens !== null) {
    policy += `, "tokens";q=${tokens.limit}`;
    left += `, "tokens";r=${tokens.available}`;
  }
  if (requests !== null) {
    policy += `, "requests";q=${requests.limitPerMinute};w=60`;
    left += `, "requests";r=${requests.remaining};t=${requests.resetSeconds}`;
  }
  return { ratelimit: left, 'ratelimit-policy': policy };
}
