// What a route of the control plane is: a row of the one table that serves it, documents it and is tested. A handler gets
// its input parsed and its caller's role checked.
import type * as z from 'zod';
import type { Config } from '../config.ts';
import type { Admin } from '../credential/admin-token.ts';
import { readSessionId, sessionName, type SessionRef } from '../rpc/session-name.ts';
import { refused, type Result } from '../denial.ts';
import type { Problem } from '../http/problem.ts';
import type { AdminRole } from '../policy/admin-roles.ts';
import type { DrillPorts } from '../drill/drill-runner.ts';
import type { Policy } from '../policy/policy.ts';
import type { AgentRpc } from '../rpc/agent-rpc.ts';
import { ADMIN_ANSWER_TIMEOUT_MS } from '../limits.ts';
import { within } from '../rpc/deadline.ts';
import type { ControlRpc } from '../rpc/control-rpc.ts';
import type { Act, ArchiveDamage, SessionRpc } from '../rpc/session-rpc.ts';
import type { AccessKeyOf } from './auth.ts';
import { readBody, readQuery } from './input.ts';

/** What the control plane needs of the outside. Clock and ids come in, so that tests can say what they are. */
export interface AdminParts {
  readonly config: Config;
  /** The session object of that name (see `sessionName`). */
  readonly sessions: (name: string) => SessionRpc;
  readonly control: ControlRpc;
  readonly accessKeyOf: AccessKeyOf;
  /** The object of that agent. */
  readonly agent: (id: string) => AgentRpc;
  /** The policy in force. */
  readonly policy: () => Policy;
  /** The head has changed: this isolate takes the new one at once. Never rejects. */
  readonly headChanged: (background: (work: Promise<unknown>) => void) => Promise<void>;
  /** The data plane as a drill uses it; `lifetime` is that of the call which runs it. */
  readonly drillGateway: (lifetime: {
    waitUntil(work: Promise<unknown>): void;
  }) => Pick<DrillPorts, 'probe' | 'probeHalted' | 'upstreamCalls'>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** A new id: unique, unguessable enough, in the grammar of ids. */
  readonly newId: () => string;
  /** One structured line about what happened; never a secret. */
  readonly log: (entry: Readonly<Record<string, unknown>>) => void;
}

export type Answered = Response | Problem;

/** One call, past authentication and role. */
export interface AdminCall {
  readonly parts: AdminParts;
  readonly admin: Admin;
  readonly request: Request;
  /** Keeps the call alive for what goes on after its answer. */
  readonly background: (work: Promise<unknown>) => void;
  /** What stands in the places of the path that are in braces, decoded. */
  readonly params: Readonly<Record<string, string>>;
}

interface AdminInput<Body, Query> {
  readonly body: Body;
  readonly query: Query;
  /** Of `{id}` on routes under /admin/sessions; on others it is never read. */
  readonly session: SessionRef;
  readonly params: Readonly<Record<string, string>>;
  readonly act: (reason: string) => Act;
}

export interface AnswerShape {
  readonly status: number;
  readonly description: string;
  readonly schema: z.ZodType;
  /** Said too: the same as NDJSON, one object of this schema a line, with `Accept: application/x-ndjson`. */
  readonly ndjson?: z.ZodType;
}

export interface AdminRoute {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** As OpenAPI writes it: "/admin/sessions/{id}". */
  readonly path: string;
  readonly role: AdminRole;
  /** Another role that may call it; what it may do there, the handler says. */
  readonly orRole?: AdminRole;
  readonly summary: string;
  readonly body: z.ZodType | null;
  /** Where the body is NDJSON, which the handler reads by itself: one of its lines. */
  readonly bodyLine?: z.ZodType;
  /** Of the body, where it is not the usual bound. */
  readonly maxBodyBytes?: number;
  readonly query: z.ZodType;
  readonly answer: AnswerShape;
  handle(call: AdminCall): Promise<Answered>;
}

type Handler<B extends z.ZodType | null, Q extends z.ZodType> = (
  input: AdminInput<B extends z.ZodType ? z.output<B> : null, z.output<Q>>,
  call: AdminCall,
) => Promise<Answered>;

/** Makes a row of the table: `handle` runs only with a body, a query and an id that its schemas accept. */
export function adminRoute<B extends z.ZodType | null, Q extends z.ZodType>(
  row: Omit<AdminRoute, 'handle' | 'body' | 'query'> & {
    readonly body: B;
    readonly query: Q;
    readonly handle: Handler<B, Q>;
  },
): AdminRoute {
  return {
    ...row,
    async handle(call) {
      const session = sessionOf(call, row.path);
      if (!session.ok) return session.denial;
      const query = readQuery(call.request.url, row.query);
      if (!query.ok) return query.denial;
      const body = row.body === null ? null : await readBody(call.request, row.body, row.maxBodyBytes);
      if (body !== null && !body.ok) return body.denial;
      const input = {
        body: body === null ? null : body.value,
        query: query.value,
        session: session.value,
        params: call.params,
        act: (reason: string): Act => ({ by: call.admin.id, owner: call.admin.person, reason }),
      };
      return row.handle(input as Parameters<Handler<B, Q>>[0], call);
    },
  };
}

function sessionOf(call: AdminCall, path: string): Result<SessionRef> {
  const none = { issuer: '', sid: '' };
  if (!path.startsWith('/admin/sessions/{id}')) return { ok: true, value: none };
  const session = readSessionId(call.params['id'] ?? '', call.parts.config.issuer);
  return session === null
    ? refused('bad-request', 'The id in the path is not that of a session.')
    : { ok: true, value: session };
}

/** An object could not be asked: its call rejected. */
export class Unreachable extends Error {}

/** Awaits the answer of an object; what it rejects with, or that it takes too long, becomes `Unreachable`. */
export async function reach<T>(answer: Promise<T>, whom: string): Promise<T> {
  let inTime: { readonly value: T } | null;
  try {
    inTime = await within(
      answer.then((value) => ({ value })),
      ADMIN_ANSWER_TIMEOUT_MS,
    );
  } catch (error) {
    throw new Unreachable(`${whom} could not be reached`, { cause: error });
  }
  if (inTime === null) throw new Unreachable(`${whom} has not answered in time`);
  return inTime.value;
}

/** No session of that id was ever issued or seen here. */
export const SESSION_UNKNOWN: Problem = { code: 'session-unknown', detail: 'No session of this id is known.' };

/** The session's archive is not what was put away: nothing of it is shown as if it were. */
export function archiveChanged(damage: ArchiveDamage | undefined): Problem {
  const firstBad = damage?.firstBad ?? null;
  const found = firstBad === null ? '' : ` Line ${firstBad.line} of it: ${firstBad.problem}. ${firstBad.detail}`;
  const detail = `The archive of this session is not what was put away.${found} GET /admin/sessions/{id}/audit/verify names what was changed.`;
  return { code: 'archive-changed', detail };
}

/** The session's own object. */
export function objectOf(parts: AdminParts, session: SessionRef): SessionRpc {
  return parts.sessions(sessionName(session.issuer, session.sid));
}

/** A JSON answer that no cache keeps. */
export function json(status: number, body: unknown): Response {
  return Response.json(body, { status, headers: { 'cache-control': 'no-store' } });
}
