import { beforeAll, describe, expect, it } from 'vitest';
import { Relay } from '../../src/relay/relay.ts';
import type { SignedHead } from '../../src/rpc/relay-rpc.ts';
import type { KeyRing } from '../../src/signing/signing-keys.ts';
import { EdgeSnapshot, type Freshness } from '../../src/snapshot/snapshot-client.ts';
import { type Scenario, SCENARIOS } from './propagation-faults.ts';
import { type PropagationOptions, simulatePropagation } from './propagation.ts';
import { keysAtOnce } from './virtual-time.ts';

const seed = Number(process.env['SEED'] ?? Date.now() % 1_000_000_000);
let keys: KeyRing;

beforeAll(async () => {
  keys = await keysAtOnce();
  console.log(`seed ${seed}`);
});

const run = (scenario: Scenario, parts: PropagationOptions['parts'] = {}) =>
  simulatePropagation({ keys, scenario, seed, locations: 44, isolatesPerLocation: 2, seconds: 180, parts });

/** Answers for ever what it heard first. */
class DeafRelay extends Relay {
  #first: SignedHead | null = null;

  override async head(request: { readonly confirmedWithinMs: number }): Promise<SignedHead | null> {
    this.#first ??= await super.head(request);
    const first = this.#first;
    // It would even pass for fresh, if its word alone were taken.
    return first === null ? null : { ...first, asOfMs: Number.MAX_SAFE_INTEGER };
  }
}

/** Never says that it is too old. */
class AgelessEdge extends EdgeSnapshot {
  override freshness(): Freshness {
    const freshness = super.freshness();
    return freshness === 'stale' && this.epoch !== null ? 'unconfirmed' : freshness;
  }
}

/** Asks only when it must. */
class LazyEdge extends EdgeSnapshot {
  override async refresh(): Promise<void> {
    if (this.freshness() === 'stale') await super.refresh();
  }
}

function scenarioOf(name: string): Scenario {
  const found = SCENARIOS.find((scenario) => scenario.name === name);
  if (found === undefined) throw new Error(`there is no scenario "${name}"`);
  return found;
}

describe('a change', { timeout: 60_000 }, () => {
  it.each(SCENARIOS.map((scenario) => [scenario.name, scenario] as const))(
    'works everywhere in time: %s',
    async (_name, scenario) => {
      const { requests, lagsMs } = await run(scenario);
      expect(requests).toBeGreaterThan(1_000);
      expect(lagsMs.length).toBeGreaterThan(100);
    },
  );

  it('is not kept from edges by relays that do not tell it: they ask the control object', async () => {
    await run(scenarioOf('every push is lost'), { Relay: DeafRelay });
  });

  it('is seen to come too late where edges ask too seldom', async () => {
    await expect(run(scenarioOf('all is well'), { EdgeSnapshot: LazyEdge })).rejects.toThrow(
      'could have been heard of',
    );
  });

  it('is seen to come too late where edges never find themselves too old', async () => {
    const scenario = scenarioOf('the control object hangs for two minutes');
    await expect(run(scenario, { EdgeSnapshot: AgelessEdge })).rejects.toThrow('past the maximum age');
  });
});
