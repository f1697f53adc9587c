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
  const allowed = allowList([...COMMON_REQUEST_HEADERS, ...lists.names], mayForward);
  return (from) => {
    const to = new Headers();
    const dropped = namedByConnection(from.get('connection'));
    copyAllowed({ from, to, allowed, may: (name) => mayForward(name) && !dropped.includes(name) });
    to.set('accept-encoding', 'identity');
    return to;
  };
}

/** Makes the filter of a route's answer headers, once per route. The provider's `x-request-id` comes back as `x-upstream-request-id`. */
export function responseHeaderFilter(lists: HeaderLists): HeaderFilter {
  const allowed = allowList([...COMMON_RESPONSE_HEADERS, ...lists.names], mayReturn);
  return (from) => {
    const to = new Headers();
    copyAllowed({ from, to, allowed, may: mayReturn });
    const upstreamId = from.get('x-request-id');
    if (upstreamId !== null) to.set('x-upstream-request-id', upstreamId);
    return to;
  };
}

function mayReturn(name: string): boolean {
  return !isRefused(name, RESPONSE_NEVER, RESPONSE_NEVER_PREFIXES);
}

function isRefused(name: string, never: ReadonlySet<string>, prefixes: readonly string[]): boolean {
  return never.has(name) || HOP_BY_HOP.has(name) || prefixes.some((prefix) => name.startsWith(prefix));
}

interface AllowList {
  readonly exact: readonly string[];
  readonly prefixes: readonly string[];
}

function allowList(names: readonly string[], may: (name: string) => boolean): AllowList {
  const lower = [...new Set(names.map((name) => name.toLowerCase()))];
  return {
    exact: lower.filter((name) => !name.endsWith('*') && may(name)),
    prefixes: lower.filter((name) => name.endsWith('*')).map((name) => name.slice(0, -1)),
  };
}

function copyAllowed(options: {
  readonly from: Headers;
  readonly to: Headers;
  readonly allowed: AllowList;
  readonly may: (name: string) => boolean;
}): void {
  const { from, to, allowed, may } = options;
  for (const name of allowed.exact) {
    const value = from.get(name);
    if (value !== null && may(name)) to.set(name, value);
  }
  if (allowed.prefixes.length === 0) return;
  for (const [name, value] of from) {
    if (allowed.prefixes.some((prefix) => name.startsWith(prefix)) && may(name)) to.set(name, value);
  }
}

function namedByConnection(value: string | null): readonly string[] {
  if (value === null) return [];
  return value.split(',').map((name) => name.trim().toLowerCase());
}
