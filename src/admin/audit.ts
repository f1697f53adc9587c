// The logs: of one session and of the deployment, as pages of JSON or as one file of NDJSON, and whether they are whole.
// What makes a log whole, audit/verifier.ts says.
import { ringKeys } from '../audit/checkpoint.ts';
import { readLogLine } from '../audit/log-line.ts';
import { DAMAGED, linesOf, unpackedIfPacked, UnreadableLog } from '../audit/packing.ts';
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
  archiveChanged,
  json,
  objectOf,
  reach,
  SESSION_UNKNOWN,
} from './route.ts';
import { auditAnswer, auditFileLine, auditQuery, auditVerdictAnswer, noQuery, verifyQuery } from './schemas.ts';
import { type SignedPage, wholeLog } from './whole-log.ts';

const NDJSON = 'application/x-ndjson';

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
    query: verifyQuery,
    answer: VERDICT,
    handle: ({ query: { log } }, { parts, request }) => verifiedFile(parts, request, log === undefined ? {} : { log }),
  }),
];

async function shown(request: Request, cursor: string | null, pageFrom: PageFrom): Promise<Answered> {
  const page = await pageFrom(cursor);
  if (page === null) return SESSION_UNKNOWN;
  if (page.archive === 'unreadable') return archiveChanged(page.damage);
  if (cursor === null && request.headers.get('accept')?.includes(NDJSON) === true) {
    if (!isSigned(page)) return UNSIGNED;
    return new Response(file(page, pageFrom), { headers: { 'content-type': NDJSON, 'cache-control': 'no-store' } });
  }
  const entries = page.lines.map((line) => JSON.parse(line) as unknown);
  return json(200, { log: page.name, entries, next_cursor: page.nextCursor });
}

const UNSIGNED: Problem = { code: 'enforcement-unavailable', detail: 'The log could not be signed. Try again.' };

function isSigned(page: AuditPage): page is SignedPage {
  return page.signed !== undefined;
}

/** The whole log as a file. A page that fails, or cannot be read, breaks it off: it must not look complete. */
function file(first: SignedPage, pageFrom: PageFrom): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  const parts = wholeLog(first, pageFrom);
  return new ReadableStream<Uint8Array>({
    async pull(controller) {
      // A pull that enqueues nothing is not repeated, so an empty part may not end it.
      for (let text = ''; text === '';) {
        const { done, value } = await parts.next();
        if (done === true) return controller.close();
        if (value.archive === 'unreadable') throw new Error('the archive of this session cannot be read');
        text = value.lines.map((line) => `${line}\n`).join('');
        if (text !== '') controller.enqueue(encoder.encode(text));
      }
    },
  });
}

async function verified({ config }: AdminParts, pageFrom: PageFrom): Promise<Answered> {
  const first = await pageFrom(null);
  if (first === null) return SESSION_UNKNOWN;
  if (!isSigned(first)) return UNSIGNED;
  const keys = ringKeys(config.keys);
  const verifier = new LogVerifier({ expected: first.name, signed: true });
  const firstBad = first.damage?.firstBad ?? null;
  let isChanged = false;
  for await (const { lines, archive } of wholeLog(first, pageFrom)) {
    for (const line of lines) verifier.step(await readLogLine(line, keys));
    if (archive === 'unreadable') verifier.blameArchive(firstBad);
    isChanged ||= archive === 'changed';
  }
  if (isChanged) verifier.blameArchive(firstBad);
  return json(200, verdictJson(verifier.verdict()));
}

async function verifiedFile(
  { config }: AdminParts,
  request: Request,
  expected: { readonly log?: string },
): Promise<Answered> {
  if (request.body === null) return { code: 'bad-request', detail: 'The body has no log.' };
  const keys = ringKeys(config.keys);
  const verifier = new LogVerifier({ expected, signed: true });
  try {
    const stream = await unpackedIfPacked(request.body as ReadableStream<Uint8Array>);
    for await (const text of linesOf(bounded(stream))) verifier.step(await readLogLine(text, keys));
  } catch (error) {
    if (error instanceof TooLarge) return TOO_LARGE;
    verifier.step({ kind: 'malformed', reason: error instanceof UnreadableLog ? error.message : DAMAGED });
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

function verdictJson({ valid, name, rows, checkpoints, lastCheckpoint, unsignedRows, firstBad }: Verdict): object {
  return {
    valid,
    deployment: name?.deployment ?? null,
    log: name?.log ?? null,
    rows,
    checkpoints,
    last_checkpoint: lastCheckpoint === null ? null : { seq: lastCheckpoint.seq, at: timestamp(lastCheckpoint.atMs) },
    unsigned_rows: unsignedRows,
    first_bad: firstBad,
  };
}
