// The composition root: makes the parts of one isolate and mounts them. Nothing else makes a part.
import { type ExecutionContext, Hono } from 'hono';
import { v7 as uuidv7 } from 'uuid';
import type { AccessKeyOf } from './admin/auth.ts';
import { deployedFile } from './admin/policy.ts';
import { drillWhenDue } from './admin/drills.ts';
import type { AdminParts } from './admin/route.ts';
import { adminRoutes } from './admin/routes.ts';
import type { Config } from './config.ts';
import { AccessKeysClient } from './credential/access-keys-client.ts';
import { publicJwks } from './credential/jwks.ts';
import { DenialReports } from './gateway/denial-reports.ts';
import { drillGateway } from './gateway/drill-gateway.ts';
import { serveOwnSession } from './gateway/own-session.ts';
import { type GatewayParts, type Lifetime, serveRoute } from './gateway/pipeline.ts';
import { RulesInForce } from './gateway/rules-in-force.ts';
import { callUpstream } from './gateway/upstream-client.ts';
import { problemResponse } from './http/problem.ts';
import { problemPage } from './http/problem-page.ts';
import { timestamp } from './http/timestamp.ts';
import { RESERVED_ROUTE_NAMES } from './policy/parse.ts';
import { type AgentNamespace, agentClient } from './rpc/agent-client.ts';
import { type ControlNamespace, controlClient } from './rpc/control-client.ts';
import type { ControlRpc } from './rpc/control-rpc.ts';
import { within } from './rpc/deadline.ts';
import { regionOf, relayName, type Whereabouts } from './rpc/region.ts';
import { relayClient, type RelayNamespace } from './rpc/relay-client.ts';
import { type SessionNamespace, sessionClient } from './rpc/session-client.ts';
import type { DrillRecord } from './snapshot/head.ts';
import { type KvNamespace, snapshotKv } from './snapshot/kv-client.ts';
import { EdgeSnapshot } from './snapshot/snapshot-client.ts';

/** The bindings of wrangler.toml, as far as the Worker uses them; variables and secrets are config.ts's. */
export interface Bindings {
  readonly SESSION: SessionNamespace;
  readonly CONTROL: ControlNamespace;
  readonly AGENT: AgentNamespace;
  readonly RELAY: RelayNamespace;
  readonly SNAPSHOT: KvNamespace;
}

/** What is different in each isolate. */
export interface Isolate {
  /** Milliseconds since 1970. */
  readonly now: () => number;
  /** 0 <= n < 1. */
  readonly random: () => number;
  /** Of its first request: an isolate stays where it is. */
  readonly whereabouts: Whereabouts;
}

export interface App {
  fetch(request: Request, lifetime: Lifetime): Promise<Response>;
  /** What an isolate does once, beside its first request. Never rejects. */
  started(): Promise<void>;
  /** What has to be done once a day. Never rejects. */
  daily(lifetime: Lifetime): Promise<void>;
}

export function createApp(
  config: Config,
  env: Bindings & Readonly<Record<string, unknown>>,
  { now, random, whereabouts }: Isolate,
): App {
  const control = (): ReturnType<typeof controlClient> => controlClient(env.CONTROL);
  const session = (name: string): ReturnType<typeof sessionClient> => sessionClient(env.SESSION, name);
  const relay = relayName(regionOf(whereabouts), random());
  const { policy, policyGround: ground, verifierFor } = config;
  const rules = new RulesInForce({ policy, ground, env, verifierFor });
  const snapshot = new EdgeSnapshot({
    relay: () => relayClient(env.RELAY, relay),
    control,
    kv: snapshotKv(env.SNAPSHOT),
    keys: config.keys,
    deployment: config.deploymentId,
    rules: () => rules.current().policy.revocation,
    policy: rules,
    now,
    random,
    within,
    log,
  });
  const gateway: GatewayParts = {
    issuer: config.issuer,
    rules: () => rules.current(),
    snapshot,
    session,
    denials: new DenialReports({ session, now, sleep, log }),
    upstream: callUpstream,
    namespace: 'live',
    halted: config.halted,
    now,
  };

  const admin: AdminParts = {
    config,
    sessions: session,
    control: control(),
    accessKeyOf: accessKeySource(config, now),
    agent: (id) => agentClient(env.AGENT, id),
    policy: () => rules.current().policy,
    headChanged: (background) => snapshot.catchUp(background),
    drillGateway: (lifetime) => drillGateway(gateway, { tokens: verifierFor, lifetime }),
    now,
    newId: () => uuidv7(),
    log,
  };

  const web = new Hono();
  web.route('/admin', adminRoutes(admin));
  web.all('/session', (c) => serveOwnSession(c.req.raw, gateway));
  web.all('/session/*', (c) => serveOwnSession(c.req.raw, gateway));
  web.get('/.well-known/jwks.json', (c) =>
    c.json(publicJwks(config.keys), 200, { 'cache-control': 'public, max-age=300' }),
  );
  web.get('/problems/:code{[a-z-]*}', (c) => problemPage(c.req.param('code')) ?? notFound());
  web.get('/problems', () => problemPage('') ?? notFound());
  web.get('/healthz', async (c) => {
    if (snapshot.refreshIsDue()) await snapshot.refresh((work) => c.executionCtx.waitUntil(work));
    const { policy, routes } = rules.current();
    const disabled = [...routes.values()].flatMap(({ policy, auth }) =>
      auth.ready ? [] : [{ route: policy.name, missing: auth.missing }],
    );
    const health = snapshot.health();
    const { ageMs } = health;
    const isServing = snapshot.freshness() !== 'stale' && !config.halted;
    return c.json(
      {
        status: isServing ? 'ok' : config.halted ? 'halted' : 'unavailable',
        snapshot_epoch: health.epoch,
        snapshot_age_seconds: ageMs === null ? null : Math.floor(ageMs / 1_000),
        snapshot_confirmed_by: health.confirmedBy,
        policy: policy.digest,
        policy_refused: health.refusedPolicy,
        policy_drift: driftOf(rules.inForce(), ground.deployed.digest),
        revocations: { held: health.revocations, complete: health.isListComplete },
        drill: drillHealth(health.drill, now()),
        routes: { ready: routes.size - disabled.length, disabled },
      },
      isServing ? 200 : 503,
      { 'cache-control': 'no-store' },
    );
  });
  web.notFound(() => notFound());
  web.onError((error) => failed(error));

  return {
    // Not async: on the way of every request, one promise is enough.
    fetch(request, lifetime) {
      if (isReserved(request.url)) return Promise.resolve(web.fetch(request, env, executionContext(lifetime)));
      return serveRoute(request, gateway, lifetime).catch(failed);
    },
    started: async () => {
      if (!(await isKnown(ground.deployed.digest, snapshot))) await reportPolicy(config, control());
    },
    daily: (lifetime) => drillWhenDue(admin, (work) => lifetime.waitUntil(work)),
  };
}

/** How the last drill went, and whether the next one should have been run; null before the first. */
function drillHealth(drill: DrillRecord, nowMs: number): Readonly<Record<string, unknown>> | null {
  if (drill === null) return null;
  const { finishedMs, passed, dueMs } = drill;
  return {
    at: timestamp(finishedMs),
    passed,
    due_at: dueMs === null ? null : timestamp(dueMs),
    overdue: dueMs !== null && nowMs >= dueMs,
  };
}

/** Where a run-time version of the policy stands in the way of the deployed file: both, by their digests. */
function driftOf(runTime: string | null, deployed: string): { run_time: string; deployed: string } | null {
  return runTime === null || runTime === deployed ? null : { run_time: runTime, deployed };
}

/** Whether the head names that file, once there is one: right after a deploy all isolates start within a minute or two. */
async function isKnown(digest: string, snapshot: EdgeSnapshot): Promise<boolean> {
  for (let waitedMs = 0; snapshot.epoch === null && waitedMs < FIRST_HEAD_WAIT_MS; waitedMs += FIRST_HEAD_POLL_MS)
    await sleep(FIRST_HEAD_POLL_MS);
  return snapshot.health().deployedPolicy === digest;
}

/** Tells the control object which policy this Worker was deployed with. Never rejects: the next isolate tells it too. */
async function reportPolicy(config: Config, control: ControlRpc): Promise<void> {
  try {
    const { wanted } = await control.policyDeployed(deployedFile(config));
    if (wanted) await control.keepDeployedPolicy(config.policyText);
  } catch (error) {
    log({ event: 'policy.not-reported', error: String(error) });
  }
}

/** The keys of Cloudflare Access, where the deployed policy has it in front of the control plane. */
function accessKeySource({ policy }: Config, now: () => number): AccessKeyOf {
  const { access } = policy.admin;
  if (access === null) return async () => ({ state: 'unknown' });
  const keys = new AccessKeysClient({ url: access.certsUrl, now, log });
  return (kid, background) => keys.keyOf(kid, background);
}

/** As Hono wants it; nothing of it but `waitUntil` is used. */
function executionContext(lifetime: Lifetime): ExecutionContext {
  return { waitUntil: (work) => lifetime.waitUntil(work), passThroughOnException: () => {}, props: {} };
}

/** The first request of an isolate asks for the head. */
const FIRST_HEAD_WAIT_MS = 5_000;
const FIRST_HEAD_POLL_MS = 100;

const RESERVED: ReadonlySet<string> = new Set(RESERVED_ROUTE_NAMES);

/** Whether the first path segment is one of Fusebox's own, or there is none, by the raw URL. `//x` has an empty one, which nobody may fold away. */
function isReserved(url: string): boolean {
  const start = url.indexOf('/', url.indexOf('://') + 3) + 1;
  if (start === 0) return true;
  let end = start;
  while (end < url.length && url[end] !== '/' && url[end] !== '?') end += 1;
  return end === start ? url[end] !== '/' : RESERVED.has(url.slice(start, end));
}

function notFound(): Response {
  return problemResponse(
    { code: 'route-unknown', detail: 'There is nothing at this address.' },
    { requestId: uuidv7(), shape: 'problem' },
  );
}

function sleep(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

/** Structured, one line each: what a log pipeline can read. */
function log(entry: Readonly<Record<string, unknown>>): void {
  console.warn(JSON.stringify(entry));
}

/** A bug, or a part that is out of reach. What it was goes to the log, under the id that the answer names. */
function failed(error: unknown): Response {
  const requestId = uuidv7();
  console.error(
    JSON.stringify({
      event: 'failed',
      request: requestId,
      error: error instanceof Error ? error.stack : String(error),
    }),
  );
  return problemResponse(
    { code: 'internal-error', detail: 'Something went wrong in the gateway itself.' },
    { requestId, shape: 'problem' },
  );
}
