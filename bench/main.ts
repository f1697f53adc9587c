// `npm run bench`: what enforcement costs, measured against a bare workerd proxy, an empty Worker and the classic alternative,
// side by side in one run on this machine. Touches the loopback interface only, ends by itself and leaves nothing behind.
import { parseArgs } from 'node:util';
import { percentile, runLoad } from './loader.ts';
import { timeScreening } from './revocations.ts';
import { describeRevocations, publish, summarize, table, type RowPlan, type Sample } from './report.ts';
import { onStopRequested } from '../scripts/stop-signals.ts';
import { SESSIONS, setStage, type Stage, type Subject } from './subjects.ts';

const PLANS: readonly RowPlan[] = [
  { name: 'empty-worker', subject: 'empty-worker', baseline: 'empty-worker', connections: 8 },
  { name: 'fusebox-refuse', subject: 'fusebox-refuse', baseline: 'empty-worker', connections: 8 },
  { name: 'fusebox-refuse-million', subject: 'fusebox-refuse-million', baseline: 'empty-worker', connections: 8 },
  { name: 'empty-worker-16', subject: 'empty-worker', baseline: 'empty-worker-16', connections: 16 },
  { name: 'fusebox-refuse-16', subject: 'fusebox-refuse', baseline: 'empty-worker-16', connections: 16 },
  { name: 'bare-proxy', subject: 'bare-proxy', baseline: 'empty-worker-16', connections: 16 },
  { name: 'fusebox', subject: 'fusebox', baseline: 'bare-proxy', connections: 16 },
  { name: 'express-redis', subject: 'express-redis', baseline: 'bare-proxy', connections: 16 },
  { name: 'bare-proxy-stream', subject: 'bare-proxy-stream', baseline: 'bare-proxy-stream', connections: 16 },
  { name: 'fusebox-stream', subject: 'fusebox-stream', baseline: 'bare-proxy-stream', connections: 16 },
];
/** Before the first round: compilers and caches, the same for all. */
const WARM_UP_MS = 2_000;
/** Before each measurement: connections, and what the row before left in flight. */
const SETTLE_MS = 300;
const ALONE_MS = 500;

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    only: { type: 'string', multiple: true, default: [] },
    'no-write': { type: 'boolean', default: false },
  },
});
const rounds = Math.max(1, Number(values.rounds));
const seconds = Math.max(0.2, Number(values.seconds));
const plans = PLANS.filter(({ name }) => values.only.length === 0 || values.only.includes(name));

// Nothing is left behind, even when it is interrupted before its end.
let stage: Stage | null = null;
onStopRequested((exitCode) => {
  void (stage?.close() ?? Promise.resolve()).finally(() => process.exit(exitCode));
});

stage = await setStage(new Set(plans.map(({ subject }) => subject)));
const samples = new Map<string, Sample[]>();
try {
  const running = plans.filter(({ subject }) => stage.subjects[subject] !== undefined);
  for (const reason of Object.entries(stage.skipped)) console.log(`skipped ${reason.join(': ')}`);
  console.log(
    `${rounds} rounds of ${seconds} s a row, rows in turn; about ${Math.ceil(estimateSeconds(running.length))} s`,
  );
  for (const plan of running) await load(plan, plan.connections, WARM_UP_MS);
  for (let round = 0; round < rounds; round++) {
    for (const plan of running) {
      const known = samples.get(plan.name) ?? [];
      samples.set(plan.name, [...known, await measure(plan)]);
    }
    console.log(`round ${round + 1} of ${rounds} done`);
  }
} finally {
  await stage.close();
}
const { million } = stage;
const revocations = million === null ? null : { loaded: million, screened: await timeScreening() };
if (revocations !== null) console.log(`\n${describeRevocations(revocations)}`);
const rows = summarize(plans, samples, stage.skipped);
console.log(`\n${table(rows)}`);
if (!values['no-write'] && values.only.length === 0)
  console.log(`\nwritten to ${publish(rows, { rounds, seconds, sessions: SESSIONS }, revocations)}`);

async function measure(plan: RowPlan): Promise<Sample> {
  await load(plan, plan.connections, SETTLE_MS);
  const busy = await load(plan, plan.connections, seconds * 1_000);
  const alone = await load(plan, 1, ALONE_MS);
  return {
    rps: busy.requestsPerSecond,
    p50: percentile(busy.totalMs, 0.5),
    p99: percentile(busy.totalMs, 0.99),
    firstByteP50: percentile(busy.firstByteMs, 0.5),
    firstByteP99: percentile(busy.firstByteMs, 0.99),
    aloneP50: percentile(alone.totalMs, 0.5),
    aloneFirstByteP50: percentile(alone.firstByteMs, 0.5),
  };
}

async function load({ name, subject }: RowPlan, connections: number, durationMs: number): ReturnType<typeof runLoad> {
  try {
    return await runLoad({ ...subjectOf(subject), connections, durationMs });
  } catch (error) {
    throw new Error(`row ${name}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

function subjectOf(name: string): Subject {
  const subject = stage?.subjects[name];
  if (subject === undefined) throw new Error(`no subject ${name}`);
  return subject;
}

function estimateSeconds(count: number): number {
  return (count * (WARM_UP_MS + rounds * (SETTLE_MS + seconds * 1_000 + ALONE_MS))) / 1_000;
}
