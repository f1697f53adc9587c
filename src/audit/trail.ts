// A log on its way to disk: what happened and no commit has carried yet, what is counted and not yet told, and the
// signatures that still have to be placed. Changes the trail it is given, which has one owner; hashes when asked to, in
// one go; signs nothing.
import { CHECKPOINT_EVERY_MS, CHECKPOINT_EVERY_ROWS } from '../limits.ts';
import { type AuditEntry, type ChainHead, genesis, link, type LogName } from './chain.ts';
import { closeFolds, type Due, fold, type Fold, type Folds, type Told } from './fold.ts';
import { checkpointLine } from './log-format.ts';

export interface Trail {
  readonly name: LogName;
  /** Of the rows that commits have taken. */
  head: ChainHead;
  pending: Due[];
  readonly folds: Folds;
  /** Of the last checkpoint that was made. */
  signed: { readonly seq: number; readonly atMs: number };
  /** Checkpoints (JWS) that no rows have followed yet. */
  unplaced: readonly string[];
}

/** What a commit writes of a trail besides its rows. */
export interface TrailImage {
  readonly name: LogName;
  readonly head: ChainHead;
  readonly folds: readonly (readonly [string, Fold])[];
  readonly signed: Trail['signed'];
  readonly unplaced: readonly string[];
}

export function emptyTrail(name: LogName, nowMs: number): Trail {
  return { name, head: genesis(name), pending: [], folds: new Map(), signed: { seq: 0, atMs: nowMs }, unplaced: [] };
}

export function loadTrail({ name, head, folds, signed, unplaced }: TrailImage): Trail {
  return { name, head, pending: [], folds: new Map(folds), signed, unplaced };
}

export function trailImageOf({ name, head, folds, signed, unplaced }: Trail): TrailImage {
  return { name, head, folds: [...folds], signed, unplaced };
}

/** Tells of something: a row of its own, with the next commit. */
export function tell(trail: Trail, entry: AuditEntry, nowMs: number): void {
  trail.pending.push({ entry, atMs: nowMs });
}

/** Tells of something that may come in floods (see `fold`). */
export function tellFolded(trail: Trail, told: Told, nowMs: number): void {
  trail.pending.push(...fold(trail.folds, told, nowMs));
}

/** Counts nothing any longer: what was counted becomes rows. */
export function unfold(trail: Trail, nowMs: number): void {
  trail.pending.push(...closeFolds(trail.folds, nowMs, { all: true }));
}

/**
 * Takes everything pending as lines, checkpoints before rows, and moves the head. What the caller writes has to be on disk
 * before anything that comes after it, or not at all. Take the image afterwards.
 */
export function takeLines(trail: Trail, nowMs: number): readonly string[] {
  trail.pending.push(...closeFolds(trail.folds, nowMs, { all: false }));
  if (trail.pending.length === 0) return [];
  const lines = trail.unplaced.map(checkpointLine);
  for (const { entry, atMs } of trail.pending) {
    const { head, line } = link(trail.head, entry, atMs);
    trail.head = head;
    lines.push(line);
  }
  trail.pending = [];
  trail.unplaced = [];
  return lines;
}

/** Whether rows that are durable up to `durable` are worth a signature by now. */
export function isCheckpointDue({ signed }: Trail, durable: ChainHead, nowMs: number): boolean {
  const unsigned = durable.seq - signed.seq;
  return unsigned >= CHECKPOINT_EVERY_ROWS || (unsigned > 0 && nowMs - signed.atMs >= CHECKPOINT_EVERY_MS);
}

/** Keeps a checkpoint for the next commit; one that another has overtaken is not needed. */
export function placeCheckpoint(trail: Trail, checkpoint: { seq: number; atMs: number; jws: string }): void {
  const { seq, atMs, jws } = checkpoint;
  if (seq <= trail.signed.seq) return;
  trail.signed = { seq, atMs };
  trail.unplaced = [...trail.unplaced, jws];
}
