// One chaos run: load, kills at random moments of a seeded clock, the wait for what ends by itself, and the audit. Ends by
// itself and leaves no process behind.
import type { SessionUnderTest, Violation } from './evidence.ts';
import { runAgent } from './agents.ts';
import { audit, type Books } from './audit.ts';
import type { Leases } from './chaos-bundle.ts';
import { runFarWorker, settleOne } from './far-workers.ts';
import { look, operate } from './operator.ts';
import { issueQuiet, keepSessions } from './sessions.ts';
import { sleep, startWorld, type World } from './world.ts';

export interface ChaosOptions {
  readonly seed: number;
  readonly kills: number;
  /** No kill after this long, whatever is left of them. */
  readonly mostMs: number;
  readonly leases: Leases;
  /** Ends the run at once; it then rejects, with nothing left behind. */
  readonly signal?: AbortSignal;
  /** Is told how far it is. */
  readonly progress?: (line: string) => void;
}

export interface ChaosReport {
  readonly kills: number;
  readonly seconds: number;
  readonly sessions: readonly SessionUnderTest[];
  readonly books: readonly Books[];
  readonly upstreamRequests: number;
  readonly polls: number;
  readonly limitsChanged: number;
  readonly revocations: number;
  readonly violations: readonly Violation[];
}

const AGENTS = 14;
const FAR_WORKERS = 12;
const QUIET_SESSIONS = 6;
const WARM_UP_MS = 600;
const TAKE_SERVED_EVERY_MS = 250;
/** For an alarm to ring and its batch to be written, on a busy machine. */
const ALARM_SLACK_MS = 3_000;

export async function runChaos(options: ChaosOptions): Promise<ChaosReport> {
  const startedMs = Date.now();
  const world = await startWorld(options);
  const taking = setInterval(() => world.takeServed(), TAKE_SERVED_EVERY_MS);
  try {
    const books = await Promise.race([inOrder(world, options), aborted(options.signal)]);
    return {
      kills: world.kills.length,
      seconds: (Date.now() - startedMs) / 1_000,
      sessions: world.sessions,
      books,
      upstreamRequests: world.served.size,
      ...world.counts,
      violations: world.violations,
    };
  } finally {
    world.over = true;
    clearInterval(taking);
    await world.close();
  }
}

async function inOrder(world: World, options: ChaosOptions): Promise<Books[]> {
  await loadAndKill(world, options);
  await untilAllHasEnded(world, options);
  return auditAll(world);
}

/** Rejects when the run is to stop; never resolves. */
function aborted(signal: AbortSignal | undefined): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal?.addEventListener('abort', () => reject(new Error('stopped')), { once: true });
  });
}

async function loadAndKill(world: World, options: ChaosOptions): Promise<void> {
  const operators: Promise<void>[] = [];
  const load = [
    keepSessions(world, (session) => operators.push(operate(world, session, operators.length))),
    ...Array.from({ length: AGENTS }, (_, number) => runAgent(world, number)),
    ...Array.from({ length: FAR_WORKERS }, (_, number) => runFarWorker(world, number)),
  ];
  const killing = kill(world, options);
  try {
    await Promise.race([killing, Promise.all(load)]);
  } finally {
    world.over = true;
    await Promise.allSettled([killing, ...load, ...operators]);
  }
  // What failed in the load itself is a mistake of the run.
  await Promise.all([killing, ...load, ...operators]);
}

async function kill(world: World, { kills, mostMs, progress }: ChaosOptions): Promise<void> {
  const random = world.randomOf(0);
  await sleep(WARM_UP_MS);
  const deadlineMs = Date.now() + mostMs;
  while (!world.over && world.kills.length < kills && Date.now() < deadlineMs) {
    // Mostly within the moments that follow a restart, sometimes after seals and evictions have had their time.
    const kind = random.below(20);
    await sleep(kind < 8 ? random.below(150) : kind < 19 ? random.below(900) : 1_500 + random.below(5_000));
    await crash(world);
    if (world.kills.length % 20 === 0) progress?.(`${world.kills.length} kills`);
  }
}

async function crash(world: World): Promise<void> {
  world.kills.push(Date.now());
  await world.gateway.kill9();
  await world.gateway.restart();
}

/**
 * After a last crash: sessions that are asked at once know what they lost, and when that ends. The others are
 * left to their alarms, which may look after them as late as the unsealed check, and then give a lease once more.
 */
async function untilAllHasEnded(world: World, { progress }: ChaosOptions): Promise<void> {
  // Some have nothing open when it comes, only a block that is in doubt from then on.
  const quiet = await issueQuiet(world, QUIET_SESSIONS);
  await Promise.all(quiet.map((session) => settleOne(world, session)));
  await crash(world);
  const asked = world.sessions.filter((_, index) => index % 3 !== 0);
  for (const session of asked) await look(world, session);
  const { leaseMs, leases } = world;
  progress?.(`the load is over; waiting ${leaseMs / 1_000} s for leases to end`);
  await sleep(leaseMs + ALARM_SLACK_MS);
  for (const session of asked) await checkClosed(world, session);
  progress?.(`waiting ${leases.unsealedCheckMs / 1_000} s for the alarms of sessions that nobody asks`);
  await sleep(leases.unsealedCheckMs);
}

async function checkClosed(world: World, session: SessionUnderTest): Promise<void> {
  const seen = await look(world, session);
  if (seen === null) return;
  const { spend, tokens } = seen.standing;
  if (Number(spend.held_usd) === 0 && tokens.held === 0) return;
  const what = `${spend.held_usd} USD and ${tokens.held} tokens held after every lease`;
  world.violation('open-after-expiry', session, what);
}

/** Reads every session, crashes once more, and reads it again: the same. */
async function auditAll(world: World): Promise<Books[]> {
  world.takeServed();
  const books: Books[] = [];
  for (const session of world.sessions) {
    const seen = await look(world, session);
    if (seen !== null) books.push(audit({ world, session, ...seen }));
  }
  await crash(world);
  for (const session of world.sessions) await look(world, session);
  return books;
}
