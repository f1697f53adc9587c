// Signed statements of how far a log had come: compact JWS (RFC 7515) by a key of the deployment, of a type that no
// credential and no head has. Who signs has made sure that the rows are durable.
import { CompactSign, compactVerify, decodeJwt, type CryptoKey } from 'jose';
import { isJsonObject, readStrictJson } from '../json/small-json.ts';
import type { KeyRing } from '../signing/signing-keys.ts';
import type { ChainHead, LogName } from './chain.ts';

const CHECKPOINT_TYPE = 'fusebox-checkpoint+jws';
const ALGORITHMS = ['EdDSA', 'ES256'];
/** A payload of two ids, a hash and two numbers, its header and its signature. */
const MAX_CHECKPOINT_CHARS = 2_048;

export interface Checkpoint extends LogName, ChainHead {
  /** When it was signed. */
  readonly atMs: number;
}

/** The key of that id and algorithm; null where nobody here knows it. */
export type CheckpointKeys = (kid: string, alg: string) => CryptoKey | null;

/** What a line that claims to be a checkpoint is. `unchecked`: there were no keys to check its signature with. */
export interface CheckpointReading {
  readonly checkpoint: Checkpoint | null;
  readonly signature: 'good' | 'forged' | 'unknown-key' | 'unchecked';
}

/** Signs with the first Ed25519 key of the ring; with the ring's signer where it has none. */
export async function signCheckpoint(checkpoint: Checkpoint, { signer, byKid }: KeyRing): Promise<string> {
  const key = [...byKid.values()].find(({ alg }) => alg === 'EdDSA') ?? signer;
  return new CompactSign(new TextEncoder().encode(JSON.stringify(checkpoint)))
    .setProtectedHeader({ alg: key.alg, kid: key.kid, typ: CHECKPOINT_TYPE })
    .sign(key.privateKey);
}

/** The keys of a ring, retired ones too, as those who verify ask for them. */
export function ringKeys({ byKid, retired }: KeyRing): CheckpointKeys {
  return (kid, alg) => {
    const key = byKid.get(kid) ?? retired.get(kid);
    return key?.alg === alg ? key.publicKey : null;
  };
}

/** Reads a checkpoint and checks its signature, unless `keys` is null. What it says is for the caller to compare. */
export async function readCheckpoint(jws: string, keys: CheckpointKeys | null): Promise<CheckpointReading> {
  if (jws.length > MAX_CHECKPOINT_CHARS) return { checkpoint: null, signature: 'forged' };
  if (keys === null) return { checkpoint: parseCheckpoint(payloadOf(jws)), signature: 'unchecked' };
  let known = true;
  try {
    const { payload } = await compactVerify(
      jws,
      ({ kid, alg, typ }) => {
        if (typ !== CHECKPOINT_TYPE) throw new TypeError('not a checkpoint');
        const key = keys(kid ?? '', alg);
        known = key !== null;
        if (key === null) throw new TypeError('no such key');
        return key;
      },
      { algorithms: ALGORITHMS },
    );
    return { checkpoint: parseCheckpoint(new TextDecoder().decode(payload)), signature: 'good' };
  } catch {
    return { checkpoint: parseCheckpoint(payloadOf(jws)), signature: known ? 'forged' : 'unknown-key' };
  }
}

/** The payload of a compact JWS, believed by nobody yet. */
function payloadOf(jws: string): string {
  try {
    return JSON.stringify(decodeJwt(jws));
  } catch {
    return '';
  }
}

function parseCheckpoint(text: string): Checkpoint | null {
  const reading = readStrictJson(text);
  if (!reading.ok || !isJsonObject(reading.value)) return null;
  const { deployment, log, seq, hash, atMs } = reading.value;
  return typeof deployment === 'string' &&
    typeof log === 'string' &&
    typeof seq === 'number' &&
    Number.isSafeInteger(seq) &&
    typeof hash === 'string' &&
    typeof atMs === 'number' &&
    Number.isFinite(atMs)
    ? { deployment, log, seq, hash, atMs }
    : null;
}
