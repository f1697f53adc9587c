// Our own signing keys: read from the secret SESSION_SIGNING_KEYS, checked once when loaded. Keys come from here only,
// never from a token.
import { importJWK, type CryptoKey, type JWK } from 'jose';
import { isId } from '../policy/grammar.ts';
import { isJsonObject, type JsonObject, type JsonValue, readStrictJson } from '../json/small-json.ts';

type SigningAlgorithm = 'EdDSA' | 'ES256';

export interface SigningKey {
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
  readonly publicJwk: Readonly<Record<string, string>>;
}

/** The public part of a key that is gone. */
interface RetiredKey {
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly publicKey: CryptoKey;
}

export interface KeyRing {
  /** The first key of the list: it signs. */
  readonly signer: SigningKey;
  /** All keys that are not retired, by kid: they verify. */
  readonly byKid: ReadonlyMap<string, SigningKey>;
  /** Those that verify what logs were signed with in their time, and nothing else: no credential, no head. */
  readonly retired: ReadonlyMap<string, RetiredKey>;
}

export type KeyRingReading =
  | { readonly ok: true; readonly keys: KeyRing }
  | { readonly ok: false; readonly reason: string };

/** Two or three in use, and the retired ones of some years. */
export const MAX_SIGNING_KEYS = 64;
/** 32 octets in base64url: a coordinate or a private scalar of Ed25519 and P-256. */
const OCTETS_32 = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/;
const MEMBERS: Readonly<Record<SigningAlgorithm, readonly string[]>> = {
  EdDSA: ['x', 'd'],
  ES256: ['x', 'y', 'd'],
};
const TYPES: Readonly<Record<SigningAlgorithm, { readonly kty: string; readonly crv: string }>> = {
  EdDSA: { kty: 'OKP', crv: 'Ed25519' },
  ES256: { kty: 'EC', crv: 'P-256' },
};
const OPTIONAL_MEMBERS = new Set(['kty', 'crv', 'kid', 'alg', 'use', 'key_ops', 'ext', 'retired']);

/**
 * Reads a JSON array of private JWKs (RFC 7517; Ed25519 by RFC 8037, P-256 by RFC 7518 section 6.2): the first signs, all
 * verify. One with `"retired": true` has no private part and verifies old logs only. Other key types, missing or repeated
 * kids, and public parts that do not belong to their private part are refused. The reason never quotes key material.
 */
export async function readSigningKeys(text: string): Promise<KeyRingReading> {
  const reading = readStrictJson(text.trim());
  if (!reading.ok) return { ok: false, reason: `not JSON: ${reading.reason}` };
  if (!Array.isArray(reading.value) || reading.value.length === 0)
    return { ok: false, reason: 'not a list of at least one private JWK' };
  if (reading.value.length > MAX_SIGNING_KEYS) return { ok: false, reason: `more than ${MAX_SIGNING_KEYS} keys` };
  const byKid = new Map<string, SigningKey>();
  const retired = new Map<string, RetiredKey>();
  for (const [index, jwk] of reading.value.entries()) {
    const key = await readKey(jwk);
    if (typeof key === 'string') return { ok: false, reason: `key ${index + 1}: ${key}` };
    if (byKid.has(key.kid) || retired.has(key.kid))
      return { ok: false, reason: `key ${index + 1}: the kid "${key.kid}" is used twice` };
    if ('privateKey' in key) byKid.set(key.kid, key);
    else retired.set(key.kid, key);
  }
  const [signer] = byKid.values();
  if (signer === undefined) return { ok: false, reason: 'every key is retired: none can sign' };
  return { ok: true, keys: { signer, byKid, retired } };
}

let loaded: { readonly text: string; readonly keys: KeyRing } | null = null;

/** The ring of a secret that was checked when the Worker started; kept, because importing keys costs a millisecond. Throws. */
export async function loadSigningKeys(text: string): Promise<KeyRing> {
  if (loaded?.text === text) return loaded.keys;
  const reading = await readSigningKeys(text);
  if (!reading.ok) throw new Error(`SESSION_SIGNING_KEYS: ${reading.reason}`);
  loaded = { text, keys: reading.keys };
  return reading.keys;
}

async function readKey(jwk: JsonValue): Promise<SigningKey | RetiredKey | string> {
  if (!isJsonObject(jwk)) return 'not an object';
  const { kid } = jwk;
  if (!isId(kid)) return 'has no "kid" of letters, digits and ._:-';
  const alg = algorithmOf(jwk);
  if (alg === null) return 'not an Ed25519 (kty OKP) or P-256 (kty EC) key';
  if (jwk['alg'] !== undefined && jwk['alg'] !== alg) return `"alg" is not ${alg}`;
  if (jwk['use'] !== undefined && jwk['use'] !== 'sig') return '"use" is not "sig"';
  const isRetired = jwk['retired'] === true;
  if (jwk['retired'] !== undefined && !isRetired) return '"retired" is not true';
  if (isRetired && jwk['d'] !== undefined) return 'is retired and still has its private part "d"';
  const members: Record<string, string> = {};
  for (const name of MEMBERS[alg].filter((member) => member !== 'd' || !isRetired)) {
    const value = jwk[name];
    if (typeof value !== 'string' || !OCTETS_32.test(value)) return `"${name}" is not 32 octets in base64url`;
    members[name] = value;
  }
  const unknown = Object.keys(jwk).find((name) => !(name in members) && !OPTIONAL_MEMBERS.has(name));
  if (unknown !== undefined) return `"${unknown}" does not belong in such a key`;
  const { d, ...publicMembers } = members;
  const publicJwk = { ...TYPES[alg], kid, alg, use: 'sig', ...publicMembers };
  return d === undefined ? importRetired({ kid, alg, publicJwk }) : importPair({ kid, alg, publicJwk, d });
}

async function importRetired(parts: {
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly publicJwk: Record<string, string>;
}): Promise<RetiredKey | string> {
  const { kid, alg, publicJwk } = parts;
  const { use: _use, ...bare } = publicJwk;
  try {
    return { kid, alg, publicKey: await importKey(bare, alg) };
  } catch {
    return 'not a usable key';
  }
}

function algorithmOf(jwk: JsonObject): SigningAlgorithm | null {
  const is = (alg: SigningAlgorithm): boolean => jwk['kty'] === TYPES[alg].kty && jwk['crv'] === TYPES[alg].crv;
  if (is('EdDSA')) return 'EdDSA';
  return is('ES256') ? 'ES256' : null;
}

async function importPair(parts: {
  readonly kid: string;
  readonly alg: SigningAlgorithm;
  readonly publicJwk: Record<string, string>;
  readonly d: string;
}): Promise<SigningKey | string> {
  const { kid, alg, publicJwk, d } = parts;
  const { use: _use, ...bare } = publicJwk;
  try {
    const privateKey = await importKey({ ...bare, d }, alg);
    const publicKey = await importKey(bare, alg);
    const probe = new TextEncoder().encode(kid);
    const parameters = alg === 'EdDSA' ? { name: 'Ed25519' } : { name: 'ECDSA', hash: 'SHA-256' };
    const signature = await crypto.subtle.sign(parameters, privateKey, probe);
    const belongs = await crypto.subtle.verify(parameters, publicKey, signature, probe);
    return belongs
      ? { kid, alg, privateKey, publicKey, publicJwk }
      : 'the public part does not belong to the private part';
  } catch {
    return 'not a usable key';
  }
}

async function importKey(jwk: JWK, alg: SigningAlgorithm): Promise<CryptoKey> {
  const key = await importJWK(jwk, alg, { extractable: false });
  if (key instanceof Uint8Array) throw new TypeError('a symmetric key');
  return key;
}
