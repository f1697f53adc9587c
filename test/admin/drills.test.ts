// When a drill is run by itself, and what is said where it is not. The drill itself is tried against the running gateway.
import { describe, expect, it } from 'vitest';
import { drillWhenDue } from '../../src/admin/drills.ts';
import type { AdminParts } from '../../src/admin/route.ts';
import type { ControlRpc } from '../../src/rpc/control-rpc.ts';
import type { DrillReport } from '../../src/rpc/drill-rpc.ts';

const NOW_MS = Date.parse('2026-06-30T04:17:00Z');
const DAY_MS = 86_400_000;

async function daily(options: { everyDays: number; lastMs: number | null; broken?: boolean }) {
  const calls: string[] = [];
  const logged: unknown[] = [];
  const last = { finished_at: new Date(options.lastMs ?? 0).toISOString() } as DrillReport;
  const control: Pick<ControlRpc, 'drills' | 'beginDrill'> = {
    async drills() {
      if (options.broken === true) throw new Error('overloaded');
      return options.lastMs === null ? [] : [last];
    },
    async beginDrill({ trigger, act }) {
      calls.push(`${trigger}: ${act.reason}`);
      return { begun: false, running: 'another' };
    },
  };
  const parts: Partial<AdminParts> = {
    control: control as ControlRpc,
    config: { halted: false } as AdminParts['config'],
    policy: () => ({ drills: { everyDays: options.everyDays } }) as ReturnType<AdminParts['policy']>,
    now: () => NOW_MS,
    newId: () => 'd1',
    log: (entry) => logged.push(entry),
  };
  await drillWhenDue(parts as AdminParts, () => undefined);
  return { calls, logged };
}

describe('once a day', () => {
  it.each([
    ["waits for the first one, which is an operator's", { everyDays: 30, lastMs: null }, false],
    ['is run when it is due', { everyDays: 30, lastMs: NOW_MS - 30 * DAY_MS }, true],
    [
      'is run though the trigger came some minutes early',
      { everyDays: 30, lastMs: NOW_MS - 30 * DAY_MS + 600_000 },
      true,
    ],
    ['waits until it is due', { everyDays: 30, lastMs: NOW_MS - 29 * DAY_MS }, false],
    ['is never run where the policy wants none', { everyDays: 0, lastMs: null }, false],
  ])('a drill %s', async (_what, options, isRun) => {
    const { calls } = await daily(options);
    expect(calls).toEqual(isRun ? ['schedule: due every 30 days'] : []);
  });

  it('an alert says that it could not be run', async () => {
    const { logged } = await daily({ everyDays: 30, lastMs: null, broken: true });
    expect(logged).toMatchObject([{ event: 'drill.not-run', alert: true }]);
  });
});
