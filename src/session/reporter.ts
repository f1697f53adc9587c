// Tells the control object how its session stands: status, revocation, archive. Tried again by the session's alarm until it
// is heard; decides nothing, and what it marks as told is written by whoever owns the session.
import { REPORT_RETRY_MS } from '../limits.ts';
import type { ControlRpc } from '../rpc/control-rpc.ts';
import { sessionName } from '../rpc/session-name.ts';
import type { SessionStatus } from '../rpc/session-rpc.ts';
import { type Session, statusOf } from './session.ts';

export interface ReporterParts {
  /** A stub for each report: a broken one stays broken. */
  readonly control: () => ControlRpc;
  /** Writes the session, gated. */
  readonly write: (session: Session) => void;
}

export class Reporter {
  readonly #parts: ReporterParts;
  #retryAtMs = 0;

  constructor(parts: ReporterParts) {
    this.#parts = parts;
  }

  /** When a report is due; Infinity when everything was told. */
  dueMs(session: Session): number {
    return isUntold(session) ? this.#retryAtMs : Number.POSITIVE_INFINITY;
  }

  /** Tells what is untold. Never rejects: a failure is logged, and tried again. */
  async report(session: Session, nowMs: number): Promise<void> {
    if (!isUntold(session)) return;
    const { issuer, sid, agent, customer, segments, scopes, expiresAtMs } = session.identity;
    const { createdAtMs } = session;
    const status = reportedStatusOf(session);
    this.#retryAtMs = nowMs + REPORT_RETRY_MS;
    const control = this.#parts.control();
    try {
      await control.record({ issuer, sid, agent, customer, segments, scopes, createdAtMs, expiresAtMs, status });
      if (session.revocation !== null) {
        const { atMs: _atMs, ...act } = session.revocation;
        await control.revoke({ issuer, sid, untilMs: expiresAtMs, act });
      }
      session.reported = status;
      await tellOfArchive(session, control);
    } catch (error) {
      console.warn(JSON.stringify({ event: 'session.report-failed', session: sid, error: String(error) }));
    }
    session.ledger.dirty = true;
    this.#parts.write(session);
  }
}

/** The index applies the end by itself. */
function reportedStatusOf(session: Session): SessionStatus {
  return statusOf(session, session.identity.expiresAtMs - 1);
}

function isUntold(session: Session): boolean {
  return reportedStatusOf(session) !== session.reported || session.archive?.told === false;
}

/** The digest goes into the deployment's log, where the archive cannot reach it. */
async function tellOfArchive(session: Session, control: ControlRpc): Promise<void> {
  const { archive, identity } = session;
  if (archive === null || archive.told) return;
  // Two reports may be under way; one tells. Told again after a crash in between, it is the same row twice.
  session.archive = { ...archive, told: true };
  const { sha256, bytes, rows, where } = archive;
  const name = sessionName(identity.issuer, identity.sid);
  try {
    await control.note({ event: 'session.archived', session: name, sha256, bytes, rows, where });
  } catch (error) {
    session.archive = archive;
    throw error;
  }
}
