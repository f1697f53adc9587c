// Part of `npm run simulate`: how long a change takes to work everywhere, in each scenario. Prints what was measured; fails
// where a promise of the revocation list breaks. SEED chooses another run.
import { SCENARIOS } from './propagation-faults.ts';
import { simulatePropagation } from './propagation.ts';
import { keysAtOnce } from './virtual-time.ts';

const LOCATIONS = 300;
const ISOLATES_PER_LOCATION = 3;
const SECONDS = 240;

const seed = Number(process.env['SEED'] ?? 1);
const keys = await keysAtOnce();

const seconds = (ms: number | undefined): string => `${((ms ?? 0) / 1_000).toFixed(1)} s`;
const at = (lags: readonly number[], part: number): string => seconds(lags[Math.floor((lags.length - 1) * part)]);

console.log(`propagation to ${LOCATIONS * ISOLATES_PER_LOCATION} isolates in ${LOCATIONS} locations, seed ${seed}`);
let failures = 0;
for (const scenario of SCENARIOS) {
  try {
    const result = await simulatePropagation({
      keys,
      scenario,
      seed,
      locations: LOCATIONS,
      isolatesPerLocation: ISOLATES_PER_LOCATION,
      seconds: SECONDS,
    });
    const { lagsMs, wakingLagsMs, requests, refusedAsStale } = result;
    console.log(
      `${scenario.name}: p50 ${at(lagsMs, 0.5)}, p99 ${at(lagsMs, 0.99)}, worst ${seconds(lagsMs.at(-1))}; ` +
        `worst of isolates just woken ${seconds(wakingLagsMs.at(-1))}; ${requests} requests, ${refusedAsStale} refused as stale`,
    );
  } catch (error) {
    failures += 1;
    console.log(`${scenario.name}: BROKEN: ${error instanceof Error ? error.message : String(error)}`);
  }
}
process.exitCode = failures === 0 ? 0 : 1;
