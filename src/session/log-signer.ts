// Signs a session's log, and never over rows that are not known to be on disk. Keeps the signature with the trail; the
// next write carries it.
import type { ChainHead } from '../audit/chain.ts';
import { signCheckpoint } from '../audit/checkpoint.ts';
import { checkpointLine } from '../audit/log-format.ts';
import { isCheckpointDue, placeCheckpoint, type Trail } from '../audit/trail.ts';
import type { SignedRow } from '../rpc/session-rpc.ts';
import { loadSigningKeys } from '../signing/signing-keys.ts';

export class LogSigner {
  readonly #secret: string;
  #durable: ChainHead | null = null;
  /** Of the last checkpoint that was made here. */
  #made: SignedRow | null = null;

  /** `secret`: the text of SESSION_SIGNING_KEYS. */
  constructor(secret: string) {
    this.#secret = secret;
  }

  /** Says how far the log is on disk. */
  reached(durable: ChainHead): void {
    if (durable.seq >= (this.#durable?.seq ?? 0)) this.#durable = durable;
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
      placeCheckpoint(trail, { ...head, atMs: nowMs, jws: await this.#make(trail, head, nowMs) });
    } catch (error) {
      console.warn(JSON.stringify({ event: 'session.checkpoint-failed', log: trail.name.log, error: String(error) }));
    }
  }

  /**
   * Signs what is on disk, and answers how far that is and the checkpoint that says so; one that an earlier incarnation
   * made is made again, and not kept. Rejects where nothing can be signed.
   */
  async vouch(trail: Trail, nowMs: number): Promise<SignedRow> {
    await this.sign(trail, nowMs);
    if (this.#made !== null && this.#made.seq >= trail.signed.seq) return this.#made;
    const head = this.#durable;
    if (head === null) throw new Error('nothing of the log is known to be on disk');
    return { seq: head.seq, line: checkpointLine(await this.#make(trail, head, nowMs)) };
  }

  async #make(trail: Trail, head: ChainHead, atMs: number): Promise<string> {
    const jws = await signCheckpoint({ ...trail.name, ...head, atMs }, await loadSigningKeys(this.#secret));
    if (head.seq > (this.#made?.seq ?? 0)) this.#made = { seq: head.seq, line: checkpointLine(jws) };
    return jws;
  }
}
