// How a session lies on disk: one head, the ended entries in segments, the idempotency keys. Knows keys and values of
// the object's storage and nothing of what they mean.
//
// A batch is one asynchronous put without confirmation, so that it closes no output gate; everything else is written
// through the synchronous API, which always does.
import { MAX_LEDGER_ENTRIES_PER_PAGE, MAX_LOG_LINES_PER_PAGE } from '../limits.ts';
import type { LedgerEntry, LedgerPage } from '../rpc/session-rpc.ts';
import { tellsOf } from './ledger.ts';
import type { KeyRecord, SessionImage } from './session.ts';

const HEAD = 'head';
const SEGMENT_PREFIX = 'entries/';
const KEY_PREFIX = 'idempotency/';
/** Entries in one segment: with 600 bytes each it stays far below the 2 MiB that a value may have. */
const SEGMENT_ENTRIES = 1_000;
/** Lines of the log in one segment: rows have some hundred bytes, and may have thousands. */
const SEGMENT_LOG_CHARS = 400_000;
/** Request ids carry their time (RFC 9562, section 5.7), from clocks that agree within this. */
const CLOCK_TOLERANCE_MS = 120_000;

/** The entries and the lines of the log that one write carried. */
interface Segment {
  /** When they were written: each had ended by then. */
  readonly atMs: number;
  readonly entries: readonly LedgerEntry[];
  /** Lines of the log, each ended by a newline; absent where there are none. */
  readonly log?: string;
}

export interface SessionWrite {
  readonly atMs: number;
  readonly image: SessionImage;
  readonly entries: readonly LedgerEntry[];
  /** Of the session's log: rows and checkpoints, without newlines. */
  readonly lines: readonly string[];
  readonly keys: ReadonlyMap<string, KeyRecord>;
}

export class SessionStore {
  readonly #storage: DurableObjectStorage;
  #nextSegment: number;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    const [last] = storage.kv.list({ prefix: SEGMENT_PREFIX, reverse: true, limit: 1 });
    this.#nextSegment = last === undefined ? 0 : Number(last[0].slice(SEGMENT_PREFIX.length)) + 1;
  }

  /** The head as last written; null for a session that was never created. */
  readHead(): SessionImage | null {
    return this.#storage.kv.get<SessionImage>(HEAD) ?? null;
  }

  readKey(key: string): KeyRecord | null {
    return this.#storage.kv.get<KeyRecord>(KEY_PREFIX + key) ?? null;
  }

  /** Writes at once; every reply from now on waits until it is durable. */
  writeNow(write: SessionWrite): void {
    for (const [key, value] of this.#rows(write)) this.#storage.kv.put(key, value);
  }

  /** Writes without holding any reply back. Await `sync` to know that it is durable. */
  writeBatch(write: SessionWrite): Promise<void> {
    return this.#storage.put(Object.fromEntries(this.#rows(write)), { allowUnconfirmed: true });
  }

  /** Waits until everything written so far is durable. */
  sync(): Promise<void> {
    return this.#storage.sync();
  }

  /** Looks an ended request up among the segments, newest first; empty when none of them has it. */
  findEntries(id: string): LedgerEntry[] {
    const openedAtMs = timeOf(id);
    const found: LedgerEntry[] = [];
    for (const [, segment] of this.#storage.kv.list<Segment>({ prefix: SEGMENT_PREFIX, reverse: true })) {
      found.push(...segment.entries.filter((entry) => tellsOf(entry, id)));
      if (found.some((entry) => entry.id === id)) return found;
      // What had ended before this request was opened cannot tell of it.
      if (segment.atMs < openedAtMs - CLOCK_TOLERANCE_MS) return found;
    }
    return found;
  }

  /** Entries that were written at that time or later, newest first. */
  *entriesSince(atMs: number): Generator<LedgerEntry> {
    for (const [, segment] of this.#storage.kv.list<Segment>({ prefix: SEGMENT_PREFIX, reverse: true })) {
      if (segment.atMs < atMs) return;
      yield* segment.entries;
    }
  }

  /** Ended entries in the order in which they ended. The cursor is the name of the next segment. */
  page({ cursor, limit }: { cursor: string | null; limit: number }): LedgerPage {
    const wanted = Math.min(limit, MAX_LEDGER_ENTRIES_PER_PAGE);
    const entries: LedgerEntry[] = [];
    const start = SEGMENT_PREFIX + (cursor ?? '');
    for (const [key, segment] of this.#storage.kv.list<Segment>({ prefix: SEGMENT_PREFIX, start })) {
      if (entries.length > 0 && entries.length + segment.entries.length > wanted) {
        return { entries, nextCursor: key.slice(SEGMENT_PREFIX.length) };
      }
      entries.push(...segment.entries);
    }
    return { entries, nextCursor: null };
  }

  /** Lines of the log, oldest first. The cursor is the name of the next segment. */
  logPage({ cursor, limit }: { cursor: string | null; limit: number }): { lines: string[]; nextCursor: string | null } {
    const lines: string[] = [];
    const start = SEGMENT_PREFIX + (cursor ?? '');
    for (const [key, { log = '' }] of this.#storage.kv.list<Segment>({ prefix: SEGMENT_PREFIX, start })) {
      const more = log.split('\n').slice(0, -1);
      if (lines.length > 0 && lines.length + more.length > limit) {
        return { lines, nextCursor: key.slice(SEGMENT_PREFIX.length) };
      }
      lines.push(...more);
    }
    return { lines, nextCursor: null };
  }

  /** Every line of the log, oldest first, read as they are taken. */
  *logLines(): Generator<string> {
    for (let cursor: string | null = ''; cursor !== null;) {
      const page = this.logPage({ cursor, limit: MAX_LOG_LINES_PER_PAGE });
      yield* page.lines;
      cursor = page.nextCursor;
    }
  }

  /** Every ended entry in the order in which they ended, read as they are taken. */
  *entries(): Generator<LedgerEntry> {
    for (let cursor: string | null = ''; cursor !== null;) {
      const page: LedgerPage = this.page({ cursor, limit: MAX_LEDGER_ENTRIES_PER_PAGE });
      yield* page.entries;
      cursor = page.nextCursor;
    }
  }

  /** Drops all entries, lines and idempotency keys; the next write of this same turn has what is left. */
  dropAll(): void {
    for (const prefix of [SEGMENT_PREFIX, KEY_PREFIX]) {
      for (const key of Array.from(this.#storage.kv.list({ prefix }), ([key]) => key)) this.#storage.kv.delete(key);
    }
  }

  #rows({ atMs, image, entries, lines, keys }: SessionWrite): [string, unknown][] {
    const rows: [string, unknown][] = [[HEAD, image]];
    const logs = joined(lines);
    for (let index = 0; index * SEGMENT_ENTRIES < entries.length || index < logs.length; index += 1) {
      const log = logs[index];
      const segment: Segment = {
        atMs,
        entries: entries.slice(index * SEGMENT_ENTRIES, (index + 1) * SEGMENT_ENTRIES),
        ...(log === undefined ? {} : { log }),
      };
      rows.push([segmentName(this.#nextSegment), segment]);
      this.#nextSegment += 1;
    }
    for (const [key, record] of keys) rows.push([KEY_PREFIX + key, record]);
    return rows;
  }
}

/** Lines as texts that each fit into a segment. */
function joined(lines: readonly string[]): string[] {
  const texts: string[] = [];
  let text = '';
  for (const line of lines) {
    text += `${line}\n`;
    if (text.length < SEGMENT_LOG_CHARS) continue;
    texts.push(text);
    text = '';
  }
  return text === '' ? texts : [...texts, text];
}

const segmentName = (index: number): string => SEGMENT_PREFIX + String(index).padStart(10, '0');

/** Milliseconds since the epoch in a version 7 UUID; 0 for any other id, so that nothing is ruled out. */
function timeOf(id: string): number {
  const hex = id.replaceAll('-', '');
  return /^[0-9a-f]{12}7[0-9a-f]{19}$/i.test(hex) ? Number.parseInt(hex.slice(0, 12), 16) : 0;
}
