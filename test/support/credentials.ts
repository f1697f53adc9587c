// Signing keys and tokens for tests, good and bad. Keys are made per run.
import { base64url, exportJWK, generateKeyPair, SignJWT, type JWTPayload } from 'jose';
import type { TokenVerifierOptions } from '../../src/credential/session-token.ts';
import { type KeyRing, readSigningKeys } from '../../src/signing/signing-keys.ts';
import { microUsd } from '../../src/money.ts';

export const NOW_MS = Date.UTC(2026, 10, 20, 12);
export const NOW_SECONDS = NOW_MS / 1_000;

/** A private JWK as SESSION_SIGNING_KEYS holds it. */
export async function privateJwk(kid: string, alg: 'EdDSA' | 'ES256' = 'EdDSA'): Promise<Record<string, unknown>> {
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return { ...(await exportJWK(privateKey)), kid, alg };
}

export async function keyRing(...jwks: readonly Record<string, unknown>[]): Promise<KeyRing> {
  const reading = await readSigningKeys(JSON.stringify(jwks));
  if (!reading.ok) throw new Error(reading.reason);
  return reading.keys;
}

export function verifierOptions(keys: KeyRing, more: Partial<TokenVerifierOptions> = {}): TokenVerifierOptions {
  return {
    keys,
    issuer: 'fusebox',
    audience: 'fusebox',
    ttlSecondsMax: 86_400,
    defaultLimits: {
      spendMicroUsd: microUsd(10_000_000),
      tokens: null,
      tokensPerRequest: null,
      requestsPerMinute: 120,
    },
    requiredClaims: [],
    ...more,
  };
}

export function goodClaims(more: Readonly<Record<string, unknown>> = {}): JWTPayload {
  return {
    iss: 'fusebox',
    aud: 'fusebox',
    iat: NOW_SECONDS,
    exp: NOW_SECONDS + 3_600,
    jti: 'jti-1',
    sub: 'agent-1',
    sid: 'session-1',
    scope: 'llm:openai ticket:*',
    limits: { spend_micro_usd: 5_000_000, tokens: 1_000 },
    ...more,
  };
}

/** Signs claims with the first key of the ring, under any header. Members set to undefined are left out. */
export async function signToken(
  keys: KeyRing,
  claims: JWTPayload,
  header: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  const { signer } = keys;
  return new SignJWT(claims)
    .setProtectedHeader({ alg: signer.alg, typ: 'agent-session+jwt', kid: signer.kid, ...header })
    .sign(signer.privateKey);
}

/** Signs texts as they are, so that JSON which no serialiser writes can be tried. */
export async function signTexts(
  keys: KeyRing,
  texts: { readonly header: string; readonly claims: string },
): Promise<string> {
  const input = `${base64url.encode(texts.header)}.${base64url.encode(texts.claims)}`;
  const { signer } = keys;
  const parameters = signer.alg === 'EdDSA' ? { name: 'Ed25519' } : { name: 'ECDSA', hash: 'SHA-256' };
  const signature = await crypto.subtle.sign(parameters, signer.privateKey, new TextEncoder().encode(input));
  return `${input}.${base64url.encode(new Uint8Array(signature))}`;
}
