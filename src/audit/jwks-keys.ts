// The keys that a published JWK set (RFC 7517, section 5) verifies checkpoints with. Other keys in it are none of ours.
import { importJWK, type CryptoKey } from 'jose';
import { isJsonObject, readStrictJson } from '../json/small-json.ts';
import type { CheckpointKeys } from './checkpoint.ts';

/** Reads the text of a JWK set. Rejects where it is none, or has no key that could sign a checkpoint. */
export async function jwksKeys(text: string): Promise<CheckpointKeys> {
  const reading = readStrictJson(text);
  const list = reading.ok && isJsonObject(reading.value) ? reading.value['keys'] : undefined;
  if (!Array.isArray(list)) throw new Error('not a JWK set');
  const keys = new Map<string, CryptoKey>();
  for (const jwk of list) {
    if (!isJsonObject(jwk)) continue;
    const { kid, alg } = jwk;
    if (typeof kid !== 'string' || (alg !== 'EdDSA' && alg !== 'ES256')) continue;
    const key = await importJWK({ ...jwk }, alg);
    if (!(key instanceof Uint8Array)) keys.set(`${alg} ${kid}`, key);
  }
  if (keys.size === 0) throw new Error('no Ed25519 or P-256 key in it');
  return (kid, alg) => keys.get(`${alg} ${kid}`) ?? null;
}
