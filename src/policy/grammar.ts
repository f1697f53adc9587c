// The grammar of names: ids, scopes, routes. ASCII only, so that no two names look alike and none can break a log line,
// a header or a URL.
import { MAX_ID_CHARS } from '../limits.ts';

const ID = new RegExp(`^[A-Za-z0-9][A-Za-z0-9._:-]{0,${MAX_ID_CHARS - 1}}$`);
/** What a route asks for. */
const SCOPE = new RegExp(`^[A-Za-z0-9][A-Za-z0-9._:/@-]{0,${MAX_ID_CHARS - 1}}$`);
/** What a credential may hold: a scope, or a whole branch of them. */
const GRANTED_SCOPE = new RegExp(
  `^[A-Za-z0-9](?:[A-Za-z0-9._:/@-]{0,${MAX_ID_CHARS - 1}}|[A-Za-z0-9._:/@-]{0,${MAX_ID_CHARS - 3}}[:/]\\*)$`,
);
const ROUTE_NAME = /^[a-z0-9][a-z0-9_-]{0,62}$/;
/** RFC 9110 section 5.6.2, in lower case. */
const HEADER_NAME = /^[a-z0-9!#$%&'*+.^_`|~-]{1,64}$/;

export const ID_PATTERN = ID.source;

/** The id of an agent, customer, segment, session, issuer or key. */
export function isId(text: unknown): text is string {
  return typeof text === 'string' && ID.test(text);
}

export function isScope(text: unknown): text is string {
  return typeof text === 'string' && SCOPE.test(text);
}

export function isGrantedScope(text: unknown): text is string {
  return typeof text === 'string' && GRANTED_SCOPE.test(text);
}

export function isRouteName(text: string): boolean {
  return ROUTE_NAME.test(text);
}

export function isHeaderName(text: string): boolean {
  return HEADER_NAME.test(text);
}

/** Whether one of the scopes of a credential is the required one, or the branch that it is on: `ticket:*` covers `ticket:read`. */
export function scopeCovers(granted: readonly string[], required: string): boolean {
  for (const scope of granted) {
    if (scope === required) return true;
    if (scope.endsWith('*') && required.length >= scope.length && required.startsWith(scope.slice(0, -1))) return true;
  }
  return false;
}
