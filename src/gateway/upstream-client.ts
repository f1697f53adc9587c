// The one place that calls an upstream. Says what came of it as a value; never follows a redirect.
import type { Route } from './route-table.ts';
import type { OutboundRequest } from '../protocol/protocol.ts';

export type UpstreamOutcome =
  | { readonly outcome: 'answered'; readonly response: Response }
  /** The request never reached it: nothing was spent. */
  | { readonly outcome: 'unreachable'; readonly detail: string }
  /** It may have been reached, and gave no answer. */
  | { readonly outcome: 'lost'; readonly detail: string }
  | { readonly outcome: 'redirected'; readonly response: Response };

/** Statuses that Cloudflare answers in an origin's place when it could not be reached at all. */
const NEVER_REACHED = new Set([521, 523, 525, 526, 530]);
/** What the runtime says where the connection was never made. */
const NEVER_CONNECTED = /refused|dns|resolve|unreachable|no route/i;

interface UpstreamCall {
  readonly method: string;
  readonly url: string;
  readonly headers: Headers;
  readonly outbound: OutboundRequest;
  /** Ends the call: the client went away, or the time is up. */
  readonly signal: AbortSignal;
}

/** The address of a call. `null` where a URL parser would fold it into another than was authorised. */
export function upstreamUrl(route: Route, { path, query }: { path: string; query: string }): string | null {
  const url = route.policy.upstream + (path === '/' && route.policy.upstream.split('/').length > 3 ? '' : path) + query;
  return URL.parse(url)?.href === url ? url : null;
}

export type CallUpstream = (call: UpstreamCall) => Promise<UpstreamOutcome>;

export async function callUpstream(call: UpstreamCall): Promise<UpstreamOutcome> {
  try {
    const response = await fetch(call.url, {
      method: call.method,
      headers: call.headers,
      body: call.outbound.body,
      redirect: 'manual',
      signal: call.signal,
    });
    if (NEVER_REACHED.has(response.status)) {
      await response.body?.cancel();
      return { outcome: 'unreachable', detail: `The upstream could not be reached (${response.status}).` };
    }
    if (isRedirect(response.status)) return { outcome: 'redirected', response };
    return { outcome: 'answered', response };
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    return NEVER_CONNECTED.test(detail) ? { outcome: 'unreachable', detail } : { outcome: 'lost', detail };
  }
}

/** RFC 9110, section 15.4: of the 3xx, only 304 answers the request itself. */
function isRedirect(status: number): boolean {
  return status >= 300 && status < 400 && status !== 304;
}
