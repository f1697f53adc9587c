// What the claims of a session token mean: every member parsed strictly, nothing believed by halves. Pure; the caller
// has verified the signature.
import type { DenialCode } from '../denial.ts';
import {
  CLOCK_SKEW_EXPIRY_SECONDS,
  CLOCK_SKEW_ISSUED_SECONDS,
  MAX_MICRO_USD,
  MAX_SCOPES,
  MAX_SEGMENTS,
  MAX_TOKENS,
} from '../limits.ts';
import { microUsd } from '../money.ts';
import { MAX_REQUESTS_PER_MINUTE } from '../policy/fields.ts';
import { isGrantedScope, isId } from '../policy/grammar.ts';
import type { SessionIdentity, SessionLimits } from '../rpc/session-rpc.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../json/small-json.ts';

/** Who a verified credential speaks for, and which credential it is. */
export interface Principal extends SessionIdentity {
  readonly jti: string;
  readonly issuedAtMs: number;
}

export interface ClaimRules {
  readonly issuer: string;
  readonly audience: string;
  /** The policy's longest session. */
  readonly ttlSecondsMax: number;
  /** What a credential that names no limit gets. */
  readonly defaultLimits: SessionLimits;
  readonly requiredClaims: readonly ('customer' | 'segment')[];
}

export type ClaimsReading =
  | { readonly ok: true; readonly principal: Principal }
  | {
      readonly ok: false;
      readonly code: Extract<DenialCode, 'credential-invalid' | 'credential-expired' | 'proof-invalid'>;
      readonly reason: string;
    };

const LIMIT_KEYS = ['spend_micro_usd', 'tokens', 'tokens_per_request', 'requests_per_minute'] as const;
type LimitKey = (typeof LIMIT_KEYS)[number];
const MAXIMA: Readonly<Record<LimitKey, number>> = {
  spend_micro_usd: MAX_MICRO_USD,
  tokens: MAX_TOKENS,
  tokens_per_request: MAX_TOKENS,
  requests_per_minute: MAX_REQUESTS_PER_MINUTE,
};

class Refusal extends Error {
  readonly code: 'credential-invalid' | 'credential-expired' | 'proof-invalid';

  constructor(reason: string, code: Refusal['code'] = 'credential-invalid') {
    super(reason);
    this.code = code;
  }
}

/**
 * Reads the claims of a token whose signature and header have been verified (RFC 7519 section 4.1, RFC 9068 section
 * 2.2.3, and the claims of our own). Unknown claims are ignored, as RFC 7519 section 4 says; unknown limits are refused.
 * A `cnf` claim (RFC 7800) is refused: proof of possession is not supported by this version, and a bound token must not
 * pass as a bearer token.
 */
export function readClaims(claims: JsonObject, rules: ClaimRules, nowMs: number): ClaimsReading {
  try {
    return { ok: true, principal: principalOf(claims, rules, nowMs / 1_000) };
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, code: error.code, reason: error.message };
    throw error;
  }
}

/** Whether a credential that ends at this time has ended, our own clock's skew allowed. */
export function hasExpired(expiresAtMs: number, nowMs: number): boolean {
  return nowMs >= expiresAtMs + CLOCK_SKEW_EXPIRY_SECONDS * 1_000;
}

function principalOf(claims: JsonObject, rules: ClaimRules, nowSeconds: number): Principal {
  if (claims['iss'] !== rules.issuer) throw new Refusal('"iss" is not an issuer known here');
  if (!isAudience(claims['aud'], rules.audience)) throw new Refusal('"aud" does not name this gateway');
  const times = timesOf(claims, rules, nowSeconds);
  if (claims['cnf'] !== undefined) {
    throw new Refusal(
      '"cnf" binds the token to a key: proof of possession is not supported by this version',
      'proof-invalid',
    );
  }
  const customer = claims['customer'] === undefined ? null : idOf(claims, 'customer');
  const segments = segmentsOf(claims['segment']);
  if (rules.requiredClaims.includes('customer') && customer === null)
    throw new Refusal('the policy requires "customer"');
  if (rules.requiredClaims.includes('segment') && segments.length === 0)
    throw new Refusal('the policy requires "segment"');
  return {
    issuer: rules.issuer,
    sid: idOf(claims, 'sid'),
    agent: idOf(claims, 'sub'),
    jti: idOf(claims, 'jti'),
    customer,
    segments,
    scopes: scopesOf(claims['scope']),
    limits: limitsOf(claims['limits'], rules.defaultLimits),
    issuedAtMs: times.issuedAtSeconds * 1_000,
    expiresAtMs: times.expiresAtSeconds * 1_000,
  };
}

function timesOf(
  claims: JsonObject,
  rules: ClaimRules,
  nowSeconds: number,
): { issuedAtSeconds: number; expiresAtSeconds: number } {
  const issuedAtSeconds = secondsOf(claims, 'iat');
  const expiresAtSeconds = secondsOf(claims, 'exp');
  const notBeforeSeconds = claims['nbf'] === undefined ? issuedAtSeconds : secondsOf(claims, 'nbf');
  if (expiresAtSeconds <= issuedAtSeconds) throw new Refusal('"exp" is not after "iat"');
  if (expiresAtSeconds - issuedAtSeconds > rules.ttlSecondsMax)
    throw new Refusal(`it lives longer than ${rules.ttlSecondsMax} s`);
  if (issuedAtSeconds > nowSeconds + CLOCK_SKEW_ISSUED_SECONDS) throw new Refusal('"iat" is in the future');
  if (notBeforeSeconds > nowSeconds + CLOCK_SKEW_ISSUED_SECONDS) throw new Refusal('"nbf" is in the future');
  if (hasExpired(expiresAtSeconds * 1_000, nowSeconds * 1_000))
    throw new Refusal('"exp" is in the past', 'credential-expired');
  return { issuedAtSeconds, expiresAtSeconds };
}

/** A NumericDate; whole seconds only, small enough to be exact in milliseconds. */
function secondsOf(claims: JsonObject, name: string): number {
  const value = claims[name];
  if (typeof value !== 'number' || !Number.isSafeInteger(value * 1_000) || !Number.isInteger(value) || value < 0) {
    throw new Refusal(`"${name}" is not a time in whole seconds`);
  }
  return value;
}

function isAudience(value: JsonValue | undefined, audience: string): boolean {
  return Array.isArray(value)
    ? value.every((member) => typeof member === 'string') && value.includes(audience)
    : value === audience;
}

function idOf(claims: JsonObject, name: string): string {
  const value = claims[name];
  if (!isId(value)) throw new Refusal(`"${name}" is not an id`);
  return value;
}

function segmentsOf(value: JsonValue | undefined): readonly string[] {
  if (value === undefined) return [];
  const list = Array.isArray(value) ? value : [value];
  if (list.length > MAX_SEGMENTS) throw new Refusal(`"segment" has more than ${MAX_SEGMENTS} members`);
  if (list.length === 0 || !list.every(isId)) throw new Refusal('"segment" is not an id or a list of ids');
  if (new Set(list).size !== list.length) throw new Refusal('"segment" names one twice');
  return list;
}

/** RFC 9068 section 2.2.3: a space-separated list. Empty means that nothing is granted. */
function scopesOf(value: JsonValue | undefined): readonly string[] {
  if (typeof value !== 'string') throw new Refusal('"scope" is not a string');
  if (value === '') return [];
  const scopes = value.split(' ');
  if (scopes.length > MAX_SCOPES) throw new Refusal(`"scope" has more than ${MAX_SCOPES} members`);
  if (!scopes.every(isGrantedScope)) throw new Refusal('"scope" is not a list of scopes');
  return scopes;
}

function limitsOf(value: JsonValue | undefined, defaults: SessionLimits): SessionLimits {
  if (value === undefined) return defaults;
  if (!isJsonObject(value)) throw new Refusal('"limits" is not an object');
  const unknown = Object.keys(value).find((key) => !LIMIT_KEYS.some((known) => known === key));
  if (unknown !== undefined) throw new Refusal(`"limits" has the unknown key ${JSON.stringify(unknown.slice(0, 64))}`);
  const spend = limitOf(value, 'spend_micro_usd');
  return {
    spendMicroUsd: spend === null ? defaults.spendMicroUsd : microUsd(spend),
    tokens: limitOf(value, 'tokens') ?? defaults.tokens,
    tokensPerRequest: limitOf(value, 'tokens_per_request') ?? defaults.tokensPerRequest,
    requestsPerMinute: limitOf(value, 'requests_per_minute') ?? defaults.requestsPerMinute,
  };
}

/** Zero is a limit too: it allows nothing. */
function limitOf(limits: JsonObject, key: LimitKey): number | null {
  const value = limits[key];
  if (value === undefined) return null;
  const isWhole = typeof value === 'number' && Number.isSafeInteger(value) && !Object.is(value, -0);
  if (isWhole && value >= 0 && value <= MAXIMA[key]) return value;
  throw new Refusal(`"limits.${key}" is not a whole number from 0 to ${MAXIMA[key]}`);
}
