import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Denial } from '../../src/denial.ts';
import { AnswerGuard } from '../../src/gateway/answer-guard.ts';

const REVOKED: Denial = { code: 'session-revoked', detail: 'revoked' };
const STOPPED: Denial = { code: 'kill-switch-active', detail: 'stopped' };

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

interface Guarded {
  readonly guard: AnswerGuard;
  readonly cuts: Denial[];
  readonly counts: { watched: number; refreshed: number; ticked: number };
  known: Denial | null;
}

function guarded(watch: () => Promise<Denial | null>): Guarded {
  const cuts: Denial[] = [];
  const counts = { watched: 0, refreshed: 0, ticked: 0 };
  const guard = new AnswerGuard({
    screen: { against: () => seen.known, keepFresh: () => void (counts.refreshed += 1) },
    watch: () => {
      counts.watched += 1;
      return watch();
    },
    cut: (denial) => cuts.push(denial),
    tick: () => void (counts.ticked += 1),
  });
  const seen: Guarded = { guard, cuts, counts, known: null };
  return seen;
}

const never = (): Promise<null> => new Promise(() => undefined);

describe('an answer under way', () => {
  it('is watched well within the second in which a revocation has to cut it', async () => {
    const { cuts, counts } = guarded(async () => REVOKED);
    await vi.advanceTimersByTimeAsync(500);
    expect([cuts, counts.watched]).toEqual([[REVOKED], 1]);
    await vi.advanceTimersByTimeAsync(5_000);
    expect([cuts, counts.watched]).toEqual([[REVOKED], 1]);
  });

  it('is not watched where it ends in a moment', async () => {
    const { guard, counts } = guarded(async () => REVOKED);
    await vi.advanceTimersByTimeAsync(100);
    guard.stop();
    await vi.advanceTimersByTimeAsync(5_000);
    expect(counts).toEqual({ watched: 0, refreshed: 0, ticked: 0 });
  });

  it('is cut once by what the isolate hears of meanwhile, and asks for news each second until then', async () => {
    const seen = guarded(never);
    await vi.advanceTimersByTimeAsync(3_500);
    expect(seen.counts).toEqual({ watched: 1, refreshed: 3, ticked: 3 });
    seen.known = STOPPED;
    await vi.advanceTimersByTimeAsync(5_000);
    expect(seen.cuts).toEqual([STOPPED]);
    expect(seen.counts).toEqual({ watched: 1, refreshed: 4, ticked: 3 });
  });

  it('is not cut by an answer that comes after its end', async () => {
    const late = Promise.withResolvers<Denial>();
    const { guard, cuts } = guarded(() => late.promise);
    await vi.advanceTimersByTimeAsync(500);
    guard.stop();
    late.resolve(REVOKED);
    await vi.advanceTimersByTimeAsync(500);
    expect(cuts).toEqual([]);
  });
});
