// What the write-ahead block is measured by: the gross holds of the last two seconds and the one under way.
import { BLOCK_WINDOW_MS } from '../limits.ts';
import { type Amounts, NOTHING, plus } from './amounts.ts';

/** Gross holds of the current second, the one before it, and the one before that. */
export interface RecentHolds {
  readonly second: number;
  readonly gross: readonly [Amounts, Amounts, Amounts];
}

export const NO_RECENT_HOLDS: RecentHolds = { second: 0, gross: [NOTHING, NOTHING, NOTHING] };

const SECOND_MS = BLOCK_WINDOW_MS / 2;

export function withHold(recent: RecentHolds, amounts: Amounts, nowMs: number): RecentHolds {
  const { second, gross } = asOf(recent, nowMs);
  const [current, before, earlier] = gross;
  return { second, gross: [plus(current, amounts), before, earlier] };
}

export function grossOf(recent: RecentHolds, nowMs: number): Amounts {
  return asOf(recent, nowMs).gross.reduce(plus, NOTHING);
}

function asOf(recent: RecentHolds, nowMs: number): RecentHolds {
  const second = Math.floor(nowMs / SECOND_MS);
  const [current, before] = recent.gross;
  switch (Math.max(0, second - recent.second)) {
    case 0:
      return recent;
    case 1:
      return { second, gross: [NOTHING, current, before] };
    case 2:
      return { second, gross: [NOTHING, NOTHING, current] };
    default:
      return { ...NO_RECENT_HOLDS, second };
  }
}
