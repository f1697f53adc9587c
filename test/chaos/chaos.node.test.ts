// A short chaos run: the Worker as deployed but for shorter leases. `npm run chaos` is the long one.
import { describe, expect, it } from 'vitest';
import { SHORT_LEASES } from './chaos-bundle.ts';
import { describeReport } from './report.ts';
import { runChaos } from './run.ts';

const KILLS = 12;
/** Twelve kills take about ten seconds, and what ends by itself as long again. */
const MOST_MS = 30_000;
const TIMEOUT_MS = 120_000;

describe('a gateway that is killed under load', () => {
  it(`loses, repeats and leaves open nothing through ${KILLS} crashes`, { timeout: TIMEOUT_MS }, async () => {
    const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000);
    console.log(`seed ${seed}`);
    const report = await runChaos({ seed, kills: KILLS, mostMs: MOST_MS, leases: SHORT_LEASES });
    console.log(describeReport(report));
    expect(report.violations).toEqual([]);
    expect(report.kills).toBeGreaterThanOrEqual(KILLS);
    expect(report.upstreamRequests).toBeGreaterThan(100);
    const observed = report.sessions.reduce((total, session) => total + session.observed.size, 0);
    expect(observed).toBeGreaterThan(100);
  });
});
