// The incident: three agents work, one falls into a retry loop, its session warns at 90 %, trips at its cap and is refused from
// then on, while the others go on. Says what happens as it happens, and returns what was observed.
import { setTimeout as sleep } from 'node:timers/promises';
import type { AdminClient } from '../scripts/admin-client.ts';
import type { SessionJson } from '../src/http/session-json.ts';
import { microUsd, parseUsd } from '../src/money.ts';
import { WARNING_TEXT } from '../src/protocol/warning.ts';
import { createAgent, LOOP_MARK, type Agent } from './agents.ts';
import { bar, type Screen } from './screen.ts';
import type { Upstream } from './upstream/server.ts';

const LIMIT_USD = '1.00';
/** With the tokens of each one's answers. */
const STAFF = { 'returns-agent': 60, 'billing-agent': 35, 'research-agent': 220 } as const;
/** How long a model thinks; together with the size of its answers it makes the rate of the real incident, about 5 cents a second. */
const MODEL_DELAY_MS = 200;
const PEACE_SECONDS = 3;
const LOOP_TIMEOUT_SECONDS = 45;
const AFTER_SECONDS = 2;
const PROBES = 25;
const SECOND_MS = 1_000;

export interface Incident {
  readonly limitMicroUsd: number;
  /** The looping session when everything was over. */
  readonly session: SessionJson;
  readonly settledMicroUsd: number;
  readonly ledger: { readonly entries: number; readonly sumMicroUsd: number };
  /** Ledgers of all three sessions add up to what was settled. */
  readonly allAddUp: boolean;
  /** From the first looping call to the trip. */
  readonly loop: { readonly seconds: number; readonly costMicroUsd: number; readonly calls: number };
  /** Durations of the calls after the trip, sorted. */
  readonly refusalMs: readonly number[];
  readonly observed: Readonly<Record<Observation, boolean>>;
}

export const OBSERVATIONS = {
  working: 'three agents worked through the gateway, each on a session of its own',
  climbing: 'the spend of the looping session was seen to climb',
  warned: 'the warning at 90 % came with an answer (x-fusebox-warning: spend-90)',
  told: 'the model was told to stop: a message that the agent did not send reached the upstream',
  tripped: 'the session tripped at its cap: 429 spend-limit-exceeded, then revoked',
  refused: 'every call after the trip was refused with 401 session-revoked',
  memory: 'those refusals came from memory: the session object was not asked',
  untouched: 'no refused call reached the upstream',
  others: 'the two other agents went on and finished more tasks after the trip',
  hard: 'nothing was overspent',
  ledger: 'the ledgers of all three sessions add up to the micro-dollar',
} as const;

export type Observation = keyof typeof OBSERVATIONS;

export interface Stage {
  readonly gatewayUrl: string;
  readonly admin: AdminClient;
  readonly upstream: Upstream;
  readonly screen: Screen;
}

/** Plays the incident: about half a minute. */
export async function playIncident(stage: Stage): Promise<Incident> {
  const { screen, upstream } = stage;
  upstream.behave(`delay:${MODEL_DELAY_MS}`, { path: '/openai' });
  const agents = await Promise.all(
    Object.entries(STAFF).map(([name, answerTokens]) => hire({ name, answerTokens }, stage)),
  );
  const [rogue, ...others] = agents;
  if (rogue === undefined) throw new Error('no agents');
  const running = agents.map((agent) => agent.run());
  try {
    screen.heading(`Three agents at work, each with a session of its own and a cap of $${LIMIT_USD}`);
    screen.say(`  second  ${agents.map(({ name }) => name.padEnd(29)).join('')}`.trimEnd());
    const watch = watcher(stage, agents);
    for (let second = 0; second < PEACE_SECONDS; second++) await watch.tick();
    const working = agents.every((agent) => agent.answered > 0);

    screen.event(
      'warning',
      `${rogue.name} falls into a retry loop: the same step, again and again, without an error that anyone would notice`,
    );
    const before = await watch.settled(rogue);
    const callsBefore = rogue.answered;
    const loopStartedAt = performance.now();
    rogue.fallIntoLoop();
    const trip = await untilTripped({ ...stage, rogue, watch });
    const loopSeconds = ((trip?.atMs ?? performance.now()) - loopStartedAt) / SECOND_MS;
    const calls = rogue.answered - callsBefore;
    const tasksAtTrip = others.map((agent) => agent.tasksDone);
    rogue.stop();

    const probes = await probe(stage, rogue);
    if (probes.ms.length > 0) {
      const median = probes.ms[Math.floor(probes.ms.length / 2)] ?? 0;
      screen.event(
        'trip',
        `the next ${PROBES} calls are refused in ${median.toFixed(2)} ms each (median), from memory: no session object, no upstream, no cent`,
      );
    }
    for (let second = 0; second < AFTER_SECONDS; second++) await watch.tick();
    await untilAnotherTask(others, tasksAtTrip);
    const wentOn = others.every(
      (agent, index) => agent.tasksDone > (tasksAtTrip[index] ?? 0) && agent.refusals.length === 0,
    );
    if (wentOn) screen.event('good', `${others.map((agent) => agent.name).join(' and ')} have noticed nothing`);

    for (const agent of agents) agent.stop();
    await Promise.all(running);
    const [books, ...otherBooks] = await Promise.all(agents.map((agent) => closeBooks(stage, agent)));
    if (books === undefined) throw new Error('no books');
    return {
      limitMicroUsd: micro(books.session.limits.spend_usd),
      session: books.session,
      settledMicroUsd: books.settledMicroUsd,
      ledger: books.ledger,
      allAddUp: [books, ...otherBooks].every((each) => each.addsUp),
      loop: { seconds: loopSeconds, costMicroUsd: books.settledMicroUsd - before, calls },
      refusalMs: probes.ms,
      observed: {
        working,
        climbing: watch.climbed(rogue) >= 3,
        warned: rogue.warnings.has('spend-90'),
        told: wasTold(stage),
        tripped: trip !== null && books.session.status === 'revoked' && books.session.trip !== null,
        refused: probes.codes.every((code) => code === 'session-revoked') && probes.codes.length === PROBES,
        memory: !probes.objectAsked,
        untouched: probes.reachedUpstream === 0,
        others: wentOn,
        hard: books.settledMicroUsd <= micro(books.session.limits.spend_usd),
        ledger: [books, ...otherBooks].every((each) => each.addsUp),
      },
    };
  } finally {
    for (const agent of agents) agent.stop();
    await Promise.allSettled(running);
  }
}

async function hire(
  { name, answerTokens }: { readonly name: string; readonly answerTokens: number },
  { admin, gatewayUrl }: Stage,
): Promise<Agent> {
  const { session, token } = await admin.issue({
    agent: name,
    customer: 'webshop',
    scopes: ['llm:openai', 'ticket:*'],
    limits: { spend_usd: LIMIT_USD, requests_per_minute: 6_000 },
    ttl_seconds: 3_600,
  });
  return createAgent({ name, gatewayUrl, sessionId: session.id, token, limitUsd: LIMIT_USD, answerTokens });
}

interface Watcher {
  /** Waits for the next full second and shows everyone's spend. */
  tick(): Promise<void>;
  settled(agent: Agent): Promise<number>;
  /** How often an agent's spend was seen to grow. */
  climbed(agent: Agent): number;
}

function watcher({ admin, screen }: Stage, agents: readonly Agent[]): Watcher {
  const startedAt = performance.now();
  const last = new Map<string, number>();
  const climbs = new Map<string, number>();
  let seconds = 0;
  return {
    async tick() {
      seconds++;
      await sleep(Math.max(0, startedAt + seconds * SECOND_MS - performance.now()));
      const cells = await Promise.all(
        agents.map(async (agent) => {
          const { spend, limits, status } = await admin.session(agent.sessionId);
          const settled = micro(spend.settled_usd);
          if (settled > (last.get(agent.name) ?? 0)) climbs.set(agent.name, (climbs.get(agent.name) ?? 0) + 1);
          last.set(agent.name, settled);
          const shown = status === 'revoked' ? 'cut off'.padEnd(18) : bar(settled / micro(limits.spend_usd));
          return `$${(settled / 1e6).toFixed(4)} ${shown}  `.padEnd(29);
        }),
      );
      screen.say(`  ${String(seconds).padStart(6)}  ${cells.join('')}`.trimEnd());
    },
    settled: async (agent) => micro((await admin.session(agent.sessionId)).spend.settled_usd),
    climbed: (agent) => climbs.get(agent.name) ?? 0,
  };
}

/** Shows the climb until the session has tripped; null when it has not within the time. */
async function untilTripped(
  stage: Stage & { readonly rogue: Agent; readonly watch: Watcher },
): Promise<{ readonly atMs: number } | null> {
  const { rogue, screen, watch, admin } = stage;
  let trippedAtMs: number | null = null;
  let warned = false;
  const spotTrip = setInterval(() => {
    if (
      trippedAtMs === null &&
      rogue.refusals.some(({ code }) => code === 'spend-limit-exceeded' || code === 'session-revoked')
    )
      trippedAtMs = performance.now();
  }, 5);
  try {
    for (let second = 0; second < LOOP_TIMEOUT_SECONDS; second++) {
      await watch.tick();
      if (!warned && rogue.warnings.size > 0) {
        warned = true;
        screen.event(
          'warning',
          'warning at 90 %: one alert goes out, and the model is told to summarise its work and stop',
        );
      }
      if (rogue.refusals.length === 0 || trippedAtMs === null) continue;
      const { status, trip } = await admin.session(rogue.sessionId);
      if (status !== 'revoked') continue;
      const [first] = rogue.refusals;
      screen.event(
        'trip',
        `trip at 100 %: ${first?.status ?? ''} ${first?.code ?? ''}; the session is revoked (${trip?.reason ?? 'no reason given'})`,
      );
      return { atMs: trippedAtMs };
    }
    return null;
  } finally {
    clearInterval(spotTrip);
  }
}

interface Probes {
  readonly ms: readonly number[];
  readonly codes: readonly string[];
  readonly reachedUpstream: number;
  readonly objectAsked: boolean;
}

/** Calls after the trip, one after the other, timed. */
async function probe({ gatewayUrl, admin, upstream }: Stage, agent: Agent): Promise<Probes> {
  const body = JSON.stringify({ model: 'gpt-4o', messages: [{ role: 'user', content: LOOP_MARK }] });
  const call = async (): Promise<{ readonly code: string; readonly ms: number }> => {
    const startedAt = performance.now();
    const answer = await fetch(`${gatewayUrl}/local-openai/v1/chat/completions`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${agent.token}` },
      body,
    });
    const problem = await answer.json<{ readonly code?: string }>();
    return { code: problem.code ?? String(answer.status), ms: performance.now() - startedAt };
  };
  // The agent may have one last call on its way.
  await sleep(200);
  const sentBefore = loopRequests(upstream);
  const { denied } = (await admin.session(agent.sessionId)).requests;
  const calls: { readonly code: string; readonly ms: number }[] = [];
  for (let index = 0; index < PROBES; index++) calls.push(await call());
  return {
    ms: calls.map(({ ms }) => ms).toSorted((a, b) => a - b),
    codes: calls.map(({ code }) => code),
    reachedUpstream: loopRequests(upstream) - sentBefore,
    objectAsked: (await admin.session(agent.sessionId)).requests.denied !== denied,
  };
}

function loopRequests(upstream: Upstream): number {
  return upstream.requests.filter(({ body }) => body.includes(LOOP_MARK)).length;
}

/** Whether one of the looping agent's requests arrived with the warning, which the agent did not write. */
function wasTold({ upstream }: Stage): boolean {
  return upstream.requests.some(({ body }) => body.includes(LOOP_MARK) && body.includes(WARNING_TEXT));
}

async function untilAnotherTask(agents: readonly Agent[], tasksBefore: readonly number[]): Promise<void> {
  for (let waited = 0; waited < 50; waited++) {
    if (agents.every((agent, index) => agent.tasksDone > (tasksBefore[index] ?? 0))) return;
    await sleep(100);
  }
}

interface Books {
  readonly session: SessionJson;
  readonly settledMicroUsd: number;
  readonly ledger: { readonly entries: number; readonly sumMicroUsd: number };
  readonly addsUp: boolean;
}

async function closeBooks({ admin }: Stage, agent: Agent): Promise<Books> {
  const session = await admin.session(agent.sessionId);
  const entries = await admin.ledger(agent.sessionId);
  const settledMicroUsd = micro(session.spend.settled_usd);
  const sumMicroUsd = entries.reduce((sum, entry) => sum + signedMicro(entry.cost_usd), 0);
  return {
    session,
    settledMicroUsd,
    ledger: { entries: entries.length, sumMicroUsd },
    addsUp: sumMicroUsd === settledMicroUsd,
  };
}

/** Corrections may be negative. */
function signedMicro(usd: string): number {
  return usd.startsWith('-') ? microUsd(-micro(usd.slice(1))) : micro(usd);
}

function micro(usd: string): number {
  const amount = parseUsd(usd);
  if (amount === null) throw new Error(`not an amount: ${usd}`);
  return amount;
}
