import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { KillLevel, KillSwitch } from '../../src/rpc/kill-switch.ts';
import { type Bearing, matches, pulledAgainst, switchBoardOf, targetProblem } from '../../src/snapshot/kill-switch.ts';

const NOW = 1_000_000;

function pulled(level: KillLevel, target: string, more: Partial<KillSwitch> = {}): KillSwitch {
  return { level, target, namespace: 'live', untilMs: null, ...more };
}

function key({ level, target, namespace }: KillSwitch): string {
  return `${namespace}/${level}/${target}`;
}

const bearing: Bearing = {
  agent: 'billing-eu-7',
  customer: 'acme',
  segments: ['retail', 'vulnerable'],
  feature: 'refunds',
  namespace: 'live',
};

describe('targets', () => {
  it.each([
    ['global', 'all'],
    ['agent', 'billing-eu-7'],
    ['agent', 'billing-*'],
    ['feature', 'refunds'],
    ['feature', 'refunds@billing-eu-7'],
    ['feature', 'refunds@billing-*'],
    ['customer', 'acme'],
    ['segment', 'vulnerable'],
  ] as const)('takes %s/%s', (level, target) => {
    expect(targetProblem(level, target)).toBeNull();
  });

  it.each([
    ['global', 'everything'],
    ['global', ''],
    ['agent', '*'],
    ['agent', ''],
    ['agent', 'bil*ing'],
    ['agent', 'billing-**'],
    ['agent', 'billing/7'],
    ['agent', 'a'.repeat(129)],
    ['feature', '@billing-*'],
    ['feature', 'refunds@'],
    ['feature', 'refunds@*'],
    ['feature', 'refunds@a@b'],
    ['feature', 'refund*'],
    ['customer', 'acme*'],
    ['segment', 'a b'],
    ['segment', 'ünïcode'],
  ] as const)('refuses %s/%s', (level, target) => {
    expect(targetProblem(level, target)).not.toBeNull();
  });
});

describe('what a switch stops', () => {
  it.each([
    ['global', 'all', true],
    ['agent', 'billing-eu-7', true],
    ['agent', 'billing-eu-70', false],
    ['agent', 'billing-*', true],
    ['agent', 'billing-eu-7*', true],
    ['agent', 'support-*', false],
    ['feature', 'refunds', true],
    ['feature', 'chat', false],
    ['feature', 'refunds@billing-eu-7', true],
    ['feature', 'refunds@billing-*', true],
    ['feature', 'refunds@support-*', false],
    ['feature', 'chat@billing-*', false],
    ['customer', 'acme', true],
    ['customer', 'acm', false],
    ['segment', 'retail', true],
    ['segment', 'vulnerable', true],
    ['segment', 'private', false],
  ] as const)('%s/%s: %s', (level, target, stops) => {
    const found = pulledAgainst(switchBoardOf([pulled(level, target)]), bearing, NOW);
    expect(found?.target ?? null).toBe(stops ? target : null);
  });

  it('stops nothing of another namespace, global included', () => {
    const drill = switchBoardOf([pulled('global', 'all', { namespace: 'drill' })]);
    expect(pulledAgainst(drill, bearing, NOW)).toBeNull();
    expect(pulledAgainst(drill, { ...bearing, namespace: 'drill' }, NOW)).not.toBeNull();
  });

  it('stops nothing from its end on', () => {
    const board = switchBoardOf([pulled('customer', 'acme', { untilMs: NOW })]);
    expect(pulledAgainst(board, bearing, NOW - 1)).not.toBeNull();
    expect(pulledAgainst(board, bearing, NOW)).toBeNull();
  });

  it('goes on looking where the first one has ended', () => {
    const board = switchBoardOf([pulled('global', 'all', { untilMs: NOW }), pulled('segment', 'retail')]);
    expect(pulledAgainst(board, bearing, NOW)?.level).toBe('segment');
  });

  it('finds, among many, what looking at each would find', () => {
    const word = fc.constantFrom('a', 'b', 'ab', 'abc');
    const agent = fc.oneof(
      word,
      word.map((prefix) => `${prefix}*`),
    );
    const anySwitch = fc
      .oneof(
        fc.record({ level: fc.constant('global' as const), target: fc.constant('all') }),
        fc.record({ level: fc.constant('agent' as const), target: agent }),
        fc.record({
          level: fc.constant('feature' as const),
          target: fc.tuple(word, fc.option(agent)).map(([feature, of]) => (of === null ? feature : `${feature}@${of}`)),
        }),
        fc.record({ level: fc.constantFrom('customer' as const, 'segment' as const), target: word }),
      )
      .chain((named) =>
        fc.record({
          level: fc.constant(named.level),
          target: fc.constant(named.target),
          namespace: fc.constantFrom('live' as const, 'drill' as const),
          untilMs: fc.option(fc.integer({ min: NOW - 2, max: NOW + 2 })),
        }),
      );
    const anyBearing = fc.record({
      agent: word,
      customer: fc.option(word),
      segments: fc.uniqueArray(word),
      feature: fc.option(word),
      namespace: fc.constantFrom('live' as const, 'drill' as const),
    });
    fc.assert(
      fc.property(fc.uniqueArray(anySwitch, { selector: key }), anyBearing, (switches, of) => {
        const naive = switches.some((one) => (one.untilMs === null || one.untilMs > NOW) && matches(one, of));
        const found = pulledAgainst(switchBoardOf(switches), of, NOW);
        expect(found !== null).toBe(naive);
        if (found !== null) expect(matches(found, of)).toBe(true);
      }),
    );
  });
});
