// The watch of one stream on its session: a long poll that is re-armed while the stream runs, and the snapshot beside
// it. Answers once, with the reason to cut; it renews the hold's lease as long as it is answered.
import type { Denial } from '../denial.ts';
import { MAX_UNWATCHED_MS, WATCH_TIMEOUT_MS } from '../limits.ts';
import type { Receipt, SessionRpc, WatchAnswer } from '../rpc/session-rpc.ts';

export interface WatchSubject {
  readonly session: SessionRpc;
  readonly receipt: () => Receipt;
  readonly metered: () => { readonly microUsd: number; readonly tokens: number };
  readonly now: () => number;
  /** Ends the watch when the stream has ended. */
  readonly over: () => boolean;
}

const RETRY_DELAY_MS = 250;
const UNWATCHED: Denial = {
  code: 'enforcement-unavailable',
  detail: 'The session could not be watched any longer.',
};

/** Resolves with why the stream is to be cut; with null when the stream ended first. Never rejects. */
export async function watchStream(subject: WatchSubject): Promise<Denial | null> {
  let brokenSinceMs: number | null = null;
  while (!subject.over()) {
    try {
      const { microUsd, tokens } = subject.metered();
      const answer = await inTime(
        subject.session.watch({ receipt: subject.receipt(), meteredMicroUsd: microUsd, meteredTokens: tokens }),
      );
      if (answer === 'late') return subject.over() ? null : UNWATCHED;
      if (answer.cut) return subject.over() ? null : answer.denial;
      brokenSinceMs = null;
    } catch {
      if (subject.over()) return null;
      brokenSinceMs ??= subject.now();
      if (subject.now() - brokenSinceMs > MAX_UNWATCHED_MS) return UNWATCHED;
      await new Promise((resolve) => setTimeout(resolve, RETRY_DELAY_MS));
    }
  }
  return null;
}

/** A poll that neither answers nor breaks watches nothing. */
async function inTime(poll: Promise<WatchAnswer>): Promise<WatchAnswer | 'late'> {
  const late = Promise.withResolvers<'late'>();
  const timer = setTimeout(late.resolve, WATCH_TIMEOUT_MS + MAX_UNWATCHED_MS, 'late');
  try {
    return await Promise.race([poll, late.promise]);
  } finally {
    clearTimeout(timer);
  }
}
