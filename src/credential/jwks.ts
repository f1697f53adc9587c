// The public half of our signing keys, for `GET /.well-known/jwks.json`.
import type { KeyRing } from '../signing/signing-keys.ts';

/** A JWK set (RFC 7517 section 5) of all keys that verify, the signing one first. */
export function publicJwks(keys: KeyRing): { readonly keys: readonly Readonly<Record<string, string>>[] } {
  return { keys: Array.from(keys.byKid.values(), (key) => key.publicJwk) };
}
