// Reads the raw URL of a request, before any parser folds it. What could be read in two ways by two programs is refused,
// so that what was authorised is exactly what is sent.
import { accepted, refused, type Result } from '../denial.ts';
import { MAX_URL_CHARS } from '../limits.ts';

export interface RequestPath {
  /** The first segment: the name of a route. Raw. */
  readonly segment: string;
  /** What follows it. Raw; starts with "/" ("/" where nothing follows). */
  readonly path: string;
  /** Raw, with its "?"; empty where there is none. */
  readonly query: string;
}

const SLASH = 0x2f;
const DOT = 0x2e;
const PERCENT = 0x25;
const QUESTION_MARK = 0x3f;
const SCHEME_END = '://';

/** Octets that a percent-escape may not stand for: separators, because parsers differ in when they decode them. */
const ESCAPES_REFUSED = new Set(['.', '/', '\\', ';', '?', '#']);
const ESCAPE = /%([0-9A-Fa-f]{2})/g;
/** RFC 3986 section 2.3: an escape of one of these is the same as the character, and only hides it. */
const UNRESERVED = /[A-Za-z0-9._~-]/;
/** What compatibility normalisation may turn into a separator, in programs that apply it. */
const SEPARATORS = /[./\\;]/g;

/**
 * Splits the text of `request.url`. Refuses with `bad-request` what is no URL (too long, control characters, raw
 * non-ASCII, malformed escapes) and with `ambiguous-path` what is one in more than one way: encoded dots, slashes,
 * backslashes, semicolons and the like, encoded once or more often, doubled slashes, `;`, `\`, `#`, segments that end in a dot.
 */
export function readRequestPath(url: string): Result<RequestPath> {
  if (url.length > MAX_URL_CHARS) return refused('bad-request', `The URL is longer than ${MAX_URL_CHARS} characters.`);
  const authority = url.indexOf(SCHEME_END);
  if (authority < 0) return refused('bad-request', 'The URL has no scheme.');
  const start = endOfAuthority(url, authority + SCHEME_END.length);
  const scan = scanPath(url, start);
  if (typeof scan !== 'number') return scan;
  const query = url.slice(scan);
  const problem = queryProblem(query);
  if (problem !== null) return problem;
  const cut = url.indexOf('/', start + 1);
  const segmentEnd = cut < 0 || cut > scan ? scan : cut;
  return accepted({
    segment: url.slice(start + 1, segmentEnd),
    path: segmentEnd === scan ? '/' : url.slice(segmentEnd, scan),
    query,
  });
}

function endOfAuthority(url: string, from: number): number {
  let at = from;
  while (at < url.length && url.charCodeAt(at) !== SLASH && url.charCodeAt(at) !== QUESTION_MARK) at += 1;
  return at;
}

/** The index at which the path ends, or why it is refused. One pass over the characters; escapes are looked at apart. */
function scanPath(url: string, start: number): number | ReturnType<typeof refused> {
  let previous = 0;
  let escaped = false;
  let at = start;
  for (; at < url.length; at += 1) {
    const code = url.charCodeAt(at);
    if (code === QUESTION_MARK) break;
    if (code === SLASH) {
      if (previous === SLASH) return refused('ambiguous-path', 'The path has two slashes in a row.');
      if (previous === DOT) return refused('ambiguous-path', 'A segment of the path ends in a dot.');
    } else if (code === PERCENT) {
      escaped = true;
    } else if (code <= 0x20 || code >= 0x7f) {
      return refused('bad-request', 'The path has a character that is not printable ASCII.');
    } else if (code === 0x5c || code === 0x3b || code === 0x23) {
      return refused('ambiguous-path', `The path has the character "${url[at]}".`);
    }
    previous = code;
  }
  if (previous === DOT) return refused('ambiguous-path', 'A segment of the path ends in a dot.');
  const problem = escaped ? escapesProblem(url.slice(start, at)) : null;
  return problem ?? at;
}

function escapesProblem(path: string): ReturnType<typeof refused> | null {
  if (path.replace(ESCAPE, '').includes('%')) return refused('bad-request', 'The path has a malformed percent-escape.');
  for (const [escape, digits] of path.matchAll(ESCAPE)) {
    const octet = Number.parseInt(String(digits), 16);
    const character = String.fromCharCode(octet);
    if (octet < 0x20 || octet === 0x7f)
      return refused('bad-request', `The path has the escape ${escape} of a control character.`);
    if (ESCAPES_REFUSED.has(character) || UNRESERVED.test(character)) {
      return refused('ambiguous-path', `The path has the escape ${escape} of "${character}".`);
    }
  }
  if (isEscapedTwice(path)) return refused('ambiguous-path', 'The path is percent-encoded more than once.');
  return utf8Problem(path);
}

/** Whether decoding again would bring out an escape: `%252e` is `%2e` to whoever decodes once, and a dot to whoever decodes twice. */
function isEscapedTwice(path: string): boolean {
  const decoded = path.replace(ESCAPE, (_escape, digits: string) => String.fromCharCode(Number.parseInt(digits, 16)));
  return decoded.search(ESCAPE) >= 0;
}

function utf8Problem(path: string): ReturnType<typeof refused> | null {
  let decoded: string;
  try {
    decoded = decodeURIComponent(path);
  } catch {
    return refused('bad-request', 'The path has percent-escapes that are not UTF-8.');
  }
  const before = decoded.match(SEPARATORS)?.length ?? 0;
  const after = decoded.normalize('NFKC').match(SEPARATORS)?.length ?? 0;
  return before === after
    ? null
    : refused('ambiguous-path', 'The path has a character that some programs read as a dot or a slash.');
}

/** The query is passed on as it is; only what would not arrive as it is, is refused. */
function queryProblem(query: string): ReturnType<typeof refused> | null {
  for (let at = 0; at < query.length; at += 1) {
    const code = query.charCodeAt(at);
    if (code <= 0x20 || code >= 0x7f)
      return refused('bad-request', 'The query has a character that is not printable ASCII.');
    if (code === 0x23) return refused('ambiguous-path', 'The URL has a fragment.');
  }
  return null;
}
