// Workers on other machines, as a session's object sees them: they hold receipts, outlive its crashes, repeat what was not
// answered, and know which settlements were acknowledged. They speak to the object itself, through a door of the run's own.
import { v7 as uuidv7 } from 'uuid';
import { microUsd } from '../../src/money.ts';
import type {
  AdmitAnswer,
  AdmitRequest,
  ExtendAnswer,
  Receipt,
  SettleAnswer,
  WatchAnswer,
} from '../../src/rpc/session-rpc.ts';
import type { Random } from '../simulation/random.ts';
import type { FarHold, SessionUnderTest } from './evidence.ts';
import { loadedOf } from './sessions.ts';
import { ROUTE_TIMEOUT_SECONDS, sleep, type World } from './world.ts';

const PAUSE_MS = 80;
const RETRY_MS = 50;
/** Longer than any restart takes, shorter than a lease. */
const PATIENCE_MS = 12_000;
const OUTPUT_MICRO_USD_PER_MILLION = 12_000_000;
const MAX_LATE = 40;

/** Works until the world is over; resolves when its last settlement was answered. */
export async function runFarWorker(world: World, number: number): Promise<void> {
  const random = world.randomOf(200 + number);
  const late: Promise<void>[] = [];
  while (!world.over) {
    const loaded = loadedOf(world);
    if (loaded.length > 0) await oneHold({ world, session: random.pick(loaded), random, late });
    await sleep(random.below(PAUSE_MS));
  }
  await Promise.all(late);
}

/** One hold of one session, admitted and settled at once: nothing is open afterwards, and the ledger is not sealed yet. */
export async function settleOne(world: World, session: SessionUnderTest): Promise<void> {
  const job = { world, session, random: world.randomOf(3), late: [] };
  const hold = newHold(session);
  const request = admitRequest(world, session, { hold, fixedMicroUsd: 500, asked: 10 });
  const admitted = await insist<AdmitAnswer>(job, 'admit', [request], true);
  if (admitted?.admitted !== true) throw new Error(`a fresh session admits nothing: ${JSON.stringify(admitted)}`);
  hold.admittedMs = Date.now();
  await conclude(job, hold, { receipt: admitted.receipt, costMicroUsd: 499, tokens: 7, voids: false });
}

interface Job {
  readonly world: World;
  readonly session: SessionUnderTest;
  readonly random: Random;
  readonly late: Promise<void>[];
}

async function oneHold(job: Job): Promise<void> {
  const { world, session, random, late } = job;
  const hold = newHold(session);
  const fixedMicroUsd = 1 + random.below(900);
  const asked = random.below(300);
  const request = admitRequest(world, session, { hold, fixedMicroUsd, asked });
  // Some Workers give up on an admission that was not answered, and never know of its hold.
  const admitted = await insist<AdmitAnswer>(job, 'admit', [request], random.chance(0.7));
  if (admitted?.admitted !== true) return;
  hold.admittedMs = Date.now();
  if (session.revokedMs !== null && hold.startedMs > session.revokedMs) {
    world.violation('act-undone', session, `${hold.id} was admitted after the revocation was acknowledged`);
  }
  let { receipt } = admitted;
  await sleep(random.below(300));
  if (random.chance(0.3)) receipt = await extended(job, receipt);
  if (random.chance(0.15)) receipt = await watched(job, receipt);

  const end = random.below(100);
  // Never settled: its lease ends it.
  if (end < 5) return;
  const costMicroUsd = random.below(receipt.microUsd + 1);
  const tokens = random.below(receipt.tokens + 1);
  const settle = async (): Promise<void> => conclude(job, hold, { receipt, costMicroUsd, tokens, voids: end < 15 });
  if (end >= 95 && late.length < MAX_LATE) {
    late.push(sleep(world.leaseMs + random.below(3_000)).then(settle));
    return;
  }
  await settle();
}

function newHold(session: SessionUnderTest): FarHold {
  const hold: FarHold = {
    id: uuidv7(),
    startedMs: Date.now(),
    acknowledged: null,
    servedMicroUsd: 0,
    servedTokens: 0,
    admittedMs: null,
  };
  session.holds.push(hold);
  return hold;
}

async function extended(job: Job, receipt: Receipt): Promise<Receipt> {
  const more = microUsd(receipt.microUsd + job.random.below(2_000));
  const wanted = { receipt, microUsd: more, tokens: receipt.tokens + job.random.below(200) };
  const answer = await insist<ExtendAnswer>(job, 'extend', [wanted], true);
  return answer?.extended === true ? answer.receipt : receipt;
}

async function watched({ world, session }: Job, receipt: Receipt): Promise<Receipt> {
  const poll = world.far<WatchAnswer>(session, 'watch', { receipt, meteredMicroUsd: 1, meteredTokens: 1 });
  const answer = await Promise.race([poll.catch(() => null), sleep(400).then(() => null)]);
  return answer?.cut === false ? answer.receipt : receipt;
}

async function conclude(
  job: Job,
  hold: FarHold,
  how: { readonly receipt: Receipt; readonly costMicroUsd: number; readonly tokens: number; readonly voids: boolean },
): Promise<void> {
  const { world, session, random } = job;
  const { receipt, costMicroUsd, tokens, voids } = how;
  const settlement = { receipt, costMicroUsd, tokens, usage: null, estimated: false, reason: 'far' };
  const [method, args] = voids ? (['void', [receipt, 'far-void']] as const) : (['settle', [settlement]] as const);
  const answer = await insist<SettleAnswer>(job, method, args, true);
  if (answer === null) {
    world.violation('unanswered', session, `no answer to the ${method} of ${hold.id}`);
    return;
  }
  if (answer.state === 'frozen') {
    world.violation('frozen', session, `${method} of ${hold.id}, receipt ${JSON.stringify(receipt)}`);
    return;
  }
  hold.acknowledged = { atMs: Date.now(), costMicroUsd: answer.costMicroUsd, state: answer.state };
  if (!voids) {
    hold.servedMicroUsd = costMicroUsd;
    hold.servedTokens = tokens;
  }
  if (!random.chance(0.25)) return;
  const again = { ...settlement, costMicroUsd: random.below(receipt.microUsd + 1) };
  const second = await insist<SettleAnswer>(job, 'settle', [again], false);
  if (second !== null && second.costMicroUsd !== answer.costMicroUsd) {
    const what = `${hold.id} was settled at ${answer.costMicroUsd} and, again, at ${second.costMicroUsd}`;
    world.violation('charged-twice', session, what);
  }
}

/** Calls until it is answered, for as long as a Worker would; null when it never was. */
async function insist<T>(
  { world, session }: Job,
  method: string,
  args: readonly unknown[],
  patient: boolean,
): Promise<T | null> {
  const deadlineMs = Date.now() + (patient ? PATIENCE_MS : 0);
  do {
    try {
      return await world.far<T>(session, method, ...args);
    } catch {
      await sleep(RETRY_MS);
    }
  } while (Date.now() < deadlineMs);
  return null;
}

function admitRequest(
  world: World,
  session: SessionUnderTest,
  { hold, fixedMicroUsd, asked }: { hold: FarHold; fixedMicroUsd: number; asked: number },
): AdmitRequest {
  const { spendMicroUsd, tokens } = session.limits;
  return {
    id: hold.id,
    session: {
      issuer: 'fusebox',
      sid: session.id,
      agent: session.agent,
      customer: null,
      segments: [],
      scopes: ['chat', 'desk'],
      limits: { spendMicroUsd: microUsd(spendMicroUsd), tokens, tokensPerRequest: null, requestsPerMinute: null },
      expiresAtMs: session.expiresAtMs,
    },
    purpose: { route: 'far', protocol: 'http', model: null, action: 'far' },
    demand: {
      fixedMicroUsd: microUsd(fixedMicroUsd),
      inputTokens: fixedMicroUsd % 97,
      output: {
        microUsdPerMillion: OUTPUT_MICRO_USD_PER_MILLION,
        askedTokens: asked,
        floorTokens: 0,
        firstTokens: Math.ceil(asked / 2),
        choices: 1,
      },
    },
    leaseMs: ROUTE_TIMEOUT_SECONDS * 1_000 + world.leases.marginMs,
    idempotency: null,
    rules: { warnAt: 0.9, onLimit: 'revoke', leastUsefulMicroUsd: microUsd(733) },
  };
}
