// The head on the wire: a compact JWS (RFC 7515) by the deployment's own signing keys, of a type that no credential has.
import { CompactSign, compactVerify } from 'jose';
import { MAX_HEAD_BYTES } from '../limits.ts';
import type { KeyRing } from '../signing/signing-keys.ts';
import { type Head, parseHead, writeHead } from './head.ts';

const HEAD_TYPE = 'fusebox-head+jws';

export type HeadRefusal = 'too-large' | 'unsigned' | 'malformed' | 'other-deployment';

export type HeadReading =
  | { readonly ok: true; readonly head: Head }
  | { readonly ok: false; readonly reason: HeadRefusal };

/** Throws when a part of the head is past its bound; within them, what comes out fits MAX_HEAD_BYTES. */
export async function signHead(head: Head, { signer }: KeyRing): Promise<string> {
  const jws = await new CompactSign(new TextEncoder().encode(writeHead(head)))
    .setProtectedHeader({ alg: signer.alg, kid: signer.kid, typ: HEAD_TYPE })
    .sign(signer.privateKey);
  if (jws.length > MAX_HEAD_BYTES) throw new Error(`the signed head has ${jws.length} bytes`);
  return jws;
}

/** The head inside, once its size, signature, type, shape and deployment were checked. */
export async function verifyHead(jws: string, keys: KeyRing, deployment: string): Promise<HeadReading> {
  if (jws.length > MAX_HEAD_BYTES) return { ok: false, reason: 'too-large' };
  let payload: Uint8Array;
  try {
    ({ payload } = await compactVerify(
      jws,
      (header) => {
        const key = keys.byKid.get(header.kid ?? '');
        if (key === undefined || key.alg !== header.alg || header.typ !== HEAD_TYPE)
          throw new Error('not a head of ours');
        return key.publicKey;
      },
      { algorithms: ['EdDSA', 'ES256'] },
    ));
  } catch {
    return { ok: false, reason: 'unsigned' };
  }
  const head = parseHead(new TextDecoder().decode(payload));
  if (head === null) return { ok: false, reason: 'malformed' };
  return head.deployment === deployment ? { ok: true, head } : { ok: false, reason: 'other-deployment' };
}
