// The hash chain of a log: what its rows are, and how each is bound to all before it. Pure; where rows are kept is the
// business of whoever appends.
import { createHash } from 'node:crypto';
import { MAX_AUDIT_TEXT_CHARS } from '../limits.ts';
import { type AuditValue, canonicalJson } from './canonical-json.ts';

/** What happened, as a part of the product tells it: amounts in whole micro-USD, times as RFC 3339, never a secret. */
export interface AuditEntry {
  readonly event: string;
  readonly [member: string]: AuditValue | undefined;
}

/** Which log: nobody can pass off one for another. `log` is "control" or "session ISSUER~SID". */
export interface LogName {
  readonly deployment: string;
  readonly log: string;
}

/** Where a chain stands: `seq` rows so far, and the hash of the last one (hex). */
export interface ChainHead {
  readonly seq: number;
  readonly hash: string;
}

/** Names of members that the chain itself sets. */
const CHAIN_MEMBERS = ['seq', 'at', 'prev', 'hash'] as const;

/** The log of one session. */
export function sessionLog(deployment: string, name: string): LogName {
  return { deployment, log: `session ${name}` };
}

/** The log of the control object. */
export function controlLog(deployment: string): LogName {
  return { deployment, log: 'control' };
}

/** The head of a log without rows: its hash is that of the log's name. */
export function genesis({ deployment, log }: LogName): ChainHead {
  return { seq: 0, hash: createHash('sha256').update(canonicalJson({ deployment, log })).digest('hex') };
}

/**
 * The next row, as the line that is kept and exported: the canonical text of `{ seq, at, event, ...members }` with `prev`
 * and `hash` added at its end. Throws when the entry has members of the chain's own.
 */
export function link(head: ChainHead, entry: AuditEntry, atMs: number): { head: ChainHead; line: string } {
  for (const name of CHAIN_MEMBERS) if (name in entry) throw new TypeError(`an entry may not have "${name}"`);
  const seq = head.seq + 1;
  const told = isBounded(entry) ? entry : (bounded(entry) as AuditEntry);
  const body = canonicalJson({ ...told, seq, at: new Date(atMs).toISOString() });
  const hash = hashOf(head.hash, body);
  return { head: { seq, hash }, line: lineOf(body, head.hash, hash) };
}

/** SHA-256 over the bytes of the hash before and the canonical text of the row without `prev` and `hash`; hex. */
export function hashOf(prev: string, body: string): string {
  return createHash('sha256').update(prev, 'hex').update(body).digest('hex');
}

/** Nearly always true, and cheaper to find out than to copy. */
function isBounded(value: AuditValue | undefined): boolean {
  if (typeof value === 'string') return value.length <= MAX_AUDIT_TEXT_CHARS && value.isWellFormed();
  return typeof value !== 'object' || value === null || Object.values(value).every(isBounded);
}

/** What requests say reaches rows, so no text is longer than one needs, and each has a canonical form. */
function bounded(value: AuditValue | undefined): AuditValue | undefined {
  if (typeof value === 'string') {
    const text = value.length > MAX_AUDIT_TEXT_CHARS ? `${value.slice(0, MAX_AUDIT_TEXT_CHARS)}…` : value;
    return text.toWellFormed();
  }
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map((item: AuditValue) => bounded(item) ?? null);
  return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, bounded(member)]));
}

/** How a row is written: `body` is its canonical text without `prev` and `hash`. */
export function lineOf(body: string, prev: string, hash: string): string {
  return `${body.slice(0, -1)},"prev":"${prev}","hash":"${hash}"}`;
}
