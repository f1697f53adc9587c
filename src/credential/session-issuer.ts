// Signs session tokens of our own. Decides nothing: who may have one, and for how long, is the caller's.
import { SignJWT } from 'jose';
import type { SessionIdentity, SessionLimits } from '../rpc/session-rpc.ts';
import { SESSION_TOKEN_TYPE } from './session-token.ts';
import type { KeyRing } from '../signing/signing-keys.ts';

export interface IssueRequest {
  /** Its `expiresAtMs` is the end of the session; the token's own end is `expiresAtMs` below. */
  readonly session: SessionIdentity;
  readonly audience: string;
  readonly jti: string;
  readonly issuedAtMs: number;
  readonly expiresAtMs: number;
}

/**
 * Signs a credential of a session with the first key (RFC 7519; `alg` EdDSA or ES256). Times are rounded down to whole
 * seconds. All limits are written out, so that what the credential says does not change with the policy's defaults.
 */
export async function issueSessionToken(keys: KeyRing, request: IssueRequest): Promise<string> {
  const { session } = request;
  const claims = {
    sid: session.sid,
    scope: session.scopes.join(' '),
    limits: limitClaims(session.limits),
    ...(session.customer === null ? {} : { customer: session.customer }),
    ...(session.segments.length === 0
      ? {}
      : { segment: session.segments.length === 1 ? session.segments[0] : session.segments }),
  };
  return new SignJWT(claims)
    .setProtectedHeader({ alg: keys.signer.alg, typ: SESSION_TOKEN_TYPE, kid: keys.signer.kid })
    .setIssuer(session.issuer)
    .setAudience(request.audience)
    .setSubject(session.agent)
    .setJti(request.jti)
    .setIssuedAt(Math.floor(request.issuedAtMs / 1_000))
    .setExpirationTime(Math.floor(request.expiresAtMs / 1_000))
    .sign(keys.signer.privateKey);
}

function limitClaims(limits: SessionLimits): Readonly<Record<string, number>> {
  return {
    spend_micro_usd: limits.spendMicroUsd,
    ...(limits.tokens === null ? {} : { tokens: limits.tokens }),
    ...(limits.tokensPerRequest === null ? {} : { tokens_per_request: limits.tokensPerRequest }),
    ...(limits.requestsPerMinute === null ? {} : { requests_per_minute: limits.requestsPerMinute }),
  };
}
