// The keys with which Cloudflare Access signs: read from what its endpoint answers, each checked before it is believed.
// Fetches nothing.
import { importJWK, type CryptoKey } from 'jose';
import { isJsonObject, type JsonValue, readStrictJson } from '../json/small-json.ts';
import { MAX_ACCESS_KEYS, MAX_ACCESS_KID_CHARS } from '../limits.ts';

export type AccessKeys = ReadonlyMap<string, CryptoKey>;

/** The modulus of 2048, 3072 or 4096 bits in base64url (RFC 7518 section 6.3.1.1). */
const MODULUS = /^(?:[A-Za-z0-9_-]{342}|[A-Za-z0-9_-]{512}|[A-Za-z0-9_-]{683})$/;
/** 65537 (RFC 8017 leaves others open; Access uses no other). */
const EXPONENT = 'AQAB';

/**
 * Reads a JWK set (RFC 7517 section 5) of RSA keys for RS256, by `kid`. Other keys are left out, since a set may have
 * them; null where no usable one is left, a `kid` is there twice, or the text is no such set.
 */
export async function readAccessKeys(text: string): Promise<AccessKeys | null> {
  const reading = readStrictJson(text);
  const members = reading.ok && isJsonObject(reading.value) ? reading.value['keys'] : undefined;
  if (!Array.isArray(members) || members.length > MAX_ACCESS_KEYS) return null;
  const keys = new Map<string, CryptoKey>();
  for (const { kid, n, e } of members.flatMap(usable)) {
    const key = await imported(n, e);
    if (key === null) continue;
    if (keys.has(kid)) return null;
    keys.set(kid, key);
  }
  return keys.size === 0 ? null : keys;
}

/** The members that count of a key for RS256; none of any other. */
function usable(jwk: JsonValue): readonly { readonly kid: string; readonly n: string; readonly e: string }[] {
  if (!isJsonObject(jwk)) return [];
  const { kty, alg = 'RS256', use = 'sig', kid, n, e } = jwk;
  if (kty !== 'RSA' || alg !== 'RS256' || use !== 'sig') return [];
  if (typeof kid !== 'string' || kid === '' || kid.length > MAX_ACCESS_KID_CHARS) return [];
  return typeof n === 'string' && MODULUS.test(n) && e === EXPONENT ? [{ kid, n, e }] : [];
}

async function imported(n: string, e: string): Promise<CryptoKey | null> {
  try {
    const key = await importJWK({ kty: 'RSA', n, e }, 'RS256', { extractable: false });
    return key instanceof Uint8Array ? null : key;
  } catch {
    return null;
  }
}
