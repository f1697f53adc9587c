// Takes an ended session to its archive and leaves the tombstone, and looks into the archive when somebody asks for what
// is in it. The object gives it the moments to do so, and writes.
import { MAX_LEDGER_ENTRIES_PER_PAGE } from '../limits.ts';
import type { ArchiveDamage, AuditPage, LedgerPage } from '../rpc/session-rpc.ts';
import type { KeyRing } from '../signing/signing-keys.ts';
import { archiveDueMs, archiveLines, bury, close, entryOf, lastSignatureDueMs, logLineOf, putOff } from './archive.ts';
import { type ArchiveStore, isArchiveCursor } from './archive-store.ts';
import { knows, remember, tellsOf } from './ledger.ts';
import type { ArchiveRef, Session } from './session.ts';
import type { SessionStore } from './session-store.ts';

interface Parts {
  readonly store: SessionStore;
  readonly archives: ArchiveStore;
  readonly keys: () => Promise<KeyRing>;
  /** Writes the session, in this same turn. */
  readonly write: (session: Session) => void;
  /** Writes what there is to tell, waits for the disk, and signs. */
  readonly sign: (session: Session) => Promise<void>;
}

export class Archivist {
  readonly #parts: Parts;
  #isBusy = false;
  #hasSigned = false;
  /** Requests that were looked for in the archive. */
  readonly #exhumed = new Set<string>();

  constructor(parts: Parts) {
    this.#parts = parts;
  }

  /** When there is something to do; Infinity when there is not. */
  dueMs(session: Session): number {
    const signatureMs = this.#hasSigned ? Number.POSITIVE_INFINITY : lastSignatureDueMs(session);
    return Math.min(signatureMs, archiveDueMs(session));
  }

  /** Has the log of an ended session signed to its end. Once: a signature that fails is not worth a loop of alarms. */
  async signEnd(session: Session, nowMs: number): Promise<void> {
    if (this.#hasSigned || lastSignatureDueMs(session) > nowMs) return;
    this.#hasSigned = true;
    const { seq } = session.trail.signed;
    await this.#parts.sign(session);
    if (session.trail.signed.seq > seq) this.#parts.write(session);
  }

  /** Leaves the tombstone, once the archive is where it belongs and is whole. A failure loses nothing and is tried again. */
  async archive(session: Session, nowMs: number): Promise<ArchiveRef | null> {
    if (this.#isBusy || archiveDueMs(session) > nowMs) return null;
    const { store, write } = this.#parts;
    this.#isBusy = true;
    // Before it is made: one that takes the object with it must not be made again at once, and for ever.
    putOff(session, nowMs);
    write(session);
    try {
      const archive = await this.#kept(session, nowMs);
      if (session.closedSeq !== session.trail.head.seq || session.trail.pending.length > 0)
        throw new Error('something happened meanwhile');
      bury(session, archive, nowMs);
      store.dropAll();
      write(session);
      return archive;
    } catch (error) {
      const { log } = session.trail.name;
      console.error(JSON.stringify({ event: 'session.archive-failed', log, error: String(error) }));
      return null;
    } finally {
      this.#isBusy = false;
    }
  }

  async #kept(session: Session, nowMs: number): Promise<ArchiveRef> {
    const { store, archives, keys, write, sign } = this.#parts;
    if (close(session, store.entries(), nowMs)) write(session);
    await sign(session);
    const { name, head, riding } = session.trail;
    const rows = head.seq;
    const lines = archiveLines({ name, lines: store.logLines(), riding, entries: store.entries(), rows });
    return archives.keep(lines, { name, rows, keys: await keys(), nowMs });
  }

  /** A page of the ledger as it was archived; none of it where the archive is no longer what it was. */
  async entries(session: Session, how: { cursor: string | null; limit: number }): Promise<LedgerPage> {
    const { items, nextCursor, state } = await this.#parts.archives.page(archiveOf(session), { ...how, read: entryOf });
    if (state === 'intact') return { entries: items, nextCursor };
    return { entries: [], nextCursor: null, damage: await this.#damage(session) };
  }

  /** A page of the log as it was archived, whatever has become of it. */
  async lines(session: Session, how: { cursor: string | null; limit: number }): Promise<Omit<AuditPage, 'name'>> {
    const { items, nextCursor, state } = await this.#parts.archives.page(archiveOf(session), {
      ...how,
      read: logLineOf,
    });
    const page = { lines: items, nextCursor, archive: state };
    return state === 'intact' || how.cursor !== null ? page : { ...page, damage: await this.#damage(session) };
  }

  async #damage(session: Session): Promise<ArchiveDamage> {
    const { archives, keys } = this.#parts;
    const { name } = session.trail;
    return { firstBad: await archives.firstBad(archiveOf(session), { name, keys: await keys() }) };
  }

  /** Whether only the archive can say how that request ended. */
  isBuried(session: Session, id: string): boolean {
    return session.archive !== null && !knows(session.ledger, id) && !this.#exhumed.has(id);
  }

  /** Brings an ended request back into memory from the archive, if it is there. */
  async exhume(session: Session, id: string): Promise<void> {
    let cursor: string | null = null;
    while (session.archive !== null && isArchiveCursor(cursor)) {
      const page: LedgerPage = await this.entries(session, { cursor, limit: MAX_LEDGER_ENTRIES_PER_PAGE });
      if (page.damage !== undefined) throw new Error('the archive of this session is not what was put away');
      for (const entry of page.entries) if (tellsOf(entry, id)) remember(session.ledger, entry);
      cursor = page.nextCursor;
    }
    this.#exhumed.add(id);
  }
}

function archiveOf({ archive }: Session): ArchiveRef {
  if (archive === null) throw new Error('this session has no archive');
  return archive;
}
