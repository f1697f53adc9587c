// How the index of sessions lies on the control object's disk.
import { INDEX_KEPT_MS, LIVE_PAGE_ROWS, MAX_INDEX_BYTES } from '../limits.ts';
import type { IndexedSession, SessionList, SessionListRequest } from '../rpc/control-rpc.ts';
import type { SessionStatus } from '../rpc/session-rpc.ts';

const SCHEMA = `
  CREATE TABLE IF NOT EXISTS sessions (
    issuer TEXT NOT NULL, sid TEXT NOT NULL, agent TEXT NOT NULL, customer TEXT, status TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL, expires_at_ms INTEGER NOT NULL,
    PRIMARY KEY (created_at_ms, issuer, sid)
  ) WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS sessions_by_agent ON sessions (agent, created_at_ms, issuer, sid);
`;
/** What versions after the first have added, for tables that the first one made. */
const ADDED_COLUMNS = ['segments', 'scopes'] as const;
/** Rotation moves a session's end, so it may be older than the longest credential; what is older still is not looked at. */
const MAX_SESSION_LIFE_MS = 90 * 24 * 60 * 60 * 1_000;

interface SessionRow {
  [column: string]: SqlStorageValue;
  issuer: string;
  sid: string;
  agent: string;
  customer: string | null;
  status: string;
  created_at_ms: number;
  expires_at_ms: number;
  segments: string;
  scopes: string;
}

export class ControlStore {
  readonly #storage: DurableObjectStorage;

  constructor(storage: DurableObjectStorage) {
    this.#storage = storage;
    storage.sql.exec(SCHEMA);
    const columns = new Set(
      storage.sql
        .exec<{ name: string }>("SELECT name FROM pragma_table_info('sessions')")
        .toArray()
        .map(({ name }) => name),
    );
    for (const column of ADDED_COLUMNS) {
      if (!columns.has(column)) storage.sql.exec(`ALTER TABLE sessions ADD COLUMN ${column} TEXT NOT NULL DEFAULT ''`);
    }
  }

  /** Adds a session or updates what is said of it; true where it was not known. Throws where there is no room for a new one. */
  recordSession(session: IndexedSession): boolean {
    const { issuer, sid, agent, customer, status, createdAtMs, expiresAtMs, segments, scopes } = session;
    const known = this.#storage.sql.exec(
      'SELECT 1 FROM sessions WHERE created_at_ms = ? AND issuer = ? AND sid = ?',
      createdAtMs,
      issuer,
      sid,
    );
    const isNew = known.toArray().length === 0;
    // Before anything else runs out of room: whoever stops something must always be able to write.
    if (isNew && this.isFull()) throw new Error('the index of sessions is full: nothing more is issued');
    this.#storage.sql.exec(
      `INSERT INTO sessions (issuer, sid, agent, customer, status, created_at_ms, expires_at_ms, segments, scopes)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET status = excluded.status, expires_at_ms = excluded.expires_at_ms`,
      issuer,
      sid,
      agent,
      customer,
      status,
      createdAtMs,
      expiresAtMs,
      segments.join(' '),
      scopes.join(' '),
    );
    return isNew;
  }

  /** Sessions that are neither revoked nor over, newest first, one by one. Lets others be served between pages. */
  async *liveSessions(nowMs: number): AsyncGenerator<IndexedSession> {
    let before: Position = NEWEST;
    for (;;) {
      const rows = this.#storage.sql
        .exec<SessionRow>(
          `SELECT * FROM sessions WHERE (created_at_ms, issuer, sid) < (?, ?, ?) AND created_at_ms > ?
           ORDER BY created_at_ms DESC, issuer DESC, sid DESC LIMIT ?`,
          before.createdAtMs,
          before.issuer,
          before.sid,
          nowMs - MAX_SESSION_LIFE_MS,
          LIVE_PAGE_ROWS,
        )
        .toArray();
      for (const row of rows) if (row.expires_at_ms > nowMs && row.status !== 'revoked') yield sessionOf(row);
      const last = rows.at(-1);
      if (last === undefined || rows.length < LIVE_PAGE_ROWS) return;
      before = { createdAtMs: last.created_at_ms, issuer: last.issuer, sid: last.sid };
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
  }

  /** Forgets some of the sessions that ended so long ago that nobody lists them; true where there may be more. */
  dropOld(nowMs: number): boolean {
    const longAgoMs = nowMs - MAX_SESSION_LIFE_MS - INDEX_KEPT_MS;
    const { rowsWritten } = this.#storage.sql.exec(
      `DELETE FROM sessions WHERE (created_at_ms, issuer, sid) IN
         (SELECT created_at_ms, issuer, sid FROM sessions WHERE created_at_ms < ? AND expires_at_ms < ? LIMIT ?)`,
      longAgoMs,
      nowMs - INDEX_KEPT_MS,
      LIVE_PAGE_ROWS,
    );
    return rowsWritten >= LIVE_PAGE_ROWS;
  }

  /** Whether what is on disk leaves no room for another session: the rest is for those who stop things. */
  isFull(): boolean {
    return this.#storage.sql.databaseSize > MAX_INDEX_BYTES;
  }

  /** Newest first. The cursor is the position of the last session of the page before. */
  listSessions({ agent, status, cursor, limit }: SessionListRequest, nowMs: number): SessionList {
    const after = readCursor(cursor);
    const rows = this.#storage.sql
      .exec<SessionRow>(
        `SELECT * FROM sessions
         WHERE (?1 IS NULL OR agent = ?1)
           AND (?2 IS NULL OR (CASE WHEN status <> 'revoked' AND expires_at_ms <= ?3 THEN 'expired' ELSE status END) = ?2)
           AND (created_at_ms, issuer, sid) < (?4, ?5, ?6)
         ORDER BY created_at_ms DESC, issuer DESC, sid DESC LIMIT ?7`,
        agent,
        status,
        nowMs,
        after.createdAtMs,
        after.issuer,
        after.sid,
        limit + 1,
      )
      .toArray();
    const sessions = rows.slice(0, limit).map(sessionOf);
    const last = sessions.at(-1);
    return { sessions, nextCursor: rows.length > limit && last !== undefined ? cursorOf(last) : null };
  }
}

function sessionOf(row: SessionRow): IndexedSession {
  return {
    issuer: row.issuer,
    sid: row.sid,
    agent: row.agent,
    customer: row.customer,
    segments: wordsOf(row.segments),
    scopes: wordsOf(row.scopes),
    status: statusOf(row.status),
    createdAtMs: row.created_at_ms,
    expiresAtMs: row.expires_at_ms,
  };
}

/** Ids and scopes have no spaces. */
function wordsOf(text: string): string[] {
  return text === '' ? [] : text.split(' ');
}

const STATUSES: readonly SessionStatus[] = ['active', 'warned', 'tripped', 'revoked', 'expired'];

function statusOf(text: string): SessionStatus {
  const status = STATUSES.find((known) => known === text);
  if (status === undefined) throw new Error(`a session is indexed with the unknown status "${text}"`);
  return status;
}

interface Position {
  readonly createdAtMs: number;
  readonly issuer: string;
  readonly sid: string;
}

const NEWEST: Position = { createdAtMs: Number.MAX_SAFE_INTEGER, issuer: '', sid: '' };

const cursorOf = ({ createdAtMs, issuer, sid }: Position): string => `${createdAtMs}~${issuer}~${sid}`;

/** A cursor that is not ours starts from the newest. */
function readCursor(cursor: string | null): Position {
  const match = /^(\d{1,16})~([^~]+)~([^~]+)$/.exec(cursor ?? '');
  if (match === null) return NEWEST;
  return { createdAtMs: Number(match[1]), issuer: match[2] ?? '', sid: match[3] ?? '' };
}
