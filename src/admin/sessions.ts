// The calls on sessions that exist: look, change, revoke, reset. What a session is, its object says; what is listed, the
// deployment's index. Issuing is in admin/issuing.ts.
import type * as z from 'zod';
import { sessionId, sessionName, type SessionRef } from '../rpc/session-name.ts';
import { sessionJson } from '../http/session-json.ts';
import { CLOCK_SKEW_EXPIRY_SECONDS, MAX_SESSIONS_PER_PAGE } from '../limits.ts';
import type { LimitsPatch, SessionAnswer } from '../rpc/session-rpc.ts';
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
import { listAnswer, listQuery, noQuery, patchBody, reasonBody, sessionAnswer } from './schemas.ts';

export const sessionRoutes: readonly AdminRoute[] = [
  adminRoute({
    method: 'GET',
    path: '/admin/sessions',
    role: 'viewer',
    summary: 'List sessions, newest first.',
    body: null,
    query: listQuery,
    answer: { status: 200, description: 'A page of sessions.', schema: listAnswer },
    async handle({ query }, { parts }) {
      const status = query.status ?? null;
      const page = await reach(
        parts.control.list({
          agent: query.agent ?? null,
          status,
          cursor: query.cursor ?? null,
          limit: MAX_SESSIONS_PER_PAGE,
        }),
        'the control object',
      );
      const answers = await Promise.all(page.sessions.map((session) => describeOrNull(parts, session)));
      const sessions = [];
      const unreachable = [];
      for (const { session, answer } of answers) {
        const id = sessionId(session, parts.config.issuer);
        if (answer === null) unreachable.push(id);
        // The index lags behind the objects; what an object says counts.
        else if (answer.known && (status === null || answer.view.status === status))
          sessions.push(sessionJson(id, answer.view));
      }
      return json(200, { sessions, unreachable, next_cursor: page.nextCursor });
    },
  }),
  adminRoute({
    method: 'GET',
    path: '/admin/sessions/{id}',
    role: 'viewer',
    summary: 'What a session may do, has done and has spent.',
    body: null,
    query: noQuery,
    answer: { status: 200, description: 'The session.', schema: sessionAnswer },
    handle: async ({ session }, { parts }) =>
      shown(parts, session, await reach(objectOf(parts, session).describe(), 'the session')),
  }),
  adminRoute({
    method: 'PATCH',
    path: '/admin/sessions/{id}',
    role: 'operator',
    summary: 'Change limits at once, up or down. Revives nothing.',
    body: patchBody,
    query: noQuery,
    answer: { status: 200, description: 'The session, with its new limits.', schema: sessionAnswer },
    async handle({ body, session, act }, { parts }) {
      const change = { patch: patchOf(body.limits), act: act(body.reason) };
      return shown(parts, session, await reach(objectOf(parts, session).changeLimits(change), 'the session'));
    },
  }),
  adminRoute({
    method: 'POST',
    path: '/admin/sessions/{id}/revoke',
    role: 'operator',
    summary: 'Revoke a session, for good and at once.',
    body: reasonBody,
    query: noQuery,
    answer: { status: 200, description: 'The session, revoked.', schema: sessionAnswer },
    async handle({ body, session, act }, { parts }) {
      const answer = await reach(objectOf(parts, session).revoke(act(body.reason)), 'the session');
      if (!answer.known) return SESSION_UNKNOWN;
      const untilMs = answer.view.identity.expiresAtMs + CLOCK_SKEW_EXPIRY_SECONDS * 1_000;
      await reach(
        parts.control.revoke({ ...session, untilMs, act: act(body.reason) }),
        'the session is revoked and refuses; the revocation list',
      );
      return shown(parts, session, answer);
    },
  }),
  adminRoute({
    method: 'POST',
    path: '/admin/sessions/{id}/reset',
    role: 'operator',
    summary: 'Close an open breaker by hand. Revives nothing.',
    body: reasonBody,
    query: noQuery,
    answer: { status: 200, description: 'The session, with its breaker closed.', schema: sessionAnswer },
    handle: async ({ body, session, act }, { parts }) =>
      shown(parts, session, await reach(objectOf(parts, session).reset(act(body.reason)), 'the session')),
  }),
];

function patchOf(limits: z.output<typeof patchBody>['limits']): LimitsPatch {
  return {
    ...(limits.spend_usd === undefined ? {} : { spendMicroUsd: limits.spend_usd }),
    ...(limits.tokens === undefined ? {} : { tokens: limits.tokens }),
    ...(limits.tokens_per_request === undefined ? {} : { tokensPerRequest: limits.tokens_per_request }),
    ...(limits.requests_per_minute === undefined ? {} : { requestsPerMinute: limits.requests_per_minute }),
  };
}

async function describeOrNull(
  parts: AdminParts,
  session: SessionRef,
): Promise<{ session: SessionRef; answer: SessionAnswer | null }> {
  try {
    return { session, answer: await reach(objectOf(parts, session).describe(), 'the session') };
  } catch (error) {
    parts.log({
      event: 'session-unreachable',
      session: sessionName(session.issuer, session.sid),
      error: String(error),
    });
    return { session, answer: null };
  }
}

function shown(parts: AdminParts, session: SessionRef, answer: SessionAnswer): Answered {
  return answer.known ? json(200, sessionJson(sessionId(session, parts.config.issuer), answer.view)) : SESSION_UNKNOWN;
}
