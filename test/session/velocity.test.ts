import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { NO_VELOCITY, allowance, counted, spentAllowance } from '../../src/session/velocity.ts';

const START_MS = 1_800_000_000_000;

describe('velocity', () => {
  it('never admits more than the limit in any 60 seconds, and its Retry-After is true', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 20 }),
        fc.array(fc.integer({ min: 0, max: 9_000 }), { maxLength: 200 }),
        (perMinute, gapsMs) => {
          let velocity = NO_VELOCITY;
          let nowMs = START_MS;
          const admittedMs: number[] = [];
          for (const gapMs of gapsMs) {
            nowMs += gapMs;
            const { remaining, retryAfterSeconds } = allowance(velocity, perMinute, nowMs);
            expect(remaining > 0).toBe(retryAfterSeconds === 0);
            if (retryAfterSeconds > 0) {
              expect(allowance(velocity, perMinute, nowMs + retryAfterSeconds * 1_000).remaining).toBeGreaterThan(0);
              continue;
            }
            velocity = counted(velocity, nowMs);
            admittedMs.push(nowMs);
            expect(admittedMs.filter((at) => at > nowMs - 60_000).length).toBeLessThanOrEqual(perMinute);
          }
          expect(velocity.buckets.length).toBeLessThanOrEqual(61);
        },
      ),
    );
  });

  it('starts empty after a crash, and comes back evenly', () => {
    const velocity = spentAllowance(60, START_MS);
    expect(allowance(velocity, 60, START_MS).remaining).toBe(0);
    expect(allowance(velocity, 60, START_MS + 31_000).remaining).toBe(30);
    expect(allowance(velocity, 60, START_MS + 61_000).remaining).toBe(60);
    expect(allowance(spentAllowance(1, START_MS), 1, START_MS).retryAfterSeconds).toBeGreaterThan(0);
  });
});
