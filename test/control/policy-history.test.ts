import { describe, expect, it } from 'vitest';
import { forgettable, newsOf, stateOf } from '../../src/control/policy-history.ts';
import type { DeployedFile, PolicyVersion } from '../../src/rpc/policy-rpc.ts';

/** What happened, as `kind digest time`. */
function history(...events: readonly string[]): readonly PolicyVersion[] {
  return events.map((event) => {
    const [kind, digest = '', atMs] = event.split(' ');
    return { kind: kind as PolicyVersion['kind'], digest, atMs: Number(atMs), by: 'x', owner: null, reason: 'r' };
  });
}

describe('the policy that holds', () => {
  it.each<[string, readonly string[], string | null]>([
    ['none, before anything was heard of', [], null],
    ['the deployed file', ['deploy F1 10'], null],
    ["an operator's version", ['deploy F1 10', 'run-time R1 20'], 'R1'],
    ["an operator's later version", ['deploy F1 10', 'run-time R1 20', 'run-time R2 30'], 'R2'],
    ['the deployed file, once the version is let go', ['deploy F1 10', 'run-time R1 20', 'let-go F1 30'], null],
    ['the deployed file, if its deploy is newer', ['deploy F1 10', 'run-time R1 20', 'deploy F2 30'], null],
    ["an operator's version that is newer than a deploy heard of later", ['run-time R1 20', 'deploy F2 15'], 'R1'],
    ['the later one of two at the same time', ['run-time R1 20', 'deploy F2 20'], null],
  ])('is %s', (_what, events, runTime) => {
    const { newest } = stateOf(history(...events));
    expect(newest?.kind === 'run-time' ? newest.digest : null).toBe(runTime);
  });

  it('remembers which file was deployed last, whatever holds', () => {
    expect(stateOf(history('deploy F2 15', 'deploy F1 10', 'run-time R1 20')).deployed?.digest).toBe('F2');
  });
});

describe('what a Worker says it was deployed with', () => {
  const NOW_MS = 100;
  it.each<[string, readonly string[], DeployedFile, number | null]>([
    ['is news when it is the first', [], { digest: 'F1', deployedAtMs: 10 }, 10],
    ['is none when it is known', ['deploy F1 10'], { digest: 'F1', deployedAtMs: 30 }, null],
    ['is news when it is another and newer', ['deploy F1 10'], { digest: 'F2', deployedAtMs: 30 }, 30],
    ['is none from an older Worker that starts late', ['deploy F2 30'], { digest: 'F1', deployedAtMs: 10 }, null],
    ['is none from an older Worker of the same moment', ['deploy F2 30'], { digest: 'F1', deployedAtMs: 30 }, null],
    [
      'is news when an old file is deployed again',
      ['deploy F1 10', 'deploy F2 30'],
      { digest: 'F1', deployedAtMs: 50 },
      50,
    ],
    ['is never in the future', ['deploy F1 10'], { digest: 'F2', deployedAtMs: 1_000 }, NOW_MS],
    ['is news of this moment where no time is known', ['deploy F1 10'], { digest: 'F2', deployedAtMs: null }, NOW_MS],
    [
      'is none where no time is known and the file was there before',
      ['deploy F1 10', 'deploy F2 30'],
      { digest: 'F1', deployedAtMs: null },
      null,
    ],
    [
      'is news where only an operator had put the same text before',
      ['deploy F1 10', 'run-time F2 20'],
      { digest: 'F2', deployedAtMs: null },
      NOW_MS,
    ],
  ])('%s', (_what, events, file, atMs) => {
    expect(newsOf(history(...events), file, NOW_MS)).toBe(atMs);
  });
});

describe('what can be forgotten', () => {
  it('is nothing within the bound, and the oldest beyond it', () => {
    const four = history('deploy F1 10', 'run-time R1 20', 'run-time R2 30', 'deploy F2 40');
    expect(forgettable(four, 4)).toEqual([]);
    expect(forgettable(four, 2).map(({ digest }) => digest)).toEqual(['F1', 'R1']);
  });

  it('is never what decides', () => {
    const events = history('deploy F1 10', 'run-time R1 90', 'deploy F0 5', 'let-go F1 80');
    expect(forgettable(events, 1).map(({ digest }) => digest)).toEqual(['F0']);
  });
});
