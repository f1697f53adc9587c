// The head on the wire: a compact JWS (RFC 7515) by the deployment's own signing keys, of a type that no credential has.
import { CompactSign, compactVerify } from 'jose';
import { MAX_HEAD_BYTES } from '../limits.ts';
import type { KeyRing } from '../signing/signing-keys.ts';
import { type Head, parseHead } from './snapshot.ts';

const HEAD_TYPE = 'fusebox-head+jws';

export async function signHead(head: Head, { signer }: KeyRing): Promise<string> {
  return new CompactSign(new TextEncoder().encode(JSON.stringify(head)))
    .setProtectedHeader({ alg: signer.alg, kid: signer.kid, typ: HEAD_TYPE })
    .sign(signer.privateKey);
}

/** The head inside, once its signature, type, size and deployment were checked; null when any of them is wrong. */
export async function verifyHead(jws: string, keys: KeyRing, deployment: string): Promise<Head | null> {
  if (jws.length > MAX_HEAD_BYTES) return null;
  try {
    const { payload } = await compactVerify(
      jws,
      (header) => {
        const key = keys.byKid.get(header.kid ?? '');
        if (key === undefined || key.alg !== header.alg || header.typ !== HEAD_TYPE)
          throw new Error('not a head of ours');
        return key.publicKey;
      },
      { algorithms: ['EdDSA', 'ES256'] },
    );
    const head = parseHead(new TextDecoder().decode(payload));
    return head?.deployment === deployment ? head : null;
  } catch {
    return null;
  }
}
