// A log on its way to disk: what happened and no commit has carried yet, what is counted and not yet told, and the
// lines that a commit carries in its image. Changes the trail it is given, which has one owner; hashes when asked to, in
// one go; signs nothing.
import { CHECKPOINT_EVERY_MS, CHECKPOINT_EVERY_ROWS, MAX_RIDING_LINES } from '../limits.ts';
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
  /** Lines that ride in the image until there are enough of them, or something else to be written beside them. */
  riding: readonly string[];
}

/** What a commit writes of a trail besides its rows. */
export interface TrailImage {
  readonly name: LogName;
  readonly head: ChainHead;
  readonly folds: readonly (readonly [string, Fold])[];
  readonly signed: Trail['signed'];
  readonly riding: readonly string[];
}

export function emptyTrail(name: LogName, nowMs: number): Trail {
  return { name, head: genesis(name), pending: [], folds: new Map(), signed: { seq: 0, atMs: nowMs }, riding: [] };
}

export function loadTrail({ name, head, folds, signed, riding }: TrailImage): Trail {
  return { name, head, pending: [], folds: new Map(folds), signed, riding };
}

export function trailImageOf({ name, head, folds, signed, riding }: Trail): TrailImage {
  return { name, head, folds: [...folds], signed, riding };
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
 * Makes lines of everything pending and moves the head. Few of them ride in the image, which is written anyway; many, or
 * `withOthers`, are handed out to be written beside it. All of that has to be on disk before anything that comes after it,
 * or not at all. Take the image afterwards.
 */
export function takeLines(
  trail: Trail,
  { withOthers }: { readonly withOthers: boolean },
  nowMs: number,
): readonly string[] {
  trail.pending.push(...closeFolds(trail.folds, nowMs, { all: false }));
  if (trail.pending.length > 0) trail.riding = [...trail.riding, ...linked(trail)];
  if (!withOthers && trail.riding.length <= MAX_RIDING_LINES) return [];
  const lines = trail.riding;
  trail.riding = [];
  return lines;
}

function linked(trail: Trail): string[] {
  const lines = [];
  for (const { entry, atMs } of trail.pending) {
    const { head, line } = link(trail.head, entry, atMs);
    trail.head = head;
    lines.push(line);
  }
  trail.pending = [];
  return lines;
}

/** Whether rows that are durable up to `durable` are worth a signature by now. */
export function isCheckpointDue({ signed }: Trail, durable: ChainHead, nowMs: number): boolean {
  const unsigned = durable.seq - signed.seq;
  return unsigned >= CHECKPOINT_EVERY_ROWS || (unsigned > 0 && nowMs - signed.atMs >= CHECKPOINT_EVERY_MS);
}

/** Keeps a checkpoint for the next commit, after the rows so far; one that another has overtaken is not needed. */
export function placeCheckpoint(trail: Trail, checkpoint: { seq: number; atMs: number; jws: string }): void {
  const { seq, atMs, jws } = checkpoint;
  if (seq <= trail.signed.seq) return;
  trail.signed = { seq, atMs };
  trail.riding = [...trail.riding, checkpointLine(jws)];
}
