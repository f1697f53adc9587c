// The logs: of one session and of the deployment, as pages of JSON or as one file of NDJSON, and whether they are whole.
// What makes a log whole, audit/verifier.ts says.
import { ringKeys } from '../audit/checkpoint.ts';
import { endLine, headerLine } from '../audit/log-format.ts';
import { readLogLine } from '../audit/log-line.ts';
import { linesOf, UnreadableLog } from '../audit/packing.ts';
import { LogVerifier, type Verdict } from '../audit/verifier.ts';
import type { Problem } from '../http/problem.ts';
import { timestamp } from '../http/timestamp.ts';
import { MAX_VERIFIED_BYTES } from '../limits.ts';
import type { AuditPage } from '../rpc/session-rpc.ts';
import {
  adminRoute,
  type AdminParts,
  type AdminRoute,
  type Answered,
  json,
  objectOf,
  reach,
  SESSION_UNKNOWN,
} from './route.ts';
import { auditAnswer, auditFileLine, auditQuery, auditVerdictAnswer, noQuery } from './schemas.ts';

const NDJSON = 'application/x-ndjson';
const GZIP = 'application/gzip';

type PageFrom = (cursor: string | null) => Promise<AuditPage | null>;

const ENTRIES = {
  status: 200,
  description: 'A page of rows and checkpoints, oldest first; as NDJSON the whole log as one file.',
  schema: auditAnswer,
  ndjson: auditFileLine,
} as const;
const VERDICT = { status: 200, description: 'What was found.', schema: auditVerdictAnswer } as const;

export const auditRoutes: readonly AdminRoute[] = [
  adminRoute({
    method: 'GET',
    path: '/admin/sessions/{id}/audit',
    role: 'viewer',
    summary: "A session's log. Asking for its first page signs what is on disk.",
    body: null,
    query: auditQuery,
    answer: ENTRIES,
    handle: ({ query, session }, { parts, request }) => {
      const object = objectOf(parts, session);
      return shown(request, query.cursor ?? null, (cursor) => reach(object.audit({ cursor }), 'the session'));
    },
  }),
  adminRoute({
    method: 'GET',
    path: '/admin/sessions/{id}/audit/verify',
    role: 'viewer',
    summary: "Verify a session's log where it is kept, its archive included.",
    body: null,
    query: noQuery,
    answer: VERDICT,
    handle: ({ session }, { parts }) => {
      const object = objectOf(parts, session);
      return verified(parts, (cursor) => reach(object.audit({ cursor }), 'the session'));
    },
  }),
  adminRoute({
    method: 'GET',
    path: '/admin/audit',
    role: 'viewer',
    summary: "The deployment's log: operators, switches, revocations, policies, archives.",
    body: null,
    query: auditQuery,
    answer: ENTRIES,
    handle: ({ query }, { parts, request }) =>
      shown(request, query.cursor ?? null, (cursor) => reach(parts.control.audit({ cursor }), 'the control object')),
  }),
  adminRoute({
    method: 'GET',
    path: '/admin/audit/verify',
    role: 'viewer',
    summary: "Verify the deployment's log where it is kept.",
    body: null,
    query: noQuery,
    answer: VERDICT,
    handle: (_input, { parts }) =>
      verified(parts, (cursor) => reach(parts.control.audit({ cursor }), 'the control object')),
  }),
  adminRoute({
    method: 'POST',
    path: '/admin/audit/verify',
    role: 'viewer',
    summary: "Verify a file that was exported or archived, against this deployment's keys.",
    body: null,
    bodyLine: auditFileLine,
    query: noQuery,
    answer: VERDICT,
    handle: (_input, { parts, request }) => verifiedFile(parts, request),
  }),
];

async function shown(request: Request, cursor: string | null, pageFrom: PageFrom): Promise<Answered> {
  const page = await pageFrom(cursor);
  if (page === null) return SESSION_UNKNOWN;
  if (cursor === null && request.headers.get('accept')?.includes(NDJSON) === true) {
    return new Response(file(page, pageFrom), { headers: { 'content-type': NDJSON, 'cache-control': 'no-store' } });
  }
  const entries = page.lines.map((line) => JSON.parse(line) as unknown);
  return json(200, { log: page.name, entries, next_cursor: page.nextCursor });
}

/** The whole log as a file. A page that fails, or cannot be read, breaks it off: it must not look complete. */
function file(first: AuditPage, pageFrom: PageFrom): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  let next: AuditPage | null = first;
  let rows = 0;
  return new ReadableStream<Uint8Array>({
    start(controller) {
      controller.enqueue(encoder.encode(`${headerLine(first.name)}\n`));
    },
    async pull(controller) {
      // A pull that enqueues nothing is not repeated, so an empty page may not end it.
      for (let text = ''; text === '' && next !== null;) {
        const { lines, nextCursor, archive }: AuditPage = next;
        if (archive === 'unreadable') throw new Error('the archive of this session cannot be read');
        rows += lines.filter((line) => !line.startsWith('{"checkpoint":')).length;
        text = lines.map((line) => `${line}\n`).join('');
        next = nextCursor === null ? null : await pageFrom(nextCursor);
        if (next === null) text += `${endLine('end', rows)}\n`;
        if (text !== '') controller.enqueue(encoder.encode(text));
      }
      if (next === null) controller.close();
    },
  });
}

async function verified({ config }: AdminParts, pageFrom: PageFrom): Promise<Answered> {
  let page = await pageFrom(null);
  if (page === null) return SESSION_UNKNOWN;
  const keys = ringKeys(config.keys);
  const verifier = new LogVerifier(page.name);
  verifier.step({ kind: 'header', name: page.name });
  let rows = 0;
  let changed = false;
  while (page !== null) {
    for (const text of page.lines) {
      const line = await readLogLine(text, keys);
      if (line.kind === 'row') rows += 1;
      verifier.step(line);
    }
    if (page.archive === 'unreadable') verifier.blameArchive();
    changed ||= page.archive === 'changed';
    page = page.nextCursor === null ? null : await pageFrom(page.nextCursor);
  }
  if (changed) verifier.blameArchive();
  verifier.step({ kind: 'end', rows, archive: false });
  return json(200, verdictJson(verifier.verdict()));
}

async function verifiedFile({ config }: AdminParts, request: Request): Promise<Answered> {
  if (request.body === null) return { code: 'bad-request', detail: 'The body has no log.' };
  const body = request.body as ReadableStream<Uint8Array>;
  const isPacked = request.headers.get('content-type')?.startsWith(GZIP) === true;
  const stream = isPacked ? body.pipeThrough(new DecompressionStream('gzip')) : body;
  const keys = ringKeys(config.keys);
  const verifier = new LogVerifier(null);
  try {
    for await (const text of linesOf(bounded(stream))) verifier.step(await readLogLine(text, keys));
  } catch (error) {
    if (error instanceof TooLarge) return TOO_LARGE;
    const reason = error instanceof UnreadableLog ? error.message : 'not a gzip file of lines';
    verifier.step({ kind: 'malformed', reason });
  }
  return json(200, verdictJson(verifier.verdict()));
}

class TooLarge extends Error {}

const TOO_LARGE: Problem = {
  code: 'body-too-large',
  detail: `The log is larger than ${MAX_VERIFIED_BYTES} bytes; verify it on your own machine.`,
};

async function* bounded(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let length = 0;
  for await (const chunk of stream) {
    length += chunk.length;
    if (length > MAX_VERIFIED_BYTES) throw new TooLarge();
    yield chunk;
  }
}

function verdictJson({ valid, rows, checkpoints, lastCheckpoint, unsignedRows, firstBad }: Verdict): object {
  return {
    valid,
    rows,
    checkpoints,
    last_checkpoint: lastCheckpoint === null ? null : { seq: lastCheckpoint.seq, at: timestamp(lastCheckpoint.atMs) },
    unsigned_rows: unsignedRows,
    first_bad: firstBad,
  };
}
