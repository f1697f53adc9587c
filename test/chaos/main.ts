// `npm run chaos`: kills workerd under load, hundreds of times, and proves from outside that the ledger held. Ends with code 1
// and the evidence if it did not.
import { parseArgs } from 'node:util';
import { onStopRequested } from '../../scripts/stop-signals.ts';
import { DEPLOYED_LEASES, SHORT_LEASES } from './chaos-bundle.ts';
import { describeReport } from './report.ts';
import { runChaos } from './run.ts';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '210' },
    seed: { type: 'string' },
    minutes: { type: 'string', default: '5' },
    leases: { type: 'string', default: 'deployed' },
  },
});

function wholeNumber(name: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isSafeInteger(value) && value >= least) return value;
  console.error(`--${name} takes a whole number of at least ${least}, got ${JSON.stringify(text)}`);
  process.exit(2);
}

const seed = wholeNumber('seed', values.seed ?? String(Date.now() % 1_000_000), 0);
const kills = wholeNumber('kills', values.kills, 1);
const minutes = wholeNumber('minutes', values.minutes, 1);
const leases = values.leases === 'short' ? SHORT_LEASES : DEPLOYED_LEASES;

console.log(`seed ${seed}: ${kills} kills, in at most ${minutes} minutes of load`);
const stop = new AbortController();
let stoppedWith = 0;
onStopRequested((exitCode) => {
  stoppedWith = exitCode;
  stop.abort();
});
const report = await runChaos({
  seed,
  kills,
  mostMs: minutes * 60_000,
  leases,
  signal: stop.signal,
  progress: (line) => console.log(`  ${line}`),
}).catch((error: unknown) => {
  if (stoppedWith === 0) throw error;
  process.exit(stoppedWith);
});
console.log(describeReport(report));
const short = report.kills < kills;
if (short) console.log(`only ${report.kills} of ${kills} kills fitted into ${minutes} minutes`);
const failed = report.violations.length > 0;
console.log(
  failed ? `FAILED: run it again with --seed ${seed}` : 'nothing lost, nothing charged twice, nothing left open',
);
process.exit(failed || short ? 1 : 0);
