// The control plane: every call authenticated, then its role checked, then its input, then handled. Mounts the one table
// and answers for whatever is not in it.
import { type Context, Hono } from 'hono';
import type { Admin } from '../credential/admin-token.ts';
import { type Problem, problemResponse } from '../http/problem.ts';
import { agentRoutes } from './agents.ts';
import { auditRoutes } from './audit.ts';
import { createAdminGate, roleProblem } from './auth.ts';
import { alertBreakGlass } from './break-glass.ts';
import { drillRoutes } from './drills.ts';
import { issuingRoutes } from './issuing.ts';
import { killSwitchRoutes } from './kill-switches.ts';
import { ledgerRoutes } from './ledger.ts';
import { openApiDocument } from './openapi.ts';
import { policyRoutes } from './policy.ts';
import { type AdminCall, type AdminParts, adminRoute, type AdminRoute, json, Unreachable } from './route.ts';
import { noQuery, openApiAnswer } from './schemas.ts';
import { revocationRoutes } from './revocations.ts';
import { sessionRoutes } from './sessions.ts';

let openApi: Readonly<Record<string, unknown>> | undefined;

/** Every route of the control plane: what is not here does not exist. */
export const ADMIN_ROUTES: readonly AdminRoute[] = [
  ...issuingRoutes,
  ...sessionRoutes,
  ...ledgerRoutes,
  ...auditRoutes,
  ...agentRoutes,
  ...killSwitchRoutes,
  ...drillRoutes,
  ...policyRoutes,
  ...revocationRoutes,
  adminRoute({
    method: 'GET',
    path: '/admin/openapi.json',
    role: 'viewer',
    summary: 'This document.',
    body: null,
    query: noQuery,
    answer: { status: 200, description: 'OpenAPI 3.1.', schema: openApiAnswer },
    handle: async () => json(200, (openApi ??= openApiDocument(ADMIN_ROUTES))),
  }),
];

const PREFIX = '/admin';
/** A place in a path: "{id}". */
const PLACE = /\{(\w+)\}/g;

interface AdminEnv {
  Variables: { admin: Admin; requestId: string };
}

/**
 * The control plane as one Hono app, to be mounted at `/admin`: it answers for everything below, unknown addresses
 * included. Order of refusals: browser origin (403), credential (401),
 * address and method (404, 405), role (403), input (400, 413, 415). Objects that cannot be asked are 503, with nothing
 * said about why outside the log.
 */
export function adminRoutes(parts: AdminParts): Hono<AdminEnv> {
  const app = new Hono<AdminEnv>();
  const { config, accessKeyOf } = parts;
  const gate = createAdminGate({ admins: config.admins, access: config.policy.admin.access, accessKeyOf });
  const origins = new Set([...config.adminOrigins, ...config.publicOrigins]);

  app.use('*', async (context, next) => {
    const requestId = parts.newId();
    context.set('requestId', requestId);
    const origin = context.req.header('origin');
    if (origin !== undefined && !origins.has(origin)) {
      return refuse(context, {
        code: 'policy-denied',
        detail: 'This browser origin may not use the control plane.',
      });
    }
    if (origin !== undefined && context.req.method === 'OPTIONS') return preflight(origin);
    const background = (work: Promise<unknown>): void => context.executionCtx.waitUntil(work);
    const check = await gate.identify(context.req.raw, background, parts.now());
    if (!check.ok) {
      const { problem, logDetail: detail, id } = check;
      return withOrigin(refuse(context, problem, { detail, ...(id === null ? {} : { id }) }), origin);
    }
    context.set('admin', check.admin);
    if (check.admin.breakGlass) {
      const alerted = alertBreakGlass(parts, { admin: check.admin, request: context.req.raw, requestId });
      background(alerted);
      await alerted;
    }
    await next();
    context.res = withOrigin(context.res, origin);
    context.res.headers.set('x-request-id', requestId);
    return undefined;
  });

  for (const route of ADMIN_ROUTES) {
    app.on(route.method, route.path.replace(PREFIX, '').replaceAll(PLACE, ':$1'), async (context) => {
      const admin = context.get('admin');
      const denied = roleProblem(admin, route);
      if (denied !== null) return refuse(context, denied);
      const background = (work: Promise<unknown>): void => context.executionCtx.waitUntil(work);
      const call: AdminCall = { parts, admin, request: context.req.raw, background, params: context.req.param() };
      const answered = await route.handle(call);
      return answered instanceof Response ? answered : refuse(context, answered);
    });
  }

  app.all('*', (context) => {
    const methods = methodsAt(context.req.path);
    if (methods.length === 0)
      return refuse(context, { code: 'resource-unknown', detail: 'There is nothing at this address.' });
    const allow = methods.join(', ');
    const problem: Problem = { code: 'method-not-allowed', detail: `This address answers to ${allow}.` };
    const response = refuse(context, problem);
    response.headers.set('allow', allow);
    return response;
  });

  app.onError((error, context) => {
    parts.log({
      event: 'admin.failed',
      request: context.get('requestId'),
      error: String(error),
      cause: error.cause instanceof Error ? error.cause.message : '',
    });
    return error instanceof Unreachable
      ? refuse(context, { code: 'enforcement-unavailable', detail: `${capitalised(error.message)}. Try again.` })
      : refuse(context, { code: 'internal-error', detail: '' });
  });
  return app;

  /** The answer for a refusal, and its line in the log. `known`: what the answer does not say, and whom it was said to. */
  function refuse(
    context: Context<AdminEnv>,
    problem: Problem,
    known: { readonly detail?: string; readonly id?: string } = {},
  ): Response {
    const requestId = context.get('requestId');
    // Absent where the refusal came before anybody was known.
    const admin = context.get('admin') as Admin | undefined;
    parts.log({
      event: 'admin.refused',
      request: requestId,
      code: problem.code,
      detail: problem.detail,
      ...(admin === undefined ? {} : { id: admin.id }),
      ...known,
      address: context.req.header('cf-connecting-ip') ?? 'unknown',
      method: context.req.method,
      path: context.req.path,
    });
    return problemResponse(problem, { requestId, shape: 'problem' });
  }
}

function methodsAt(path: string): readonly string[] {
  const segments = path.split('/');
  return ADMIN_ROUTES.filter((route) => {
    const pattern = route.path.split('/');
    return (
      pattern.length === segments.length &&
      pattern.every((part, index) => part.startsWith('{') || part === segments[index])
    );
  }).map((route) => route.method);
}

function preflight(origin: string): Response {
  const headers = {
    'access-control-allow-methods': [...new Set(ADMIN_ROUTES.map((route) => route.method))].join(', '),
    'access-control-allow-headers': 'authorization, content-type',
    'access-control-max-age': '600',
  };
  return withOrigin(new Response(null, { status: 204, headers }), origin);
}

/** Only for an origin that is listed: the others were refused before. */
function withOrigin(response: Response, origin: string | undefined): Response {
  if (origin === undefined) return response;
  response.headers.set('access-control-allow-origin', origin);
  response.headers.append('vary', 'origin');
  return response;
}

function capitalised(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}
