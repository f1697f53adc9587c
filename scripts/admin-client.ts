// A small client of the control plane, for the demo, the benchmark and the tests: HTTP like everyone else's.
import type { LedgerEntryJson, SessionJson } from '../src/http/session-json.ts';

export interface IssueRequest {
  readonly agent: string;
  readonly scopes: readonly string[];
  readonly limits?: {
    readonly spend_usd?: string;
    readonly tokens?: number;
    readonly tokens_per_request?: number;
    readonly requests_per_minute?: number;
  };
  readonly customer?: string;
  readonly segment?: string | readonly string[];
  readonly ttl_seconds?: number;
}

export interface Issued {
  readonly session: SessionJson;
  readonly token: string;
  readonly expires_at: string;
}

export interface AdminClient {
  issue(request: IssueRequest): Promise<Issued>;
  session(id: string): Promise<SessionJson>;
  /** Every entry, over all pages. */
  ledger(id: string): Promise<LedgerEntryJson[]>;
  changeLimits(id: string, limits: IssueRequest['limits']): Promise<SessionJson>;
  revoke(id: string, reason: string): Promise<SessionJson>;
}

/** An answer that was not a success, with its text. */
class AdminError extends Error {
  override name = 'AdminError';
  readonly status: number;

  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const REASON = 'local use';

export function adminClient(options: { readonly url: string; readonly token: string }): AdminClient {
  const call = async <T>(method: string, path: string, body?: object): Promise<T> => {
    const answer = await fetch(`${options.url}/admin${path}`, {
      method,
      headers: {
        authorization: `Bearer ${options.token}`,
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new AdminError(answer.status, `${method} /admin${path}: ${answer.status} ${text}`);
    return JSON.parse(text) as T;
  };
  return {
    issue: (request) => call<Issued>('POST', '/sessions', { reason: REASON, ...request }),
    session: (id) => call<SessionJson>('GET', `/sessions/${id}`),
    async ledger(id) {
      const entries: LedgerEntryJson[] = [];
      let cursor: string | null = null;
      do {
        const query: string = cursor === null ? '' : `?cursor=${encodeURIComponent(cursor)}`;
        const page: { entries: LedgerEntryJson[]; next_cursor: string | null } = await call(
          'GET',
          `/sessions/${id}/ledger${query}`,
        );
        entries.push(...page.entries);
        cursor = page.next_cursor;
      } while (cursor !== null);
      return entries;
    },
    changeLimits: (id, limits) => call<SessionJson>('PATCH', `/sessions/${id}`, { limits, reason: REASON }),
    revoke: (id, reason) => call<SessionJson>('POST', `/sessions/${id}/revoke`, { reason }),
  };
}
