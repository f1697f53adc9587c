// What may be an upstream: https to a public name, without anything that hides where requests go.

export interface UpstreamRules {
  /** Plain http, and any address of the own machine: in local development only. */
  readonly allowLoopback: boolean;
}

export type UpstreamReading =
  | { readonly ok: true; readonly upstream: string }
  | { readonly ok: false; readonly reason: string };

const BASE_PATH = /^(?:\/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$/;
const IPV4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/;
/** RFC 6761, RFC 6762, RFC 8375 and ICANN's reservation of `internal`: names that never mean a public host. */
const LOCAL_SUFFIXES = ['localhost', 'local', 'internal', 'intranet', 'lan', 'home.arpa', 'corp', 'home'];

/**
 * Reads origin and base path of an upstream; gives them back without a trailing slash. Refuses credentials, queries,
 * fragments, spellings that a parser would change, and addresses that are not on the public Internet (RFC 6890).
 */
export function readUpstream(text: string, rules: UpstreamRules): UpstreamReading {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url === null || url.host === '') return { ok: false, reason: 'is not a URL such as https://api.example.com' };
  if (url.protocol !== 'https:' && url.protocol !== 'http:') return { ok: false, reason: 'is not an https URL' };
  if (url.username !== '' || url.password !== '' || text.includes('@'))
    return { ok: false, reason: 'has credentials in it; they belong in auth.value, as a secret' };
  if (/[?#]/.test(text)) return { ok: false, reason: 'has a query or a fragment' };
  const upstream = text.endsWith('/') ? text.slice(0, -1) : text;
  if (upstream !== url.origin + url.pathname.replace(/\/$/, '')) {
    return { ok: false, reason: `is not in its plain form; write ${url.origin}${url.pathname.replace(/\/$/, '')}` };
  }
  if (!BASE_PATH.test(upstream.slice(url.origin.length)))
    return { ok: false, reason: 'has a base path that can be read in more than one way' };
  const loopback = isLoopback(url.hostname);
  if (loopback && rules.allowLoopback) return { ok: true, upstream };
  if (loopback) return { ok: false, reason: 'is on the own machine, which is for local development only' };
  if (url.protocol !== 'https:')
    return { ok: false, reason: 'is plain http, which is for the own machine in local development only; use https' };
  if (isPrivateHost(url.hostname)) return { ok: false, reason: 'is at a private or reserved address' };
  return { ok: true, upstream };
}

/** `hostname` as the URL parser writes it: numbers of IPv4 addresses decimal, IPv6 addresses in brackets and shortest. */
function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(hostname);
}

function isPrivateHost(hostname: string): boolean {
  if (hostname.startsWith('[')) return !isPublicIpv6(hostname);
  const octets = IPV4.exec(hostname);
  if (octets !== null) return isPrivateIpv4(octets.slice(1).map(Number));
  const name = hostname.replace(/\.$/, '');
  return !name.includes('.') || name !== hostname || LOCAL_SUFFIXES.some((suffix) => name.endsWith(`.${suffix}`));
}

function isPrivateIpv4(octets: readonly number[]): boolean {
  const [first = 0, second = 0, third = 0] = octets;
  if (first === 0 || first === 10 || first === 127 || first >= 224) return true;
  if (first === 100) return second >= 64 && second < 128;
  if (first === 169) return second === 254;
  if (first === 172) return second >= 16 && second < 32;
  if (first === 192)
    return second === 168 || (second === 0 && (third === 0 || third === 2)) || (second === 88 && third === 99);
  if (first === 198) return second === 18 || second === 19 || (second === 51 && third === 100);
  return first === 203 && second === 0 && third === 113;
}

/** Global unicast is 2000::/3; out of it, documentation, 6to4 and Teredo can hide an IPv4 address or lead nowhere. */
function isPublicIpv6(hostname: string): boolean {
  const first = Number.parseInt(hostname.slice(1), 16);
  if (Number.isNaN(first) || first < 0x2000 || first > 0x3fff || first === 0x2002) return false;
  return !/^\[2001:(?:0?:|db8:)/.test(hostname);
}
