// What an admitted request is charged, by how it ended: the table of docs/ledger.md as one pure function. The ledger
// itself then bounds the charge by the hold.
import type { Denial, DenialCode } from '../denial.ts';
import { microUsd, priceOf } from '../money.ts';
import type { Reading } from '../protocol/protocol.ts';
import type { Receipt, Settlement } from '../rpc/session-rpc.ts';

export type Ending =
  /** The whole answer came. */
  | { readonly how: 'completed' }
  /** The provider answered with an error status, which it does not bill. */
  | { readonly how: 'upstream-error'; readonly status: number }
  /** Cut between two events: the client went away, or Fusebox ended the stream. The upstream was aborted with it. */
  | { readonly how: 'cut'; readonly reason: 'client-aborted' | CutReason }
  /** The same, before anything of the answer could be seen. */
  | {
      readonly how: 'unseen';
      readonly reason: 'client-aborted' | 'upstream-timeout' | 'stream-lost' | 'gateway-error' | CutReason;
    }
  /** The upstream broke off, stalled or sent what cannot be read. */
  | { readonly how: 'lost'; readonly reason: 'stream-lost' | 'upstream-timeout' | 'answer-too-large' };

type CutReason = 'cut-by-limit' | 'cut-by-revocation' | 'cut-by-kill-switch' | 'cut-unwatched';

const CUT_REASONS: { readonly [code in DenialCode]?: CutReason } = {
  'enforcement-unavailable': 'cut-unwatched',
  'kill-switch-active': 'cut-by-kill-switch',
  'spend-limit-exceeded': 'cut-by-limit',
  'token-limit-exceeded': 'cut-by-limit',
  'spend-held': 'cut-by-limit',
};

/** Why Fusebox ended an answer, as its ledger entry says it. */
export function cutReason({ code }: Denial): CutReason {
  return CUT_REASONS[code] ?? 'cut-by-revocation';
}

/** Tokens that may have been generated and not yet seen when a stream is cut. */
const CUT_MARGIN_TOKENS = 64;

/** Marks of a usage that says less than the same answer had said or shown before. */
const LOWERED: ReadonlySet<string> = new Set(['usage-lowered', 'usage-repeated', 'usage-implausible']);

/** `outputMicroUsdPerMillion` prices the margin; 0 where nothing is generated. */
export function settlementFor(
  receipt: Receipt,
  reading: Reading,
  ending: Ending,
  options: { readonly outputMicroUsdPerMillion: number },
): Settlement {
  const known = {
    receipt,
    usage: reading.stated,
    model: reading.servedModel,
    flags: reading.flags,
  };
  const fullHold = (reason: string): Settlement => ({
    ...known,
    costMicroUsd: receipt.microUsd,
    tokens: receipt.tokens,
    estimated: true,
    reason,
  });
  const stated = (reason: string): Settlement => {
    if (!reading.flags.some((flag) => LOWERED.has(flag))) {
      return { ...known, costMicroUsd: reading.statedMicroUsd, tokens: reading.statedTokens, estimated: false, reason };
    }
    return {
      ...known,
      costMicroUsd: microUsd(Math.max(reading.statedMicroUsd, reading.leastMicroUsd)),
      tokens: Math.max(reading.statedTokens, reading.leastTokens),
      estimated: true,
      reason,
    };
  };

  switch (ending.how) {
    case 'upstream-error':
      return {
        ...known,
        costMicroUsd: microUsd(0),
        tokens: 0,
        estimated: false,
        reason: `upstream-error-${ending.status}`,
      };
    case 'completed':
      return reading.final ? stated('completed') : fullHold('usage-missing');
    case 'cut':
      if (reading.final) return stated(ending.reason);
      if (reading.hiddenOutput) return fullHold(ending.reason);
      return {
        ...known,
        ...meteredCharge(receipt, reading, options.outputMicroUsdPerMillion),
        estimated: true,
        reason: ending.reason,
      };
    case 'lost':
      return reading.final ? stated(ending.reason) : fullHold(ending.reason);
    case 'unseen':
      return fullHold(ending.reason);
  }
}

/** Input, what was metered, and the margin, as far as the hold reaches. */
function meteredCharge(receipt: Receipt, reading: Reading, rate: number): Pick<Settlement, 'costMicroUsd' | 'tokens'> {
  const cost = reading.meteredMicroUsd + priceOf(CUT_MARGIN_TOKENS, rate);
  return {
    costMicroUsd: microUsd(Math.min(receipt.microUsd, cost)),
    tokens: Math.min(receipt.tokens, reading.meteredTokens + CUT_MARGIN_TOKENS),
  };
}
