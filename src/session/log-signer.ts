// Signs a session's log, and never over rows that are not known to be on disk. Keeps the signature with the trail; the
// next write carries it.
import type { ChainHead } from '../audit/chain.ts';
import { signCheckpoint } from '../audit/checkpoint.ts';
import { isCheckpointDue, placeCheckpoint, type Trail } from '../audit/trail.ts';
import { loadSigningKeys } from '../signing/signing-keys.ts';

export class LogSigner {
  readonly #secret: string;
  #durable: ChainHead | null = null;

  /** `secret`: the text of SESSION_SIGNING_KEYS. */
  constructor(secret: string) {
    this.#secret = secret;
  }

  /** Says how far the log is on disk. */
  reached(durable: ChainHead): void {
    this.#durable = durable;
  }

  /** Whether it is time for a checkpoint without being asked. */
  isDue(trail: Trail, nowMs: number): boolean {
    return this.#durable !== null && isCheckpointDue(trail, this.#durable, nowMs);
  }

  /** Signs what is on disk, if that was not signed before. A failure is logged: rows wait for the next signature. */
  async sign(trail: Trail, nowMs: number): Promise<void> {
    const head = this.#durable;
    if (head === null || head.seq <= trail.signed.seq) return;
    try {
      const keys = await loadSigningKeys(this.#secret);
      placeCheckpoint(trail, {
        ...head,
        atMs: nowMs,
        jws: await signCheckpoint({ ...trail.name, ...head, atMs: nowMs }, keys),
      });
    } catch (error) {
      console.warn(JSON.stringify({ event: 'session.checkpoint-failed', log: trail.name.log, error: String(error) }));
    }
  }
}
