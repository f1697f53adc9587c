import { describe, expect, it } from 'vitest';
import { drillPage } from '../../src/drill/drill-page.ts';
import { issuesOf, judged, type SeenStop, verdictOf } from '../../src/drill/drill-verdict.ts';

const seen: SeenStop = {
  stop: 'customer',
  target: 'acme',
  decided_at: '2026-01-01T00:00:00.000Z',
  refused_after_ms: 5_000,
  stream_cut_after_ms: 5_000,
  recovered_after_ms: 5_000,
  checks: [{ what: 'it worked before', passed: true, detail: 'ok' }],
};

describe('a stop', () => {
  it.each<[string, Partial<SeenStop>, boolean, boolean]>([
    ['within the goal', {}, true, true],
    ['just at the goal', { refused_after_ms: 10_000 }, true, true],
    ['past the goal', { refused_after_ms: 10_001 }, true, false],
    ['just as required', { stream_cut_after_ms: 60_000 }, true, false],
    ['past what is required', { stream_cut_after_ms: 60_001 }, false, false],
    ['never refused', { refused_after_ms: null }, false, false],
    ['its stream never cut', { stream_cut_after_ms: null }, false, false],
    ['never lifted', { recovered_after_ms: null }, false, false],
    ['a check that failed', { checks: [{ what: 'x', passed: false, detail: 'y' }] }, false, false],
    [
      'one session, final',
      { stop: 'session', refused_after_ms: 900, stream_cut_after_ms: 1_000, recovered_after_ms: null },
      true,
      true,
    ],
    [
      'one session, slow',
      { stop: 'session', refused_after_ms: 1_001, stream_cut_after_ms: 900, recovered_after_ms: null },
      true,
      false,
    ],
    [
      'a halt, without a stream',
      { stop: 'halt', refused_after_ms: 5, stream_cut_after_ms: null, recovered_after_ms: null },
      true,
      true,
    ],
  ])('%s', (_what, more, passed, withinGoal) => {
    const stop = judged({ ...seen, ...more });
    expect([stop.passed, stop.within_goal]).toEqual([passed, withinGoal]);
    expect(issuesOf([stop], []).length > 0).toBe(!withinGoal);
    expect(verdictOf([stop], [])).toEqual({ passed, within_goal: withinGoal });
  });
});

describe('the page', () => {
  it('says what failed, and makes nothing of what is written in it', () => {
    const stops = [judged({ ...seen, target: '<script>alert(1)</script>', refused_after_ms: null })];
    const html = drillPage({
      id: 'd1',
      started_at: '2026-01-01T00:00:00.000Z',
      finished_at: '2026-01-01T00:00:30.000Z',
      trigger: 'operator',
      by: 'ann',
      reason: '"><img src=x>',
      required_seconds: 60,
      goal_seconds: 10,
      session_goal_seconds: 1,
      method: 'm',
      stops,
      checks: [],
      ...verdictOf(stops, []),
      issues: issuesOf(stops, []),
      sign_off: null,
    });
    expect(html).toContain('Drill FAILED');
    expect(html).toContain('customer: the first refusal did not come within 60 s.');
    expect(html).not.toMatch(/<script|<img/);
  });
});
