// Verifies session tokens: compact form, header, key, signature, claims, in this order. The clock comes in as an
// argument. What exactly is wrong with a token goes to the log, not to whoever sent it.
import { compactVerify, errors } from 'jose';
import type { Denial } from '../denial.ts';
import { type ClaimRules, hasExpired, type Principal, readClaims } from './claims.ts';
import type { JsonObject } from '../json/small-json.ts';
import { readCompact } from './compact.ts';
import type { KeyRing, SigningKey } from '../signing/signing-keys.ts';
import { TokenCache } from './token-cache.ts';

/** RFC 8725 section 3.11: a type of its own, so that no other JWT of the same keys can pass for one. */
export const SESSION_TOKEN_TYPE = 'agent-session+jwt';

/** A `Result<Principal>` with what only the log may know. */
export type Verification =
  | { readonly ok: true; readonly value: Principal }
  | { readonly ok: false; readonly denial: Denial; readonly logDetail: string };

export interface TokenVerifier {
  /**
   * Who the token speaks for. Synchronous when this isolate has verified the token before; otherwise about 0.1 ms of CPU
   * for a token with a valid form, and next to nothing for others. Has verified: form, header, signature, every claim.
   * Has not: revocation, scopes, anything that the session's object knows.
   */
  verify(token: string, nowMs: number): Verification | Promise<Verification>;
}

export interface TokenVerifierOptions extends ClaimRules {
  readonly keys: KeyRing;
}

const HEADER_MEMBERS = ['alg', 'kid', 'typ'];
const EXPIRED = deny('credential-expired', '"exp" is in the past');

/** A verifier with a cache of its own: make one per configuration, so that changed keys or rules never meet old verdicts. */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const cache = new TokenCache();
  return {
    verify(token, nowMs) {
      const known = cache.get(token);
      if (known === undefined) return verifyAndKeep(token, nowMs);
      if (!hasExpired(known.expiresAtMs, nowMs)) return { ok: true, value: known };
      cache.delete(token);
      return EXPIRED;
    },
  };

  async function verifyAndKeep(token: string, nowMs: number): Promise<Verification> {
    const verification = await verifySessionToken(token, options, nowMs);
    if (verification.ok) cache.set(token, verification.value);
    return verification;
  }
}

/** Verifies one token without a cache (RFC 7515 section 5.2, RFC 7519 section 7.2, RFC 8725). */
export async function verifySessionToken(
  token: string,
  options: TokenVerifierOptions,
  nowMs: number,
): Promise<Verification> {
  const compact = readCompact(token);
  if (!compact.ok) return deny('credential-invalid', compact.reason);
  const key = keyFor(compact.token.header, options.keys);
  if (typeof key === 'string') return deny('credential-invalid', key);
  if (!(await isSignedBy(token, key))) return deny('credential-invalid', `the signature is not by key ${key.kid}`);
  const reading = readClaims(compact.token.claims, options, nowMs);
  if (!reading.ok) return deny(reading.code, reading.reason);
  return { ok: true, value: reading.principal };
}

/** The key that the header names, or the reason why the header is refused. Exactly three members: no jwk, jku, x5u, x5c, crit, b64. */
function keyFor(header: JsonObject, keys: KeyRing): SigningKey | string {
  const members = Object.keys(header).toSorted();
  if (members.length !== HEADER_MEMBERS.length || !members.every((name, index) => name === HEADER_MEMBERS[index])) {
    return 'the header has other members than alg, kid and typ';
  }
  if (header['typ'] !== SESSION_TOKEN_TYPE) return `"typ" is not ${SESSION_TOKEN_TYPE}`;
  const { kid } = header;
  const key = typeof kid === 'string' ? keys.byKid.get(kid) : undefined;
  if (key === undefined) return '"kid" names no key that is known here';
  if (header['alg'] !== key.alg) return `"alg" is not that of key ${key.kid}`;
  return key;
}

async function isSignedBy(token: string, key: SigningKey): Promise<boolean> {
  try {
    await compactVerify(token, key.publicKey, { algorithms: [key.alg] });
    return true;
  } catch (error) {
    if (error instanceof errors.JOSEError) return false;
    throw error;
  }
}

/** The detail is a constant: http/problem.ts shows one message for all of these, and other users of the denial get no more. */
function deny(
  code: Extract<Denial['code'], 'credential-invalid' | 'credential-expired' | 'proof-invalid'>,
  logDetail: string,
): Verification {
  return { ok: false, denial: { code, detail: 'The credential was not accepted.' }, logDetail };
}
