// The calls on kill switches: look, pull (or preview), lift. Whether a lift takes a second person the control object
// decides, in one turn.
import type { Admin } from '../credential/admin-token.ts';
import { refused, type Result } from '../denial.ts';
import type { Problem } from '../http/problem.ts';
import { readTimestamp, timestamp } from '../http/timestamp.ts';
import { formatUsd } from '../money.ts';
import { nearest } from '../policy/spelling.ts';
import { microUsd } from '../money.ts';
import {
  KILL_LEVELS,
  type LiftRefusal,
  type PulledSwitch,
  type SwitchAct,
  type SwitchName,
} from '../rpc/kill-switch.ts';
import { targetProblem } from '../snapshot/kill-switch.ts';
import { adminRoute, type AdminParts, type AdminRoute, type Answered, json, reach } from './route.ts';
import {
  killSwitchesAnswer,
  liftedAnswer,
  liftBody,
  liftQuery,
  noQuery,
  pullBody,
  pulledAnswer,
  pullQuery,
} from './schemas.ts';

const PATH = '/admin/kill-switches/{level}/{target}';
const CONTROL = 'the control object';

export const killSwitchRoutes: readonly AdminRoute[] = [
  adminRoute({
    method: 'GET',
    path: '/admin/kill-switches',
    role: 'viewer',
    summary: 'The kill switches that are pulled.',
    body: null,
    query: noQuery,
    answer: { status: 200, description: 'All of them.', schema: killSwitchesAnswer },
    async handle(_input, { parts }) {
      const pulled = await reach(parts.control.switches(), CONTROL);
      return json(200, { kill_switches: pulled.filter(({ namespace }) => namespace === 'live').map(switchJson) });
    },
  }),
  adminRoute({
    method: 'PUT',
    path: PATH,
    role: 'operator',
    summary:
      'Pull a kill switch, or with dry_run=true see what it would stop. Pulled again, it keeps its first reason and never ends earlier.',
    body: pullBody,
    query: pullQuery,
    answer: {
      status: 200,
      description: 'The switch as it stands; 201 where it was not pulled before.',
      schema: pulledAnswer,
    },
    async handle({ body, query, params }, { parts, admin, background }) {
      const name = switchNameOf(params);
      if (!name.ok) return name.denial;
      const untilMs = endOf(body.expires_at ?? null, parts.now());
      if (!untilMs.ok) return untilMs.denial;
      if (query.dry_run === 'true') return preview(parts, name.value);
      if (body.reason === undefined) return REASON_MISSING;
      const act = actOf(admin, body.reason);
      const answer = await reach(parts.control.pull({ ...name.value, untilMs: untilMs.value, act }), CONTROL);
      if (!answer.pulled) return FULL;
      await parts.headChanged(background);
      return json(answer.created ? 201 : 200, switchJson(answer.pulledSwitch));
    },
  }),
  adminRoute({
    method: 'DELETE',
    path: PATH,
    role: 'operator',
    orRole: 'approver',
    summary:
      'Lift a kill switch. A global one takes an operator, who is answered 202, and in time an approver who is another person.',
    body: liftBody,
    query: liftQuery,
    answer: {
      status: 200,
      description: 'The switch, lifted; 202 where a second person has to confirm it.',
      schema: liftedAnswer,
    },
    async handle({ body, query, params }, { parts, admin, background }) {
      const name = switchNameOf(params);
      if (!name.ok) return name.denial;
      const reason = body.reason ?? query.reason;
      if (reason === undefined) return REASON_MISSING;
      const answer = await reach(parts.control.lift(name.value, actOf(admin, reason)), CONTROL);
      switch (answer.outcome) {
        case 'not-pulled':
          return { code: 'kill-switch-unknown', detail: 'This kill switch is not pulled.' };
        case 'refused':
          return refusal(answer.why, answer.pulledSwitch);
        case 'requested':
          return json(202, { state: 'lift-requested', kill_switch: switchJson(answer.pulledSwitch) });
        case 'lifted':
          await parts.headChanged(background);
          return json(200, { state: 'lifted', kill_switch: switchJson({ ...answer.pulledSwitch, lift: null }) });
      }
    },
  }),
];

const REASON_MISSING: Problem = { code: 'bad-request', detail: 'reason is missing.' };
const FULL: Problem = {
  code: 'kill-switches-full',
  detail: 'There is no room for another kill switch. Lift some, or pull a wider one; "global" always has room.',
};

/** Reads the level and the target of the path. Operators' switches are all in the namespace of live traffic. */
function switchNameOf({ level = '', target = '' }: Readonly<Record<string, string>>): Result<SwitchName> {
  const known = KILL_LEVELS.find((one) => one === level);
  if (known === undefined) {
    const meant = nearest(level, KILL_LEVELS);
    const hint = meant === null ? KILL_LEVELS.join(', ') : `did you mean "${meant}"?`;
    return refused('bad-request', `"${level.slice(0, 64)}" is no level of kill switches: ${hint}.`);
  }
  const problem = targetProblem(known, target);
  if (problem !== null) return refused('bad-request', `The target "${target.slice(0, 64)}" ${problem}.`);
  return { ok: true, value: { level: known, target, namespace: 'live' } };
}

function endOf(expiresAt: string | null, nowMs: number): Result<number | null> {
  if (expiresAt === null) return { ok: true, value: null };
  const atMs = readTimestamp(expiresAt);
  if (atMs === null) return refused('bad-request', 'expires_at is not a time such as 2030-01-31T12:00:00Z.');
  return atMs > nowMs ? { ok: true, value: atMs } : refused('bad-request', 'expires_at is in the past.');
}

function actOf({ id, person, subject, roles }: Admin, reason: string): SwitchAct {
  return { by: id, owner: person, ...(subject === undefined ? {} : { subject }), roles, reason };
}

async function preview(parts: AdminParts, name: SwitchName): Promise<Answered> {
  const feature = name.level === 'feature' ? (name.target.split('@')[0] ?? '') : null;
  const routes = [...parts.policy().routes.values()]
    .filter((route) => feature !== null && route.feature === feature)
    .map(({ name: route, scope }) => ({ name: route, scope }));
  const seen = await reach(parts.control.preview({ ...name, routes }), CONTROL);
  return json(200, {
    dry_run: true,
    level: name.level,
    target: name.target,
    live_sessions: seen.liveSessions,
    spend_last_minute_usd: formatUsd(microUsd(seen.spentLastMinuteMicroUsd)),
    sessions_asked: seen.sessionsAsked,
    ...(feature === null ? {} : { routes: routes.map((route) => route.name) }),
  });
}

function refusal(why: LiftRefusal, pulled: PulledSwitch): Problem {
  const evidence =
    pulled.lift === null ? {} : { requested_by: pulled.lift.by, confirm_by: timestamp(pulled.lift.confirmByMs) };
  switch (why) {
    case 'not-operator':
      return {
        code: 'approval-required',
        detail: 'An operator has to ask for this lift first; an approver confirms it.',
      };
    case 'same-person':
      return {
        code: 'approval-required',
        detail: 'This lift waits for a second person: whoever asked for it cannot confirm it, under no token.',
        evidence,
      };
    case 'not-approver':
      return {
        code: 'approval-required',
        detail: 'This lift waits to be confirmed by someone with the role "approver".',
        evidence: { ...evidence, required_role: 'approver' },
      };
  }
}

function switchJson({
  level,
  target,
  reason,
  by,
  atMs,
  untilMs,
  lift,
}: PulledSwitch): Readonly<Record<string, unknown>> {
  return {
    level,
    target,
    reason,
    pulled_by: by,
    pulled_at: timestamp(atMs),
    expires_at: untilMs === null ? null : timestamp(untilMs),
    lift:
      lift === null
        ? null
        : {
            requested_by: lift.by,
            reason: lift.reason,
            requested_at: timestamp(lift.atMs),
            confirm_by: timestamp(lift.confirmByMs),
          },
  };
}
