import { describe, expect, it } from 'vitest';
import { DenialReports, type Refusal } from '../../src/gateway/denial-reports.ts';
import type { DenialReport, SessionRpc } from '../../src/rpc/session-rpc.ts';

const NOW_MS = 1_800_000_000_000;

function world(denied: (report: DenialReport) => Promise<void> = async () => undefined) {
  const told: { readonly session: string; readonly report: DenialReport }[] = [];
  const logged: unknown[] = [];
  const sleeping: (() => void)[] = [];
  const kept: Promise<unknown>[] = [];
  let nowMs = NOW_MS;
  const reports = new DenialReports({
    session: (session) => {
      const rpc: Pick<SessionRpc, 'denied'> = {
        denied: async (report) => {
          await denied(report);
          told.push({ session, report });
        },
      };
      return rpc as SessionRpc;
    },
    now: () => (nowMs += 1),
    sleep: () => new Promise((resolve) => sleeping.push(resolve)),
    log: (entry) => logged.push(entry),
  });
  const refusal: Refusal = { session: 'fusebox~s1', code: 'scope-denied', route: 'tickets', requestId: 'r1' };
  return {
    told,
    logged,
    note: (more: Partial<Refusal> = {}) => reports.note({ ...refusal, ...more }, (work) => kept.push(work)),
    async windowsEnd() {
      await new Promise((resolve) => setTimeout(resolve, 0));
      for (const wake of sleeping.splice(0)) wake();
      await Promise.all(kept.splice(0));
    },
  };
}

describe('what an isolate refuses by itself', () => {
  it('is told at once, and once more with the count of what repeats it', async () => {
    const { told, ...isolate } = world();
    for (let count = 0; count < 500; count += 1) isolate.note({ requestId: `r${count}` });
    await isolate.windowsEnd();
    expect(told.map(({ report }) => [report.id, report.count])).toEqual([
      ['r0', 1],
      ['r0', 499],
    ]);
    isolate.note({ requestId: 'later' });
    await isolate.windowsEnd();
    expect(told.slice(2).map(({ report }) => [report.id, report.count])).toEqual([['later', 1]]);
  });

  it.each([
    ['session', { session: 'fusebox~s2' }],
    ['code', { code: 'kill-switch-active' as const }],
    ['route', { route: 'openai' }],
  ])('is told apart by its %s', async (_what, other) => {
    const { told, ...isolate } = world();
    isolate.note();
    isolate.note(other);
    await isolate.windowsEnd();
    expect(told.map(({ report }) => report.count)).toEqual([1, 1]);
  });

  it('is logged where the session cannot be told', async () => {
    const { logged, ...isolate } = world(() => Promise.reject(new Error('overloaded')));
    isolate.note();
    isolate.note();
    await isolate.windowsEnd();
    expect(logged).toMatchObject([
      { event: 'denial.report-failed', session: 'fusebox~s1', count: 1 },
      { event: 'denial.report-failed', session: 'fusebox~s1', count: 1 },
    ]);
  });
});
