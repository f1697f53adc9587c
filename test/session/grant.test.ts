import { describe, expect, it } from 'vitest';
import { leastUsefulOf, sizeGrant } from '../../src/session/grant.ts';
import type { Demand, OutputDemand } from '../../src/rpc/session-rpc.ts';
import { microUsd } from '../../src/money.ts';

const output = (more: Partial<OutputDemand> = {}): OutputDemand => ({
  microUsdPerMillion: 10_000_000,
  askedTokens: 1_000,
  floorTokens: 1,
  firstTokens: 1_000,
  choices: 1,
  ...more,
});
const demand = (more: Partial<Demand> = {}): Demand => ({
  fixedMicroUsd: microUsd(100),
  inputTokens: 50,
  output: output(),
  ...more,
});
const size = (
  asked: Demand,
  left: { microUsd?: number; tokens?: number } = {},
  tokensPerRequest: number | null = null,
) =>
  sizeGrant({
    demand: asked,
    left: { microUsd: 1_000_000, tokens: 1_000_000, ...left },
    leastUseful: { microUsd: 1, tokens: 1 },
    tokensPerRequest,
  });

describe('a grant', () => {
  it('holds input, fees and the ceiling that was asked for', () => {
    expect(size(demand())).toEqual({
      outcome: 'granted',
      hold: { microUsd: 10_100, tokens: 1_050 },
      outputTokens: 1_000,
    });
  });

  it('is clamped to what the money left pays for, to the token', () => {
    expect(size(demand(), { microUsd: 5_109 })).toEqual({
      outcome: 'granted',
      hold: { microUsd: 5_100, tokens: 550 },
      outputTokens: 500,
    });
  });

  it('is clamped to the tokens left, and to the cap of one request', () => {
    expect(size(demand(), { tokens: 300 })).toMatchObject({ outputTokens: 250 });
    expect(size(demand(), {}, 200)).toMatchObject({ outputTokens: 150 });
  });

  it('is a multiple of the number of choices', () => {
    const three = demand({ output: output({ choices: 3, floorTokens: 3, askedTokens: 3_000, firstTokens: 3_000 }) });
    expect(size(three, { microUsd: 5_109 })).toMatchObject({ outputTokens: 498 });
  });

  it('holds only the first part of a stream, and grants the whole ceiling', () => {
    expect(size(demand({ output: output({ firstTokens: 100 }) }))).toEqual({
      outcome: 'granted',
      hold: { microUsd: 1_100, tokens: 150 },
      outputTokens: 1_000,
    });
  });

  it('is refused where not even the floor fits', () => {
    expect(size(demand({ output: output({ floorTokens: 600 }) }), { microUsd: 6_099 })).toMatchObject({
      outcome: 'too-big',
      dimension: 'spend',
    });
    expect(size(demand(), { tokens: 50 })).toMatchObject({ outcome: 'too-big', dimension: 'tokens' });
    expect(size(demand(), {}, 50)).toEqual({ outcome: 'over-request-cap', neededTokens: 51, capTokens: 50 });
  });

  it.each([
    [{ microUsd: 1_000_000, tokens: 1_000_000 }, null, { microUsd: 10_000, tokens: 1_000 }],
    [{ microUsd: 100, tokens: 10 }, null, { microUsd: 1, tokens: 1 }],
    [{ microUsd: 0, tokens: 0 }, null, { microUsd: 1, tokens: 1 }],
    [{ microUsd: 1_000_000, tokens: 5_000 }, 500_000, { microUsd: 100_000, tokens: 50 }],
    [{ microUsd: 1_000_000, tokens: 5_000 }, 7, { microUsd: 7, tokens: 50 }],
  ])('least useful of %o with %s configured', (limit, configured, expected) => {
    expect(leastUsefulOf(limit, configured)).toEqual(expected);
  });
});
