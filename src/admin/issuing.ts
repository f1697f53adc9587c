// The calls that issue credentials. The session's object is written first, then the deployment's index, and only then is a
// credential signed: one that is out always has a ledger.
import type * as z from 'zod';
import type { SessionRef } from '../rpc/session-name.ts';
import { issueSessionToken } from '../credential/session-issuer.ts';
import type { Problem } from '../http/problem.ts';
import { sessionJson } from '../http/session-json.ts';
import { timestamp } from '../http/timestamp.ts';
import type { SessionPolicy } from '../policy/policy.ts';
import type { Act, AdmissionRules, SessionIdentity, SessionLimits, SessionView } from '../rpc/session-rpc.ts';
import { adminRoute, type AdminParts, type AdminRoute, json, objectOf, reach, SESSION_UNKNOWN } from './route.ts';
import { credentialBody, issueBody, issuedAnswer, noQuery } from './schemas.ts';

/** Scopes and segments together: a token with more would not fit into a header everywhere. */
const MAX_NAMES_CHARS = 4_096;
const ENDED: Problem = { code: 'session-ended', detail: 'The session is revoked or expired, and this is final.' };

export const issuingRoutes: readonly AdminRoute[] = [
  adminRoute({
    method: 'POST',
    path: '/admin/sessions',
    role: 'issuer',
    summary: 'Issue a session and its first credential.',
    body: issueBody,
    query: noQuery,
    answer: { status: 201, description: 'The session and its credential, which is shown once.', schema: issuedAnswer },
    async handle({ body, act }, { parts }) {
      const { issuer } = parts.config;
      const policy = parts.policy();
      const ttlSeconds = body.ttl_seconds ?? policy.sessions.ttlSeconds;
      const problem = issueProblem({ ttlSeconds, body }, policy.sessions);
      if (problem !== null) return problem;
      const nowMs = parts.now();
      const session: SessionIdentity = {
        issuer,
        sid: parts.newId(),
        agent: body.agent,
        customer: body.customer ?? null,
        segments: segmentsOf(body.segment),
        scopes: [...new Set(body.scopes)],
        limits: limitsOf(body.limits, policy.sessions.limits),
        expiresAtMs: endOf(nowMs, ttlSeconds),
      };
      const view = await createSession(parts, session, act(body.reason ?? 'issued'));
      if (view === null)
        return { code: 'enforcement-unavailable', detail: 'The session could not be created; nothing was issued.' };
      return signed(parts, { view, nowMs, expiresAtMs: session.expiresAtMs });
    },
  }),
  adminRoute({
    method: 'POST',
    path: '/admin/sessions/{id}/credentials',
    role: 'issuer',
    summary:
      'Issue another credential for the same session and ledger; moves the end of the session if it lasts longer.',
    body: credentialBody,
    query: noQuery,
    answer: {
      status: 201,
      description: 'The session and its new credential, which is shown once.',
      schema: issuedAnswer,
    },
    async handle({ body, session, act }, { parts }) {
      const { issuer } = parts.config;
      const policy = parts.policy();
      if (session.issuer !== issuer)
        return { code: 'policy-denied', detail: 'Credentials of that session are issued elsewhere.' };
      const ttlSeconds = body.ttl_seconds ?? policy.sessions.ttlSeconds;
      if (ttlSeconds > policy.sessions.ttlSecondsMax) return ttlProblem(policy.sessions);
      const known = await reach(objectOf(parts, session).describe(), 'the session');
      if (!known.known) return SESSION_UNKNOWN;
      if (hasEnded(known.view)) return ENDED;
      const nowMs = parts.now();
      const expiresAtMs = endOf(nowMs, ttlSeconds);
      const view = await renewed(parts, session, expiresAtMs, act(body.reason ?? 'rotated'));
      if (view === null || hasEnded(view)) return ENDED;
      return signed(parts, { view, nowMs, expiresAtMs });
    },
  }),
];

/** Makes a session: its object first, then the index; null where one of that id was there before. */
export async function createSession(
  parts: AdminParts,
  session: SessionIdentity,
  act: Act,
): Promise<SessionView | null> {
  const rules = admissionRules(parts.policy().sessions);
  const created = await reach(objectOf(parts, session).create({ session, rules, act }), 'the session');
  if (!created.created) return null;
  await record(parts, created.view);
  return created.view;
}

/** What the policy says about admissions, as a session's object takes it. */
function admissionRules(policy: SessionPolicy): AdmissionRules {
  return {
    warnAt: policy.warnAt,
    onLimit: policy.onLimit,
    leastUsefulMicroUsd: policy.leastUsefulMicroUsd,
    retentionDays: policy.retentionDays,
  };
}

interface IssueChecked {
  readonly ttlSeconds: number;
  readonly body: {
    readonly customer?: string | null | undefined;
    readonly segment?: string | string[] | null | undefined;
    readonly scopes: readonly string[];
  };
}

/** The rules on a new session that span keys. */
function issueProblem({ ttlSeconds, body }: IssueChecked, policy: SessionPolicy): Problem | null {
  if (ttlSeconds > policy.ttlSecondsMax) return ttlProblem(policy);
  const segments = segmentsOf(body.segment);
  const missing = policy.requiredClaims.find((claim) =>
    claim === 'customer' ? (body.customer ?? null) === null : segments.length === 0,
  );
  if (missing !== undefined)
    return { code: 'bad-request', detail: `${missing} is missing: the policy requires it of every credential.` };
  if ([...body.scopes, ...segments].join(' ').length > MAX_NAMES_CHARS) {
    return { code: 'bad-request', detail: `scopes and segment together have more than ${MAX_NAMES_CHARS} characters.` };
  }
  return null;
}

function ttlProblem(policy: SessionPolicy): Problem {
  return {
    code: 'bad-request',
    detail: `ttl_seconds is more than the policy's longest session, ${policy.ttlSecondsMax} s.`,
  };
}

function segmentsOf(segment: string | readonly string[] | null | undefined): readonly string[] {
  if (segment === undefined || segment === null) return [];
  return typeof segment === 'string' ? [segment] : [...new Set(segment)];
}

function limitsOf(asked: z.output<typeof issueBody>['limits'], defaults: SessionLimits): SessionLimits {
  return {
    spendMicroUsd: asked?.spend_usd ?? defaults.spendMicroUsd,
    tokens: asked?.tokens ?? defaults.tokens,
    tokensPerRequest: asked?.tokens_per_request ?? defaults.tokensPerRequest,
    requestsPerMinute: asked?.requests_per_minute ?? defaults.requestsPerMinute,
  };
}

/** Whole seconds, as the token says them. */
function endOf(nowMs: number, ttlSeconds: number): number {
  return (Math.floor(nowMs / 1_000) + ttlSeconds) * 1_000;
}

function hasEnded(view: SessionView): boolean {
  return view.status === 'revoked' || view.status === 'expired';
}

/** The session, with its end moved where the credential ends later, recorded in the index; null where the object refused. */
async function renewed(
  parts: AdminParts,
  session: SessionRef,
  expiresAtMs: number,
  act: Act,
): Promise<SessionView | null> {
  const answer = await reach(objectOf(parts, session).renew({ expiresAtMs, act }), 'the session');
  if (!answer.known || hasEnded(answer.view)) return null;
  await record(parts, answer.view);
  return answer.view;
}

async function record(parts: AdminParts, view: SessionView): Promise<void> {
  const { issuer, sid, agent, customer, segments, scopes, expiresAtMs } = view.identity;
  await reach(
    parts.control.record({
      issuer,
      sid,
      agent,
      customer,
      segments,
      scopes,
      createdAtMs: view.createdAtMs,
      expiresAtMs,
      status: view.status,
    }),
    'the control object',
  );
}

/**
 * A credential for a session that its object knows. It carries the limits in force. The agent's object hears of the
 * session first, so that its revocation finds it; and what is signed after a revocation is dated after it.
 */
async function signed(
  parts: AdminParts,
  request: { readonly view: SessionView; readonly nowMs: number; readonly expiresAtMs: number },
): Promise<Response> {
  const { config } = parts;
  const { view, nowMs, expiresAtMs } = request;
  const { issuer, sid, agent } = view.identity;
  const untilMs = Math.max(expiresAtMs, view.identity.expiresAtMs);
  const { revokedBeforeMs } = await reach(parts.agent(agent).track({ issuer, sid, untilMs }), "the agent's object");
  const session = { ...view.identity, limits: view.limits };
  const token = await issueSessionToken(config.keys, {
    session,
    audience: config.audience,
    jti: parts.newId(),
    issuedAtMs: Math.max(nowMs, revokedBeforeMs === null ? 0 : (Math.floor(revokedBeforeMs / 1_000) + 1) * 1_000),
    expiresAtMs,
  });
  return json(201, { session: sessionJson(view.identity.sid, view), token, expires_at: timestamp(expiresAtMs) });
}
