// Verifies what Cloudflare Access says of a person or a service in `Cf-Access-Jwt-Assertion`: form, header, key,
// signature, claims, in this order. What it may do, credential/access-roles.ts says. Keys come in through a port.
import { compactVerify, type CryptoKey, errors } from 'jose';
import type { DenialCode } from '../denial.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../json/small-json.ts';
import { CLOCK_SKEW_EXPIRY_SECONDS, CLOCK_SKEW_ISSUED_SECONDS, MAX_ACCESS_KID_CHARS } from '../limits.ts';
import { readCompact, RSA_TOKEN } from './compact.ts';

/** Whom a verified assertion speaks for. */
export type AccessSubject =
  | {
      readonly kind: 'person';
      readonly email: string;
      readonly groups: readonly string[];
      /** The identity provider's own name of the person, which an alias of the address does not change; null where it gives none. */
      readonly subject: string | null;
    }
  | { readonly kind: 'service'; readonly commonName: string };

/** `unavailable`: nobody can say at the moment whether there is such a key. */
export type AccessKeyAnswer =
  | { readonly state: 'known'; readonly key: CryptoKey }
  | { readonly state: 'unknown' }
  | { readonly state: 'unavailable' };

export interface AccessRules {
  /** `https://TEAM.cloudflareaccess.com`. */
  readonly issuer: string;
  /** The audience tag of the Access application. */
  readonly audience: string;
  /** The key that signs under this `kid`. */
  readonly keyOf: (kid: string) => Promise<AccessKeyAnswer>;
}

export type AccessVerification =
  | { readonly ok: true; readonly value: AccessSubject }
  | {
      readonly ok: false;
      readonly code: Extract<DenialCode, 'credential-invalid' | 'credential-expired' | 'enforcement-unavailable'>;
      /** For the log alone. */
      readonly reason: string;
    };

const HEADER_MEMBERS = new Set(['alg', 'kid', 'typ']);
/** RFC 5321 section 4.5.3.1 allows 254; printable ASCII, so that no two addresses look alike and none breaks a log line. */
const EMAIL = /^[\x21-\x3f\x41-\x7e]{1,64}@[A-Za-z0-9.-]{1,189}$/;
const COMMON_NAME = /^[\x21-\x7e]{1,128}$/;

/**
 * Verifies one assertion (RFC 7515 section 5.2, RFC 7519 section 7.2, RFC 8725): RS256 only, signed by a key of the
 * team, for this application, within its time. Has not been checked: whether Access would let the person in now; it
 * issues anew within its session's duration.
 */
export async function verifyAccessAssertion(
  assertion: string,
  rules: AccessRules,
  nowMs: number,
): Promise<AccessVerification> {
  const compact = readCompact(assertion, RSA_TOKEN);
  if (!compact.ok) return invalid(compact.reason);
  const { header, claims } = compact.token;
  const problem = headerProblem(header) ?? audienceProblem(claims, rules);
  if (problem !== null) return invalid(problem);
  const { kid } = header;
  if (typeof kid !== 'string' || kid === '' || kid.length > MAX_ACCESS_KID_CHARS) return invalid('"kid" names no key');
  const answer = await rules.keyOf(kid);
  if (answer.state === 'unavailable')
    return { ok: false, code: 'enforcement-unavailable', reason: 'the keys of Cloudflare Access cannot be fetched' };
  if (answer.state === 'unknown') return invalid('"kid" names no key of the team');
  if (!(await isSignedBy(assertion, answer.key))) return invalid('the signature is not by the key that "kid" names');
  return timeProblem(claims, nowMs / 1_000) ?? subjectOf(claims);
}

/** No other member than these three: no jwk, jku, x5u, crit, b64. */
function headerProblem(header: JsonObject): string | null {
  if (!Object.keys(header).every((name) => HEADER_MEMBERS.has(name)))
    return 'the header has other members than alg, kid and typ';
  if (header['alg'] !== 'RS256') return '"alg" is not RS256';
  return header['typ'] === undefined || header['typ'] === 'JWT' ? null : '"typ" is not JWT';
}

/** Cheap, and asked first: what is meant for somebody else must not make us fetch keys. */
function audienceProblem(claims: JsonObject, { issuer, audience }: AccessRules): string | null {
  if (claims['iss'] !== issuer) return '"iss" is not the team';
  const { aud } = claims;
  const isMeant = Array.isArray(aud) ? aud.includes(audience) : aud === audience;
  if (!isMeant) return '"aud" is not this application';
  // `org` is the global session of the team, which no application may take for its own.
  return claims['type'] === undefined || claims['type'] === 'app' ? null : '"type" is not app';
}

async function isSignedBy(assertion: string, key: CryptoKey): Promise<boolean> {
  try {
    await compactVerify(assertion, key, { algorithms: ['RS256'] });
    return true;
  } catch (error) {
    if (error instanceof errors.JOSEError) return false;
    throw error;
  }
}

function timeProblem(claims: JsonObject, nowSeconds: number): AccessVerification | null {
  const { exp, iat, nbf = iat } = claims;
  if (!isSeconds(exp) || !isSeconds(iat) || !isSeconds(nbf)) return invalid('"exp", "iat" or "nbf" is not a time');
  if (Math.max(iat, nbf) > nowSeconds + CLOCK_SKEW_ISSUED_SECONDS) return invalid('"iat" or "nbf" is in the future');
  return nowSeconds >= exp + CLOCK_SKEW_EXPIRY_SECONDS
    ? { ok: false, code: 'credential-expired', reason: '"exp" is in the past' }
    : null;
}

/** A service token has a `common_name` and no address; a person has an address and no `common_name`. */
function subjectOf(claims: JsonObject): AccessVerification {
  const { email, common_name: commonName, sub } = claims;
  if (commonName === undefined) {
    return typeof email === 'string' && EMAIL.test(email)
      ? {
          ok: true,
          value: {
            kind: 'person',
            email,
            groups: groupsOf(claims),
            subject: typeof sub === 'string' && sub !== '' ? sub : null,
          },
        }
      : invalid('"email" is not an address in printable ASCII');
  }
  if (email !== undefined && email !== '') return invalid('it names both a person and a service token');
  return typeof commonName === 'string' && COMMON_NAME.test(commonName)
    ? { ok: true, value: { kind: 'service', commonName } }
    : invalid('"common_name" is not a name in printable ASCII');
}

/** `groups` where the identity provider's claims are at the top, `custom.groups` where Access keeps them apart. */
function groupsOf(claims: JsonObject): readonly string[] {
  const { custom } = claims;
  return [...textsOf(claims['groups']), ...textsOf(isJsonObject(custom) ? custom['groups'] : undefined)];
}

function textsOf(value: JsonValue | undefined): readonly string[] {
  return Array.isArray(value) ? value.filter((member) => typeof member === 'string') : [];
}

function isSeconds(value: JsonValue | undefined): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function invalid(reason: string): AccessVerification {
  return { ok: false, code: 'credential-invalid', reason };
}
