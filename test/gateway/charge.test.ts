// The table "How a hold ends" of docs/ledger.md, row by row.
import { describe, expect, it } from 'vitest';
import { type Ending, settlementFor } from '../../src/gateway/charge.ts';
import { microUsd } from '../../src/money.ts';
import type { Reading } from '../../src/protocol/protocol.ts';
import type { Receipt, Usage } from '../../src/rpc/session-rpc.ts';

const receipt: Receipt = {
  generation: 1,
  id: 'r',
  microUsd: microUsd(10_000),
  tokens: 5_000,
  admittedAtMs: 0,
  purpose: { route: 'r', protocol: 'openai', model: 'm', action: 'a' },
};
const usage: Usage = {
  inputTokens: 100,
  outputTokens: 50,
  cacheReadTokens: 0,
  cacheWriteTokens: 0,
  reasoningTokens: 0,
};

const reading = (more: Partial<Reading> = {}): Reading => ({
  final: false,
  ended: false,
  failed: false,
  stated: null,
  statedMicroUsd: microUsd(0),
  statedTokens: 0,
  leastMicroUsd: microUsd(0),
  leastTokens: 0,
  outputTokensBound: 40,
  meteredMicroUsd: microUsd(2_000),
  meteredTokens: 900,
  hiddenOutput: false,
  servedModel: null,
  flags: [],
  ...more,
});
const final = reading({ final: true, ended: true, stated: usage, statedMicroUsd: microUsd(1_234), statedTokens: 150 });

const settle = (ending: Ending, read: Reading = reading()) => {
  const { costMicroUsd, tokens, estimated, reason } = settlementFor(receipt, read, ending, {
    outputMicroUsdPerMillion: 1_000_000,
  });
  return [costMicroUsd, tokens, estimated, reason];
};

describe('what a request is charged', () => {
  it.each<[string, Ending, Reading, unknown[]]>([
    ['usage read: its price', { how: 'completed' }, final, [1_234, 150, false, 'completed']],
    [
      'usage missing: the whole hold',
      { how: 'completed' },
      reading({ ended: true }),
      [10_000, 5_000, true, 'usage-missing'],
    ],
    [
      'an error status: nothing',
      { how: 'upstream-error', status: 503 },
      reading(),
      [0, 0, false, 'upstream-error-503'],
    ],
    [
      'the client aborts: metered and a margin',
      { how: 'cut', reason: 'client-aborted' },
      reading(),
      [2_064, 964, true, 'client-aborted'],
    ],
    [
      '… the whole hold where output is hidden',
      { how: 'cut', reason: 'client-aborted' },
      reading({ hiddenOutput: true }),
      [10_000, 5_000, true, 'client-aborted'],
    ],
    [
      '… the usage where it was already stated',
      { how: 'cut', reason: 'client-aborted' },
      final,
      [1_234, 150, false, 'client-aborted'],
    ],
    [
      '… never more than the hold',
      { how: 'cut', reason: 'cut-by-limit' },
      reading({ meteredMicroUsd: microUsd(99_999), meteredTokens: 99_999 }),
      [10_000, 5_000, true, 'cut-by-limit'],
    ],
    [
      'aborted unseen: the whole hold',
      { how: 'unseen', reason: 'client-aborted' },
      reading(),
      [10_000, 5_000, true, 'client-aborted'],
    ],
    [
      'the stream is lost: the whole hold',
      { how: 'lost', reason: 'stream-lost' },
      reading(),
      [10_000, 5_000, true, 'stream-lost'],
    ],
    [
      '… the usage where it was already final',
      { how: 'lost', reason: 'stream-lost' },
      final,
      [1_234, 150, false, 'stream-lost'],
    ],
  ])('%s', (_what, ending, read, expected) => {
    expect(settle(ending, read)).toEqual(expected);
  });

  it('counts the tokens that hosted tools were billed for beside the usage', () => {
    const withTools = { ...final, statedTokens: 1_110 };
    expect(settle({ how: 'completed' }, withTools)).toEqual([1_234, 1_110, false, 'completed']);
  });

  it('is at least what the same answer had stated before it was lowered', () => {
    const lowered = { ...final, flags: ['usage-lowered'], leastMicroUsd: microUsd(5_000), leastTokens: 700 };
    expect(settle({ how: 'completed' }, lowered)).toEqual([5_000, 700, true, 'completed']);
  });
});
