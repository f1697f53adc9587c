// What becomes of a session after its end: which lines its archive has, when it is due, and what is left of the session.
// Pure; where the bytes lie is archive-store.ts's.
import { createHash } from 'node:crypto';
import type { LogName } from '../audit/chain.ts';
import { endLine, headerLine, ledgerLine } from '../audit/log-format.ts';
import { tell, unfold } from '../audit/trail.ts';
import { ARCHIVE_RETRY_MS, DEFAULT_RETENTION_DAYS, MAX_ARCHIVE_RETRY_MS } from '../limits.ts';
import type { LedgerEntry } from '../rpc/session-rpc.ts';
import { type ArchiveRef, type Session, endOf } from './session.ts';
import { NO_VELOCITY } from './velocity.ts';

const DAY_MS = 24 * 60 * 60 * 1_000;

/** When the session may be reduced to its tombstone; Infinity while something of it is open, or once it is done. */
export function archiveDueMs(session: Session): number {
  const { ledger, archive, rules, archiving } = session;
  if (archive !== null || ledger.open.size > 0 || ledger.doubt.size > 0) return Number.POSITIVE_INFINITY;
  return Math.max(endOf(session) + (rules.retentionDays ?? DEFAULT_RETENTION_DAYS) * DAY_MS, archiving.notBeforeMs);
}

/** Puts the try after the one that is to be made off: each time twice as long. */
export function putOff(session: Session, nowMs: number): void {
  const { made } = session.archiving;
  const waitMs = Math.min(ARCHIVE_RETRY_MS * 2 ** made, MAX_ARCHIVE_RETRY_MS);
  session.archiving = { made: made + 1, notBeforeMs: nowMs + waitMs };
  session.ledger.dirty = true;
}

/** When the last signature of an ended session's log is due; Infinity where it has nothing that is not signed. */
export function lastSignatureDueMs(session: Session): number {
  const { trail, archive } = session;
  const isSigned = trail.signed.seq === trail.head.seq && trail.pending.length === 0 && trail.folds.size === 0;
  return archive !== null || isSigned ? Number.POSITIVE_INFINITY : endOf(session);
}

/**
 * Ends the log with a row that binds the ledger to it: the digest of its entries as the archive will have them. Does
 * nothing, and says so, where the log has not moved since it was ended.
 */
export function close(session: Session, entries: Iterable<LedgerEntry>, nowMs: number): boolean {
  const { trail, ledger, counts } = session;
  if (session.closedSeq === trail.head.seq && trail.pending.length === 0) return false;
  unfold(trail, nowMs);
  const digest = createHash('sha256');
  let count = 0;
  for (const entry of entries) {
    digest.update(`${ledgerLine(entry)}\n`);
    count += 1;
  }
  const settled = { settled_micro_usd: ledger.settled.microUsd, settled_tokens: ledger.settled.tokens };
  tell(trail, { event: 'closed', entries: count, ledger: digest.digest('hex'), ...settled, ...counts }, nowMs);
  session.closedSeq = trail.head.seq + trail.pending.length;
  ledger.dirty = true;
  return true;
}

/** The archive, line by line. `lines` are those of the log in segments, `riding` those in the head. */
export function* archiveLines(of: {
  readonly name: LogName;
  readonly lines: Iterable<string>;
  readonly riding: readonly string[];
  readonly entries: Iterable<LedgerEntry>;
  readonly rows: number;
}): Generator<string> {
  yield headerLine(of.name);
  yield* of.lines;
  yield* of.riding;
  for (const entry of of.entries) yield ledgerLine(entry);
  yield endLine('archive', of.rows);
}

/** What is left is the tombstone: the session as it ended, and where the rest is. Keys and entries may be dropped with it. */
export function bury(session: Session, archive: ArchiveRef, nowMs: number): void {
  const { where, sha256, bytes, rows } = archive;
  session.archive = archive;
  session.velocity = NO_VELOCITY;
  session.keys.clear();
  session.changedKeys.clear();
  session.ledger.resolved.clear();
  session.trail.riding = [];
  session.ledger.dirty = true;
  tell(session.trail, { event: 'archived', sha256, bytes, rows, where }, nowMs);
}

/** A line of an archive that belongs to the log; null for its frame, and for the ledger. */
export function logLineOf(line: string): string | null {
  return /^\{"(?:format|ledger|archive)":/.test(line) ? null : line;
}

/** The entry of the ledger in a line of an archive; null where it has none. */
export function entryOf(line: string): LedgerEntry | null {
  if (!line.startsWith('{"ledger":')) return null;
  return (JSON.parse(line) as { ledger: LedgerEntry }).ledger;
}
