// Folds floods: of identical denials the first is a row at once, and those that repeat it within a window are counted
// into one more. Decides nothing about what is identical, and is never asked about money.
import { AUDIT_FOLD_WINDOW_MS, MAX_OPEN_FOLDS } from '../limits.ts';
import type { AuditEntry } from './chain.ts';

/** Repetitions of one entry that no row tells of yet. */
export interface Fold {
  /** The row of all of them, without their number and times. */
  readonly entry: AuditEntry;
  readonly openedAtMs: number;
  readonly count: number;
  readonly firstMs: number;
  readonly lastMs: number;
}

export type Folds = Map<string, Fold>;

/** What is to be written now. */
export interface Due {
  readonly entry: AuditEntry;
  readonly atMs: number;
}

/** Something that may come in floods. */
export interface Told {
  /** The same for what is identical. */
  readonly key: string;
  /** As a row of its own. */
  readonly first: AuditEntry;
  /** As the row of all that repeat it. */
  readonly repeated: AuditEntry;
  /** How often and when it happened, where it was counted elsewhere before. */
  readonly counted?: { readonly count: number; readonly fromMs: number; readonly toMs: number };
}

/**
 * Counts `first` where one of the same `key` was written within the window, as `repeated`; else opens a window with it.
 * Answers the rows to write, in order: what the window before had counted, and the entry itself.
 */
export function fold(folds: Folds, { key, first, repeated, counted }: Told, nowMs: number): readonly Due[] {
  const { count: times, fromMs, toMs } = counted ?? { count: 1, fromMs: nowMs, toMs: nowMs };
  const open = folds.get(key);
  if (open !== undefined && nowMs - open.openedAtMs < AUDIT_FOLD_WINDOW_MS) {
    const { count, firstMs, lastMs } = open;
    const isFirst = count === 0;
    folds.set(key, {
      ...open,
      count: count + times,
      firstMs: isFirst ? fromMs : Math.min(firstMs, fromMs),
      lastMs: isFirst ? toMs : Math.max(lastMs, toMs),
    });
    return [];
  }
  const due = open === undefined ? [] : close(folds, key, open, nowMs);
  const [oldest] = folds;
  if (oldest !== undefined && folds.size >= MAX_OPEN_FOLDS) due.push(...close(folds, oldest[0], oldest[1], nowMs));
  folds.set(key, { entry: repeated, openedAtMs: nowMs, count: 0, firstMs: nowMs, lastMs: nowMs });
  return [...due, { entry: times === 1 ? first : { ...first, count: times, ...spanOf(fromMs, toMs) }, atMs: nowMs }];
}

/** The rows of windows that are over; of all of them where `all` says so. */
export function closeFolds(folds: Folds, nowMs: number, { all }: { readonly all: boolean }): readonly Due[] {
  const due: Due[] = [];
  for (const [key, open] of folds) {
    if (all || nowMs - open.openedAtMs >= AUDIT_FOLD_WINDOW_MS) due.push(...close(folds, key, open, nowMs));
  }
  return due;
}

function close(folds: Folds, key: string, { entry, count, firstMs, lastMs }: Fold, nowMs: number): Due[] {
  folds.delete(key);
  if (count === 0) return [];
  return [{ entry: { ...entry, count, ...spanOf(firstMs, lastMs) }, atMs: nowMs }];
}

function spanOf(fromMs: number, toMs: number): { readonly from: string; readonly to: string } {
  return { from: new Date(fromMs).toISOString(), to: new Date(toMs).toISOString() };
}
