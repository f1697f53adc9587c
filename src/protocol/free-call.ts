// Calls whose price is known before they are made: free endpoints, and tools with a fee. Nothing in their answers is
// metered.
import { microUsd, type MicroUsd } from '../money.ts';
import type { Call, Meter, Reading, RouteRequest } from './protocol.ts';

/** A call that costs `microUsd` whatever it answers, sent as it was received. */
export function fixedPriceCall(options: {
  readonly request: RouteRequest;
  readonly action: string;
  readonly scopes: readonly string[];
  readonly model: string | null;
  readonly microUsd: MicroUsd;
}): Call {
  const { request } = options;
  return {
    action: options.action,
    scopes: options.scopes,
    model: options.model,
    stream: false,
    demand: { fixedMicroUsd: options.microUsd, inputTokens: 0, output: null },
    write: () => ({ path: request.path, query: request.query, body: request.body, clamped: null }),
    meter: () => fixedPriceMeter(options.microUsd),
  };
}

/** Its reading is final and ended from the start, so that answers pass without being held or parsed. */
function fixedPriceMeter(price: MicroUsd): Meter {
  return {
    event: () => 'pass',
    answer: () => undefined,
    reading: (): Reading => ({
      final: true,
      ended: true,
      failed: false,
      stated: null,
      statedMicroUsd: price,
      statedTokens: 0,
      leastMicroUsd: microUsd(0),
      leastTokens: 0,
      outputTokensBound: 0,
      meteredMicroUsd: price,
      meteredTokens: 0,
      hiddenOutput: false,
      servedModel: null,
      flags: [],
    }),
  };
}
