// Requests per minute, exactly: never more than the limit in any 60 seconds. Counts in one-second buckets, so the state
// stays small enough to ride in every commit; the window it refuses by is at most one second longer than a minute.

const WINDOW_SECONDS = 60;

/** Admitted requests by second, oldest first; only seconds with any. `total` is their sum, expired ones included. */
export interface Velocity {
  readonly buckets: readonly (readonly [second: number, count: number])[];
  readonly total: number;
}

export const NO_VELOCITY: Velocity = { buckets: [], total: 0 };

export interface Allowance {
  readonly remaining: number;
  /** Whole seconds until one more request fits; 0 when one fits now. */
  readonly retryAfterSeconds: number;
  /** Whole seconds until the whole window is clear. */
  readonly resetSeconds: number;
}

/** What a limit of `perMinute` leaves at `nowMs`. */
export function allowance(velocity: Velocity, perMinute: number, nowMs: number): Allowance {
  const now = Math.floor(nowMs / 1_000);
  const { buckets: live, total: used } = withinWindow(velocity, now);
  const newest = live.at(-1);
  const resetSeconds = newest === undefined ? 0 : secondsUntilClear(newest[0], now);
  if (used < perMinute) return { remaining: perMinute - used, retryAfterSeconds: 0, resetSeconds };
  let freed = 0;
  for (const [second, count] of live) {
    freed += count;
    if (used - freed < perMinute)
      return { remaining: 0, retryAfterSeconds: secondsUntilClear(second, now), resetSeconds };
  }
  return { remaining: 0, retryAfterSeconds: WINDOW_SECONDS, resetSeconds };
}

/** The velocity after one more admitted request. */
export function counted(velocity: Velocity, nowMs: number): Velocity {
  const now = Math.floor(nowMs / 1_000);
  const { buckets: live, total } = withinWindow(velocity, now);
  const newest = live.at(-1);
  const others = newest !== undefined && newest[0] >= now ? live.slice(0, -1) : live;
  const current: readonly [number, number] =
    newest !== undefined && newest[0] >= now ? [newest[0], newest[1] + 1] : [now, 1];
  return { buckets: [...others, current], total: total + 1 };
}

/**
 * After a crash nobody knows what the last seconds admitted: the allowance starts empty and comes back evenly over the
 * next minute, as if `perMinute` requests had been spread over the last one.
 */
export function spentAllowance(perMinute: number, nowMs: number): Velocity {
  const now = Math.floor(nowMs / 1_000);
  const buckets: [number, number][] = [];
  let total = 0;
  for (let age = WINDOW_SECONDS - 1; age >= 0; age -= 1) {
    const upTo = (index: number): number => Math.floor((perMinute * index) / WINDOW_SECONDS);
    const count = upTo(WINDOW_SECONDS - age) - upTo(WINDOW_SECONDS - age - 1);
    if (count === 0) continue;
    buckets.push([now - age, count]);
    total += count;
  }
  return { buckets, total };
}

/** Without the seconds that no longer count; the same object where all do. */
function withinWindow(velocity: Velocity, now: number): Velocity {
  const { buckets } = velocity;
  const oldest = buckets[0];
  if (oldest === undefined || oldest[0] > now - WINDOW_SECONDS - 1) return velocity;
  const live = buckets.filter(([second]) => second > now - WINDOW_SECONDS - 1);
  return { buckets: live, total: live.reduce((sum, [, count]) => sum + count, 0) };
}

/** A request in second `s` may have come at its very end, so it counts until second `s + 61` begins. */
function secondsUntilClear(second: number, now: number): number {
  return second + WINDOW_SECONDS + 1 - now;
}
