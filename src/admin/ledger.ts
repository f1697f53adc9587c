// The ledger of one session, as pages of JSON or as one stream of NDJSON.
import { ledgerEntryJson } from '../http/session-json.ts';
import { MAX_LEDGER_ENTRIES_PER_PAGE } from '../limits.ts';
import type { LedgerPage } from '../rpc/session-rpc.ts';
import { adminRoute, type AdminRoute, archiveChanged, json, objectOf, reach, SESSION_UNKNOWN } from './route.ts';
import { ledgerAnswer, ledgerEntryAnswer, ledgerQuery } from './schemas.ts';

const NDJSON = 'application/x-ndjson';

export const ledgerRoutes: readonly AdminRoute[] = [
  adminRoute({
    method: 'GET',
    path: '/admin/sessions/{id}/ledger',
    role: 'viewer',
    summary: 'The entries of the ledger, oldest first. The sum of cost_usd is spend.settled_usd.',
    body: null,
    query: ledgerQuery,
    answer: { status: 200, description: 'A page of entries.', schema: ledgerAnswer, ndjson: ledgerEntryAnswer },
    async handle({ query, session }, { parts, request }) {
      const object = objectOf(parts, session);
      const known = await reach(object.describe(), 'the session');
      if (!known.known) return SESSION_UNKNOWN;
      const limit = query.limit ?? MAX_LEDGER_ENTRIES_PER_PAGE;
      const pageFrom = (cursor: string | null): Promise<LedgerPage> =>
        reach(object.ledger({ cursor, limit }), 'the session');
      const first = await pageFrom(query.cursor ?? null);
      if (first.damage !== undefined) return archiveChanged(first.damage);
      if (request.headers.get('accept')?.includes(NDJSON) === true) {
        return new Response(lines(first, pageFrom), {
          headers: { 'content-type': NDJSON, 'cache-control': 'no-store' },
        });
      }
      return json(200, { entries: first.entries.map(ledgerEntryJson), next_cursor: first.nextCursor });
    },
  }),
];

/** All pages, one after the other, as fast as they are read. A page that fails breaks the stream off: it must not look complete. */
function lines(first: LedgerPage, pageFrom: (cursor: string) => Promise<LedgerPage>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let next: LedgerPage | null = first;
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      // A pull that enqueues nothing is not repeated, so an empty page may not end it.
      for (let text = ''; text === '' && next !== null;) {
        text = next.entries.map((entry) => `${JSON.stringify(ledgerEntryJson(entry))}\n`).join('');
        next = next.nextCursor === null ? null : await pageFrom(next.nextCursor);
        if (next?.damage !== undefined) throw new Error('the archive of this session is not what was put away');
        if (text !== '') controller.enqueue(encoder.encode(text));
      }
      if (next === null) controller.close();
    },
  });
}
