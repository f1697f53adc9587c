import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { watchStream } from '../../src/gateway/stream-watch.ts';
import { microUsd } from '../../src/money.ts';
import type { Receipt, SessionRpc, WatchAnswer } from '../../src/rpc/session-rpc.ts';

const receipt: Receipt = {
  generation: 1,
  id: 'r',
  microUsd: microUsd(1),
  tokens: 1,
  admittedAtMs: 0,
  purpose: { route: 'r', protocol: 'openai', model: 'm', action: 'a' },
};

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

const watching = (watch: () => Promise<WatchAnswer>): ReturnType<typeof watchStream> =>
  watchStream({
    session: { watch } as Partial<SessionRpc> as SessionRpc,
    receipt: () => receipt,
    metered: () => ({ microUsd: 0, tokens: 0 }),
    now: Date.now,
    over: () => false,
  });

it.each<[string, () => Promise<WatchAnswer>, number]>([
  [
    'breaks each time',
    async () => {
      throw new Error('out of reach');
    },
    6_000,
  ],
  ['neither answers nor breaks', () => new Promise(() => undefined), 20_000],
])('cuts a stream whose poll %s', async (_what, watch, withinMs) => {
  let code: string | null = null;
  void watching(watch).then((denial) => (code = denial?.code ?? null));
  await vi.advanceTimersByTimeAsync(withinMs);
  expect(code).toBe('enforcement-unavailable');
});
