// The calls on drills: run one, look at the evidence, sign it. A drill runs in the request that asks for it.
import { drillPage } from '../drill/drill-page.ts';
import { DRILL_SCOPE, type DrillSubject } from '../drill/drill-plan.ts';
import { runDrill, type DrillOrder, type IssuedSubject } from '../drill/drill-runner.ts';
import { issueSessionToken } from '../credential/session-issuer.ts';
import { ADMIN_ROLES } from '../policy/admin-roles.ts';
import { htmlResponse } from '../http/html.ts';
import type { Problem } from '../http/problem.ts';
import { MAX_DRILL_MS } from '../limits.ts';
import { microUsd } from '../money.ts';
import type { DrillCheck, DrillReport } from '../rpc/drill-rpc.ts';
import { roleProblem } from './auth.ts';
import { createSession } from './issuing.ts';
import { killSwitchRoutes } from './kill-switches.ts';
import { adminRoute, type AdminParts, type AdminRoute, json, objectOf, reach } from './route.ts';
import { drillAnswer, drillsAnswer, noQuery, reasonBody, signOffBody } from './schemas.ts';

const CONTROL = 'the control object';
const UNKNOWN: Problem = { code: 'resource-unknown', detail: 'There is no drill of this id.' };
/** The daily trigger does not come at the same second. */
const CLOCK_SLACK_MS = 60 * 60 * 1_000;
const HALTED: Problem = { code: 'kill-switch-active', detail: 'HALT is set: nothing works that a drill could stop.' };
const DAY_MS = 24 * 60 * 60 * 1_000;
/** A drill's sessions outlive it a little, and no more. */
const SUBJECT_LIFE_MS = MAX_DRILL_MS;
const SUBJECT_LIMIT_MICRO_USD = microUsd(1_000_000);

export const drillRoutes: readonly AdminRoute[] = [
  adminRoute({
    method: 'GET',
    path: '/admin/drills',
    role: 'viewer',
    summary: 'The evidence of the last drills, newest first.',
    body: null,
    query: noQuery,
    answer: { status: 200, description: 'Drills that have ended.', schema: drillsAnswer },
    handle: async (_input, { parts }) => json(200, { drills: await reach(parts.control.drills(), CONTROL) }),
  }),
  adminRoute({
    method: 'POST',
    path: '/admin/drills',
    role: 'operator',
    summary:
      'Drill every kill switch, the revocation of a session and the halt. Takes about half a minute and touches no traffic.',
    body: reasonBody,
    query: noQuery,
    answer: { status: 201, description: 'The evidence.', schema: drillAnswer },
    async handle({ body }, { parts, admin, background }) {
      if (parts.config.halted) return HALTED;
      const id = parts.newId();
      const order: DrillOrder = { id, trigger: 'operator', by: admin.id, reason: body.reason };
      const report = await drill(parts, { order, owner: admin.person, background });
      return 'running' in report ? runningProblem(report.running) : json(201, report);
    },
  }),
  adminRoute({
    method: 'GET',
    path: '/admin/drills/{id}',
    role: 'viewer',
    summary: 'The evidence of one drill; as a page with Accept: text/html.',
    body: null,
    query: noQuery,
    answer: { status: 200, description: 'The evidence.', schema: drillAnswer },
    async handle({ params }, { parts, request }) {
      const report = await reach(parts.control.drill(params['id'] ?? ''), CONTROL);
      if (report === null) return UNKNOWN;
      return request.headers.get('accept')?.includes('text/html') === true
        ? htmlResponse(drillPage(report), 'no-store')
        : json(200, report);
    },
  }),
  adminRoute({
    method: 'POST',
    path: '/admin/drills/{id}/sign-off',
    role: 'operator',
    orRole: 'approver',
    summary: 'Sign the evidence of a drill, once, with what is done about the issues found.',
    body: signOffBody,
    query: noQuery,
    answer: { status: 200, description: 'The evidence, signed; the first signature stands.', schema: drillAnswer },
    async handle({ body, params }, { parts, admin }) {
      const signOff = {
        by: admin.id,
        owner: admin.person,
        note: body.reason,
        remedial_action: body.remedial_action ?? null,
      };
      const report = await reach(parts.control.signOffDrill({ id: params['id'] ?? '', signOff }), CONTROL);
      return report === null ? UNKNOWN : json(200, report);
    },
  }),
];

interface DrillCall {
  readonly order: DrillOrder;
  /** The person behind it. */
  readonly owner: string;
  /** Keeps the call alive for what goes on after an answer. */
  readonly background: (work: Promise<unknown>) => void;
}

/** Runs a drill and keeps its evidence; says which one is running where it may not begin. */
async function drill(
  parts: AdminParts,
  { order, owner, background }: DrillCall,
): Promise<DrillReport | { readonly running: string }> {
  const { control, now } = parts;
  const { id, trigger, by, reason } = order;
  const begun = await reach(control.beginDrill({ id, trigger, act: { by, owner, reason } }), CONTROL);
  if (!begun.begun) return { running: begun.running };
  const report = await runDrill(order, {
    ...parts.drillGateway({ waitUntil: background }),
    issue: (subject) => issue(parts, subject),
    revoke: async (session, why) => {
      await reach(objectOf(parts, session).revoke({ by: `drill:${by}`, reason: why }), 'the session');
    },
    control,
    authorisation,
    now,
    sleep: (delayMs) => new Promise((resolve) => setTimeout(resolve, delayMs)),
  });
  const { everyDays } = parts.policy().drills;
  const dueMs = everyDays === 0 ? null : now() + everyDays * DAY_MS;
  await reach(control.finishDrill({ report, dueMs }), CONTROL);
  await parts.headChanged(background);
  return report;
}

/**
 * Runs the drill that is due, if one is; called once a day. The first one is an operator's, before production. Says in the
 * log where it could not be run.
 */
export async function drillWhenDue(parts: AdminParts, background: DrillCall['background']): Promise<void> {
  const { everyDays } = parts.policy().drills;
  if (everyDays === 0 || parts.config.halted) return;
  try {
    const [last] = await parts.control.drills();
    if (last === undefined) return;
    if (parts.now() < Date.parse(last.finished_at) + everyDays * DAY_MS - CLOCK_SLACK_MS) return;
    const order: DrillOrder = {
      id: parts.newId(),
      trigger: 'schedule',
      by: 'schedule',
      reason: `due every ${everyDays} days`,
    };
    await drill(parts, { order, owner: 'schedule', background });
  } catch (error) {
    parts.log({ event: 'drill.not-run', alert: true, error: String(error) });
  }
}

/** A synthetic session: made like every other, with a scope that opens nothing but the drills' own routes. */
async function issue(parts: AdminParts, subject: DrillSubject): Promise<IssuedSubject> {
  const { config, now, newId } = parts;
  const nowMs = now();
  const expiresAtMs = nowMs + SUBJECT_LIFE_MS;
  const { issuer } = config;
  const identity = {
    issuer,
    sid: newId(),
    agent: subject.agent,
    customer: subject.customer,
    segments: [subject.segment],
    scopes: [DRILL_SCOPE],
    limits: { spendMicroUsd: SUBJECT_LIMIT_MICRO_USD, tokens: null, tokensPerRequest: null, requestsPerMinute: null },
    expiresAtMs,
  };
  await createSession(parts, identity, { by: 'drill', reason: 'drill' });
  const token = await issueSessionToken(config.keys, {
    session: identity,
    audience: config.audience,
    jti: newId(),
    issuedAtMs: nowMs,
    expiresAtMs,
  });
  return { token, session: { issuer, sid: identity.sid } };
}

/** Every role that may not pull or lift is refused by the table that serves these calls. */
function authorisation(): readonly DrillCheck[] {
  return killSwitchRoutes
    .filter(({ method }) => method !== 'GET')
    .map((route) => {
      const allowed = ADMIN_ROLES.filter((role) => roleProblem({ roles: [role] }, route) === null);
      const expected = route.method === 'PUT' ? 'operator' : 'operator, approver';
      return {
        what: `${route.method} ${route.path} takes ${expected} and nobody else`,
        passed: allowed.join(', ') === expected,
        detail: `let in: ${allowed.join(', ')}`,
      };
    });
}

function runningProblem(running: string): Problem {
  return { code: 'drill-running', detail: `The drill ${running} has not ended yet.`, retryAfterSeconds: 30 };
}
