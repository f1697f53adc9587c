// Revocations in bulk, of sessions that were issued elsewhere or are too many to be told one by one: they go on the list
// alone. A single session is revoked by its own call, which its object hears of too.
import { readTimestamp } from '../http/timestamp.ts';
import { MAX_IMPORT_BYTES, MAX_IMPORT_LINES, MAX_IMPORTED_LIFE_MS } from '../limits.ts';
import { readSessionId } from '../rpc/session-name.ts';
import { readLines } from './input.ts';
import { adminRoute, type AdminRoute, json, reach } from './route.ts';
import { importAnswer, importQuery, revocationLine } from './schemas.ts';

export const revocationRoutes: readonly AdminRoute[] = [
  adminRoute({
    method: 'POST',
    path: '/admin/revocations',
    role: 'operator',
    summary: `Put sessions on the revocation list: one a line, at most ${MAX_IMPORT_LINES}. All of them or none.`,
    body: null,
    bodyLine: revocationLine,
    query: importQuery,
    answer: { status: 200, description: 'They are on the list.', schema: importAnswer },
    async handle({ query, act }, { parts, request, background }) {
      const bounds = { maxBytes: MAX_IMPORT_BYTES, maxLines: MAX_IMPORT_LINES };
      const lines = await readLines(request, revocationLine, bounds);
      if (!lines.ok) return lines.denial;
      const { values, sha256 } = lines.value;
      if (values.length === 0) return { code: 'bad-request', detail: 'The body has no line.' };
      const nowMs = parts.now();
      const entries = [];
      for (const { session, expires_at: expiresAt } of values) {
        const ref = readSessionId(session, parts.config.issuer);
        const untilMs = readTimestamp(expiresAt);
        if (ref === null || untilMs === null)
          return { code: 'bad-request', detail: `"${session.slice(0, 64)}" is not the id of a session.` };
        if (untilMs <= nowMs || untilMs > nowMs + MAX_IMPORTED_LIFE_MS) {
          const what = untilMs <= nowMs ? 'is in the past' : 'is more than 400 days ahead';
          return { code: 'bad-request', detail: `expires_at of "${session.slice(0, 64)}" ${what}.` };
        }
        entries.push({ ...ref, untilMs });
      }
      const answer = await reach(
        parts.control.revokeMany({ entries, sha256, act: act(query.reason) }),
        'the control object',
      );
      if (!answer.imported) return { code: 'revocations-full', detail: 'The revocation list has no room for so many.' };
      await parts.headChanged(background);
      return json(200, { listed: answer.listed, epoch: answer.epoch });
    },
  }),
];
