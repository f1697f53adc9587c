import { describe, expect, it } from 'vitest';
import { inForce, lift, pull } from '../../src/control/kill-switches.ts';
import { LIFT_CONFIRM_WITHIN_MS } from '../../src/limits.ts';
import type { PulledSwitch, SwitchAct } from '../../src/rpc/kill-switch.ts';

const NOW = 1_000_000;

function person(owner: string, roles: readonly string[] = ['operator'], by = `${owner}-1`): SwitchAct {
  return { by, owner, roles, reason: `says ${owner}` };
}

const GLOBAL = { level: 'global', target: 'all', namespace: 'live' } as const;
const CUSTOMER = { level: 'customer', target: 'acme', namespace: 'live' } as const;

function pulled(name: typeof GLOBAL | typeof CUSTOMER, untilMs: number | null = null): PulledSwitch {
  return pull(null, { ...name, untilMs, act: person('ann') }, NOW);
}

/** The lift of a global switch as ann asked for it at NOW. */
function askedFor(): PulledSwitch {
  const asked = lift(pulled(GLOBAL), person('ann'), NOW);
  if (asked.outcome !== 'requested') throw new Error(`it was ${asked.outcome}`);
  return asked.pulledSwitch;
}

describe('pulling', () => {
  it('keeps who, why and when', () => {
    expect(pulled(CUSTOMER, NOW + 5)).toEqual({
      ...CUSTOMER,
      untilMs: NOW + 5,
      by: 'ann-1',
      owner: 'ann',
      reason: 'says ann',
      atMs: NOW,
      lift: null,
    });
  });

  it.each([
    ['a later end', 5, 9, 9],
    ['an earlier end', 9, 5, 9],
    ['no end after one', 5, null, null],
    ['an end after none', null, 5, null],
  ])('again with %s never makes it weaker', (_what, firstMs, secondMs, keptMs) => {
    const at = (ms: number | null): number | null => (ms === null ? null : NOW + ms);
    const again = pull(
      pulled(CUSTOMER, at(firstMs)),
      { ...CUSTOMER, untilMs: at(secondMs), act: person('bob') },
      NOW + 1,
    );
    expect(again.untilMs).toBe(at(keptMs));
    expect([again.by, again.reason, again.atMs]).toEqual(['ann-1', 'says ann', NOW]);
  });

  it('after its end is a new one', () => {
    const again = pull(pulled(CUSTOMER, NOW + 5), { ...CUSTOMER, untilMs: null, act: person('bob') }, NOW + 5);
    expect([again.by, again.atMs]).toEqual(['bob-1', NOW + 5]);
  });

  it('again makes a lift that waits for its second person count for nothing', () => {
    expect(pull(askedFor(), { ...GLOBAL, untilMs: null, act: person('bob') }, NOW + 1).lift).toBeNull();
  });
});

describe('lifting', () => {
  it('of any but a global one takes one operator', () => {
    expect(lift(pulled(CUSTOMER), person('ann'), NOW).outcome).toBe('lifted');
  });

  it('begins with an operator: an approver alone lifts nothing', () => {
    const answers = [pulled(CUSTOMER), pulled(GLOBAL)].map((one) => lift(one, person('bob', ['approver']), NOW));
    expect(answers).toEqual([
      { outcome: 'refused', why: 'not-operator' },
      { outcome: 'refused', why: 'not-operator' },
    ]);
  });

  it.each([
    ['another person who approves', person('bob', ['approver']), 'lifted'],
    ['another person with both roles', person('bob', ['operator', 'approver']), 'lifted'],
    ['another operator who may not approve', person('bob', ['operator']), 'not-approver'],
    ['the same token', person('ann', ['operator', 'approver'], 'ann-1'), 'same-person'],
    ['the same person under another token', person('ann', ['approver'], 'ann-2'), 'same-person'],
    ['the same person, spelled otherwise', person(' Ann ', ['approver'], 'access'), 'same-person'],
  ])('of a global one, confirmed by %s', (_who, act, outcome) => {
    const answer = lift(askedFor(), act, NOW + LIFT_CONFIRM_WITHIN_MS - 1);
    expect(answer.outcome === 'refused' ? answer.why : answer.outcome).toBe(outcome);
  });

  it('takes one subject of an identity provider for one person, whatever the address', () => {
    const asked = lift(pulled(GLOBAL), { ...person('ann@acme.example'), subject: 'sub-1' }, NOW);
    if (asked.outcome !== 'requested') throw new Error(asked.outcome);
    const alias = { ...person('ann.smith@acme.example', ['approver']), subject: 'sub-1' };
    expect(lift(asked.pulledSwitch, alias, NOW)).toEqual({ outcome: 'refused', why: 'same-person' });
    expect(lift(asked.pulledSwitch, { ...alias, subject: 'sub-2' }, NOW).outcome).toBe('lifted');
  });

  it('of a global one has to be asked for again once the time to confirm is over', () => {
    const late = NOW + LIFT_CONFIRM_WITHIN_MS;
    expect(inForce(askedFor(), late)?.lift).toBeNull();
    expect(lift(askedFor(), person('bob', ['approver']), late)).toEqual({ outcome: 'refused', why: 'not-operator' });
    const again = lift(askedFor(), person('bob'), late);
    expect(again.outcome === 'requested' ? again.pulledSwitch.lift?.owner : again.outcome).toBe('bob');
  });
});
