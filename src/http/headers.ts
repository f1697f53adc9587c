// Header hygiene: what goes to an upstream, and what comes back from it, is built from allow-lists. Nothing passes
// because nobody thought of it.

export interface HeaderLists {
  /** Names passed besides the common ones; lower case; a trailing `*` matches a prefix. */
  readonly names: readonly string[];
}

/** Copies what is allowed into new headers. */
export type HeaderFilter = (from: Headers) => Headers;

const COMMON_REQUEST_HEADERS = ['accept', 'content-type', 'user-agent'];

const COMMON_RESPONSE_HEADERS = [
  'content-type',
  'cache-control',
  'date',
  'retry-after',
  'retry-after-ms',
  'x-should-retry',
  // The provider's own names of the request, for its support.
  'request-id',
  'x-goog-request-id',
  'openai-processing-ms',
  'openai-version',
  'x-ratelimit-*',
  'anthropic-ratelimit-*',
];

/** Never passed to an upstream, whatever a list says: credentials, connection, routing and identity. */
const REQUEST_NEVER = new Set([
  'authorization',
  'proxy-authorization',
  'x-api-key',
  'x-goog-api-key',
  'api-key',
  'x-agent-certificate',
  'signature',
  'signature-input',
  'dpop',
  'cookie',
  'host',
  'content-length',
  'accept-encoding',
  'expect',
  'forwarded',
  'via',
  'x-real-ip',
  'true-client-ip',
  'x-request-id',
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
]);
const REQUEST_NEVER_PREFIXES = ['x-forwarded-', 'cf-', 'x-fusebox-', 'proxy-', 'sec-'];

/** Never passed back: what the platform sets itself, and what would speak for this gateway's origin. */
const RESPONSE_NEVER = new Set([
  'set-cookie',
  'content-encoding',
  'content-length',
  'www-authenticate',
  'x-request-id',
  'strict-transport-security',
  'clear-site-data',
  'alt-svc',
  'ratelimit',
  'ratelimit-policy',
]);
const RESPONSE_NEVER_PREFIXES = ['x-fusebox-', 'cf-', 'proxy-', 'access-control-'];

/** RFC 9110 section 7.6.1, and what older programs treat alike. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'proxy-connection',
]);

/** Whether a request header of this name (lower case) may be forwarded if a policy asks for it. */
export function mayForward(name: string): boolean {
  return !isRefused(name, REQUEST_NEVER, REQUEST_NEVER_PREFIXES);
}

/**
 * Makes the filter of a route's request headers, once per route. Names that the request's own `Connection` header lists
 * are dropped (RFC 9110 section 7.6.1). `accept-encoding` is set to `identity`: answers are metered as they pass.
 */
export function requestHeaderFilter(lists: HeaderLists): HeaderFilter {
  const isAllowed = allowList([...COMMON_REQUEST_HEADERS, ...lists.names], mayForward);
  return (from) => {
    const dropped = namedByConnection(from.get('connection'));
    const to = allowedOf(from, (name) => isAllowed(name) && !dropped.includes(name));
    to['accept-encoding'] = 'identity';
    return new Headers(to);
  };
}

/** Makes the filter of a route's answer headers, once per route. The provider's `x-request-id` comes back as `x-upstream-request-id`. */
export function responseHeaderFilter(lists: HeaderLists): HeaderFilter {
  const isAllowed = allowList([...COMMON_RESPONSE_HEADERS, ...lists.names], mayReturn);
  return (from) => {
    const to = allowedOf(from, isAllowed);
    const upstreamId = from.get('x-request-id');
    if (upstreamId !== null) to['x-upstream-request-id'] = upstreamId;
    return new Headers(to);
  };
}

function mayReturn(name: string): boolean {
  return !isRefused(name, RESPONSE_NEVER, RESPONSE_NEVER_PREFIXES);
}

function isRefused(name: string, never: ReadonlySet<string>, prefixes: readonly string[]): boolean {
  return never.has(name) || HOP_BY_HOP.has(name) || prefixes.some((prefix) => name.startsWith(prefix));
}

type Verdict = (name: string) => boolean;

/** Names come from outside; beyond this many no more verdicts are remembered. */
const MAX_VERDICTS = 512;

/** Whether a name (lower case) is on the list, remembered per name: the same few come with every request. */
function allowList(names: readonly string[], may: Verdict): Verdict {
  const lower = names.map((name) => name.toLowerCase());
  const exact = new Set(lower.filter((name) => !name.endsWith('*')));
  const prefixes = lower.filter((name) => name.endsWith('*')).map((name) => name.slice(0, -1));
  const verdicts = new Map<string, boolean>();
  return (name) => {
    const known = verdicts.get(name);
    if (known !== undefined) return known;
    const listed = exact.has(name) || prefixes.some((prefix) => name.startsWith(prefix));
    const verdict = listed && may(name);
    if (verdicts.size < MAX_VERDICTS) verdicts.set(name, verdict);
    return verdict;
  };
}

/** One pass over what came: every look-up by name in the runtime's headers costs more than this object. */
function allowedOf(from: Headers, isAllowed: Verdict): Record<string, string> {
  const to: Record<string, string> = {};
  for (const [name, value] of from) {
    if (isAllowed(name)) to[name] = value;
  }
  return to;
}

function namedByConnection(value: string | null): readonly string[] {
  if (value === null) return [];
  return value.split(',').map((name) => name.trim().toLowerCase());
}
