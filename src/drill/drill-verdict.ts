// Judges what a drill saw: each stop against the time it may take and the time it should take, and what is to be put
// right. Pure.
import type { DrillCheck, DrilledStop, DrillReport } from '../rpc/drill-rpc.ts';

/** A kill switch has to work within this. */
export const REQUIRED_SECONDS = 60;
/** It should within this. */
export const GOAL_SECONDS = 10;
/** The revocation of one session should within this: its own object refuses it. */
export const SESSION_GOAL_SECONDS = 1;

export type SeenStop = Omit<DrilledStop, 'passed' | 'within_goal'>;

/** A stop passes when the refusal, the cut stream and the recovery came in the time required, and all its checks passed. */
export function judged(seen: SeenStop): DrilledStop {
  const goalSeconds = seen.stop === 'session' || seen.stop === 'halt' ? SESSION_GOAL_SECONDS : GOAL_SECONDS;
  const times = timesOf(seen);
  const within = (seconds: number): boolean => times.every(({ ms }) => ms !== null && ms <= seconds * 1_000);
  const checked = seen.checks.every(({ passed }) => passed);
  return { ...seen, passed: checked && within(REQUIRED_SECONDS), within_goal: checked && within(goalSeconds) };
}

/** One sentence for each thing that was not as it has to be, or not as fast as it should be. */
export function issuesOf(stops: readonly DrilledStop[], checks: readonly DrillCheck[]): string[] {
  return [...stops.flatMap((stop) => [...failed(`${stop.stop}: `, stop.checks), ...late(stop)]), ...failed('', checks)];
}

function failed(of: string, checks: readonly DrillCheck[]): string[] {
  return checks.filter(({ passed }) => !passed).map(({ what, detail }) => `${of}${what}: ${detail}.`);
}

export function verdictOf(
  stops: readonly DrilledStop[],
  checks: readonly DrillCheck[],
): Pick<DrillReport, 'passed' | 'within_goal'> {
  const checked = checks.every(({ passed }) => passed);
  return {
    passed: checked && stops.every(({ passed }) => passed),
    within_goal: checked && stops.every((stop) => stop.within_goal),
  };
}

/** The times that a stop is judged by. What is final does not recover, and a halt is drilled without a stream. */
function timesOf({
  stop,
  refused_after_ms,
  stream_cut_after_ms,
  recovered_after_ms,
}: SeenStop): { what: string; ms: number | null }[] {
  const refused = { what: 'the first refusal', ms: refused_after_ms };
  if (stop === 'halt') return [refused];
  const cut = { what: 'the end of the stream', ms: stream_cut_after_ms };
  return stop === 'session' ? [refused, cut] : [refused, cut, { what: 'the recovery', ms: recovered_after_ms }];
}

function late(stop: DrilledStop): string[] {
  const goalSeconds = stop.stop === 'session' || stop.stop === 'halt' ? SESSION_GOAL_SECONDS : GOAL_SECONDS;
  return timesOf(stop).flatMap(({ what, ms }) => {
    if (ms === null) return [`${stop.stop}: ${what} did not come within ${REQUIRED_SECONDS} s.`];
    if (ms > REQUIRED_SECONDS * 1_000)
      return [`${stop.stop}: ${what} took ${ms} ms, and may take ${REQUIRED_SECONDS} s.`];
    return ms > goalSeconds * 1_000 ? [`${stop.stop}: ${what} took ${ms} ms, and should take ${goalSeconds} s.`] : [];
  });
}
