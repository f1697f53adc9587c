// How a session's object, and a session in the control plane's URLs, is named. Issuers cannot collide: `~` is in no id.
import { isId } from '../policy/grammar.ts';

export interface SessionRef {
  readonly issuer: string;
  readonly sid: string;
}

/** The name of a session's object: `issuer~sid`. */
export function sessionName(issuer: string, sid: string): string {
  return `${issuer}~${sid}`;
}

/** How people name a session: its id, with the issuer before it when that is not ourselves. */
export function sessionId(session: SessionRef, ownIssuer: string): string {
  return session.issuer === ownIssuer ? session.sid : sessionName(session.issuer, session.sid);
}

/** Reads `sid` or `issuer~sid`; null where that is not an id. */
export function readSessionId(text: string, ownIssuer: string): SessionRef | null {
  const cut = text.indexOf('~');
  const issuer = cut < 0 ? ownIssuer : text.slice(0, cut);
  const sid = text.slice(cut + 1);
  return isId(issuer) && isId(sid) ? { issuer, sid } : null;
}
