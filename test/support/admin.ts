// The control plane over ports in memory: sessions that know their state and nothing of money, for tests of what is said
// over HTTP. The real objects are tried by the black-box tests.
import { Hono } from 'hono';
import { adminRoutes } from '../../src/admin/routes.ts';
import { type AuditEntry, sessionLog } from '../../src/audit/chain.ts';
import { type Config, parseConfig } from '../../src/config.ts';
import type { AccessKeyAnswer } from '../../src/credential/access-assertion.ts';
import { microUsd } from '../../src/money.ts';
import { lift, pull } from '../../src/control/kill-switches.ts';
import { stateOf } from '../../src/control/policy-history.ts';
import { digestOf } from '../../src/policy/digest.ts';
import type { PolicyRpc, PolicyVersion } from '../../src/rpc/policy-rpc.ts';
import type { AgentRpc, AgentSession } from '../../src/rpc/agent-rpc.ts';
import type { PulledSwitch, SwitchName } from '../../src/rpc/kill-switch.ts';
import type { ControlRpc, IndexedSession, RevokedSession } from '../../src/rpc/control-rpc.ts';
import type {
  Act,
  ArchiveDamage,
  LedgerEntry,
  SessionIdentity,
  SessionRpc,
  SessionView,
} from '../../src/rpc/session-rpc.ts';
import { NOW_MS, privateJwk } from './credentials.ts';

export const TOKENS = {
  viewer: 'viewer-token-for-tests-0000000000000000',
  issuer: 'issuer-token-for-tests-0000000000000000',
  operator: 'operator-token-for-tests-00000000000000',
  approver: 'approver-token-for-tests-00000000000000',
} as const;

const POLICY = `version: 1
sessions: { ttl_seconds: 600, ttl_seconds_max: 3600, limits: { spend_usd: "2.50", requests_per_minute: 60 } }
routes: { free: { upstream: "https://free.example.com", protocol: http, scope: free, fees: [{ usd: 0 }] } }
`;

interface FakeSession {
  view: SessionView;
  entries: LedgerEntry[];
  acts: Act[];
}

export interface AdminWorld {
  readonly config: Config;
  readonly app: Pick<Hono, 'fetch'>;
  readonly objects: Map<string, FakeSession>;
  readonly index: IndexedSession[];
  readonly revocations: RevokedSession[];
  readonly switches: Map<string, PulledSwitch>;
  readonly agents: Map<string, { readonly sessions: readonly AgentSession[]; readonly revokedBeforeMs: number | null }>;
  /** What was called, in order. */
  readonly calls: string[];
  readonly logged: Readonly<Record<string, unknown>>[];
  /** Names of ports that reject from now on. */
  readonly broken: Set<string>;
  /** What is wrong with the archives of all sessions; null where nothing is. */
  damage: ArchiveDamage | null;
  /** The revocation list has no room left. */
  full: boolean;
  /** What happened to the policy, oldest first, and the texts by digest. */
  readonly policies: { readonly history: PolicyVersion[]; readonly texts: Map<string, string> };
  /** What was noted in the deployment's log. */
  readonly notes: AuditEntry[];
  /** The keys of Cloudflare Access. */
  accessKeyOf: (kid: string) => Promise<AccessKeyAnswer>;
  nowMs: number;
  call(method: string, path: string, options?: CallOptions): Promise<Response>;
}

interface CallOptions {
  readonly token?: string | null;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (octet) => octet.toString(16).padStart(2, '0')).join('');
}

export async function adminWorld(env: Readonly<Record<string, string>> = {}, policy = POLICY): Promise<AdminWorld> {
  const admins = await Promise.all(
    Object.entries(TOKENS).map(async ([role, token]) => ({
      id: `the-${role}`,
      owner: role,
      sha256: await sha256(token),
      roles: [role],
    })),
  );
  const reading = await parseConfig(
    { SESSION_SIGNING_KEYS: JSON.stringify([await privateJwk('k1')]), ADMIN_TOKENS: JSON.stringify(admins), ...env },
    policy,
  );
  if (!reading.ok) throw new Error(JSON.stringify(reading.errors));
  const { config } = reading;
  const world: Omit<AdminWorld, 'app' | 'call'> & { nowMs: number } = {
    config,
    objects: new Map(),
    index: [],
    revocations: [],
    switches: new Map(),
    agents: new Map(),
    calls: [],
    logged: [],
    broken: new Set(),
    damage: null,
    full: false,
    policies: { history: [], texts: new Map() },
    notes: [],
    accessKeyOf: async () => ({ state: 'unknown' }),
    nowMs: NOW_MS,
  };
  let ids = 0;
  const admin = adminRoutes({
    config,
    sessions: (name) => fakeSession(world, name),
    control: fakeControl(world),
    accessKeyOf: (kid) => world.accessKeyOf(kid),
    agent: (id) => fakeAgent(world, id),
    policy: () => config.policy,
    headChanged: async () => undefined,
    drillGateway: () => {
      throw new Error('drills are tried over the real objects');
    },
    now: () => world.nowMs,
    newId: () => `id-${(ids += 1)}`,
    log: (entry) => world.logged.push(entry),
  });
  const app = new Hono().route('/admin', admin);
  const call = async (method: string, path: string, options: CallOptions = {}): Promise<Response> => {
    const token = options.token === undefined ? TOKENS.viewer : options.token;
    const body =
      options.body === undefined
        ? null
        : typeof options.body === 'string'
          ? options.body
          : JSON.stringify(options.body);
    const headers = {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }),
      ...(body === null ? {} : { 'content-type': 'application/json' }),
      ...options.headers,
    };
    const request = new Request(`https://gateway.example${path}`, { method, headers, body });
    return app.fetch(request, {}, { waitUntil: () => {}, passThroughOnException: () => {}, props: {} });
  };
  return Object.assign(world, { app, call });
}

function viewOf(session: SessionIdentity, nowMs: number): SessionView {
  return {
    identity: session,
    createdAtMs: nowMs,
    status: 'active',
    limits: session.limits,
    spend: { settledMicroUsd: microUsd(0), heldMicroUsd: microUsd(0), availableMicroUsd: session.limits.spendMicroUsd },
    tokens: { settled: 0, held: 0, available: session.limits.tokens },
    requests: { admitted: 0, denied: 0 },
    breaker: { state: 'closed', sinceMs: nowMs, reason: null },
    warnings: [],
    revocation: null,
    trip: null,
  };
}

async function notHere(): Promise<never> {
  throw new Error('not for the control plane');
}

function fakeSession(
  world: Pick<AdminWorld, 'objects' | 'calls' | 'broken' | 'nowMs' | 'damage'>,
  name: string,
): SessionRpc {
  const change = async (method: string, act: Act, view: (now: SessionView) => SessionView) => {
    touch(method);
    const known = world.objects.get(name);
    if (known === undefined) return { known: false as const };
    known.acts.push(act);
    known.view = view(known.view);
    return { known: true as const, view: known.view };
  };
  const touch = (method: string): void => {
    if (world.broken.has(name) || world.broken.has(`session.${method}`)) throw new Error('object overloaded');
    world.calls.push(`session.${method}`);
  };
  return {
    admit: notHere,
    extend: notHere,
    settle: notHere,
    void: notHere,
    watch: notHere,
    async create({ session, act }) {
      touch('create');
      if (world.objects.has(name)) return { created: false };
      const view = viewOf(session, world.nowMs);
      world.objects.set(name, { view, entries: [], acts: [act] });
      return { created: true, view };
    },
    async describe() {
      touch('describe');
      const known = world.objects.get(name);
      return known === undefined ? { known: false } : { known: true, view: known.view };
    },
    renew: ({ expiresAtMs, act }) =>
      change('renew', act, (view) =>
        view.status === 'revoked'
          ? view
          : { ...view, identity: { ...view.identity, expiresAtMs: Math.max(expiresAtMs, view.identity.expiresAtMs) } },
      ),
    changeLimits: ({ patch, act }) =>
      change('changeLimits', act, (view) => ({ ...view, limits: { ...view.limits, ...patch } })),
    revoke: (act) =>
      change('revoke', act, (view) => ({
        ...view,
        status: 'revoked',
        revocation: { atMs: world.nowMs, reason: act.reason, by: act.by },
      })),
    reset: (act) => change('reset', act, (view) => ({ ...view, breaker: { ...view.breaker, state: 'closed' } })),
    denied: notHere,
    spent: notHere,
    async audit() {
      touch('audit');
      if (!world.objects.has(name)) return null;
      const page = { name: sessionLog('test', name), lines: [], nextCursor: null };
      return world.damage === null
        ? page
        : { ...page, signed: { seq: 0, line: '' }, archive: 'unreadable', damage: world.damage };
    },
    async ledger({ cursor, limit }) {
      touch('ledger');
      if (world.damage !== null) return { entries: [], nextCursor: null, damage: world.damage };
      const from = Number(cursor ?? 0);
      const entries = world.objects.get(name)?.entries ?? [];
      return {
        entries: entries.slice(from, from + limit),
        nextCursor: from + limit < entries.length ? String(from + limit) : null,
      };
    },
  };
}

function fakePolicies(
  { policies: { history, texts }, ...world }: Pick<AdminWorld, 'policies' | 'nowMs'>,
  touch: (method: string) => void,
): PolicyRpc {
  return {
    async policyState() {
      touch('policyState');
      return stateOf(history);
    },
    policyVersions: async () => history.toReversed(),
    policyText: async (digest) => texts.get(digest) ?? null,
    async setPolicy({ text, deployed, act: { by, owner = null, reason } }) {
      touch('setPolicy');
      const kind = text === null ? 'let-go' : 'run-time';
      const digest = text === null ? deployed.digest : digestOf(text);
      if (text !== null) texts.set(digest, text);
      history.push({ kind, digest, atMs: world.nowMs, by, owner, reason });
      return stateOf(history);
    },
    policyDeployed: notHere,
    keepDeployedPolicy: notHere,
  };
}

function fakeControl(
  world: Pick<
    AdminWorld,
    'index' | 'revocations' | 'calls' | 'broken' | 'switches' | 'notes' | 'policies' | 'nowMs' | 'full'
  >,
): ControlRpc {
  const touch = (method: string): void => {
    if (world.broken.has(`control.${method}`)) throw new Error('object overloaded');
    world.calls.push(`control.${method}`);
  };
  return {
    ...fakePolicies(world, touch),
    audit: notHere,
    async note(entry) {
      touch('note');
      world.notes.push(entry);
    },
    async record(session) {
      touch('record');
      const known = world.index.findIndex((other) => other.sid === session.sid);
      if (known < 0) world.index.push(session);
      else world.index[known] = session;
    },
    async list({ agent, cursor, limit }) {
      touch('list');
      const from = Number((cursor ?? '0').split('~')[0]);
      const all = world.index.filter((session) => agent === null || session.agent === agent);
      return {
        sessions: all.slice(from, from + limit),
        nextCursor: from + limit < all.length ? `${from + limit}~fusebox~s` : null,
      };
    },
    async revoke(session) {
      touch('revoke');
      world.revocations.push(session);
      return { epoch: world.revocations.length };
    },
    async revokeMany({ entries, act }) {
      touch('revokeMany');
      if (world.full) return { imported: false };
      world.revocations.push(...entries.map((entry) => ({ ...entry, act })));
      return { imported: true, epoch: 1, listed: entries.length };
    },
    async beginDrill({ id }) {
      touch('beginDrill');
      return { begun: false, running: `before-${id}` };
    },
    drillEvents: notHere,
    finishDrill: notHere,
    async drills() {
      touch('drills');
      return [];
    },
    async drill() {
      touch('drill');
      return null;
    },
    async signOffDrill() {
      touch('signOffDrill');
      return null;
    },
    async revokeAgent() {
      throw new Error('for agents objects only');
    },
    async switches() {
      touch('switches');
      return [...world.switches.values()];
    },
    async pull(request) {
      touch('pull');
      const known = world.switches.get(switchKey(request)) ?? null;
      const pulledSwitch = pull(known, request, world.nowMs);
      world.switches.set(switchKey(request), pulledSwitch);
      return { pulled: true, created: known === null, pulledSwitch, epoch: 1 };
    },
    async lift(name, act) {
      touch('lift');
      const pulledSwitch = world.switches.get(switchKey(name));
      if (pulledSwitch === undefined) return { outcome: 'not-pulled' };
      const answer = lift(pulledSwitch, act, world.nowMs);
      if (answer.outcome === 'requested') world.switches.set(switchKey(name), answer.pulledSwitch);
      if (answer.outcome !== 'lifted') return { pulledSwitch, ...answer };
      world.switches.delete(switchKey(name));
      return { outcome: 'lifted', pulledSwitch, epoch: 2 };
    },
    async preview() {
      touch('preview');
      return { liveSessions: world.index.length, spentLastMinuteMicroUsd: 1_500_000, sessionsAsked: 1 };
    },
    head: notHere,
    blob: notHere,
  };
}

function switchKey({ level, target }: SwitchName): string {
  return `${level}/${target}`;
}

function fakeAgent(world: Pick<AdminWorld, 'calls' | 'broken' | 'nowMs' | 'agents'>, agent: string): AgentRpc {
  const touch = (method: string): void => {
    if (world.broken.has(`agent.${method}`)) throw new Error('object overloaded');
    world.calls.push(`agent.${method}`);
  };
  return {
    async track(session) {
      touch('track');
      const known = world.agents.get(agent) ?? { sessions: [], revokedBeforeMs: null };
      world.agents.set(agent, { ...known, sessions: [...known.sessions, session] });
      return { revokedBeforeMs: known.revokedBeforeMs };
    },
    async revoke() {
      touch('revoke');
      const { sessions } = world.agents.get(agent) ?? { sessions: [] };
      world.agents.set(agent, { sessions: [], revokedBeforeMs: world.nowMs });
      return { beforeMs: world.nowMs, sessions: sessions.length, pending: 0, listed: true };
    },
  };
}
