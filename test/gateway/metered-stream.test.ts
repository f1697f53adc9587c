import { expect, it, vi } from 'vitest';
import type { Denial } from '../../src/denial.ts';
import type { Ending } from '../../src/gateway/charge.ts';
import { meteredStream } from '../../src/gateway/metered-stream.ts';
import type { Call, Meter, Protocol } from '../../src/protocol/protocol.ts';

it('ends the hold of a client that has stopped reading as soon as it is cut, and tells the client when it goes on', async () => {
  vi.useFakeTimers();
  try {
    const ended: Ending[] = [];
    let aborted = 0;
    let denial: Denial | null = null;
    const meter: Partial<Meter> = { event: () => 'pass' };
    const protocol: Partial<Protocol> = { cut: ({ code }) => `cut: ${code}` };
    const body = meteredStream({
      upstream: new ReadableStream<Uint8Array>({
        start: (controller) => controller.enqueue(new TextEncoder().encode('data: x\n\n')),
      }),
      call: {} as Call,
      protocol: protocol as Protocol,
      meter: meter as Meter,
      secrets: [],
      now: Date.now,
      cover: async () => null,
      screen: { against: () => denial, keepFresh: () => undefined },
      watch: async () => null,
      ended: (ending) => ended.push(ending),
      abort: () => (aborted += 1),
      alert: () => undefined,
    });
    const reader = body.getReader();
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('data: x\n\n');
    await vi.advanceTimersByTimeAsync(3_000);
    denial = { code: 'kill-switch-active', detail: 'stopped' };
    await vi.advanceTimersByTimeAsync(1_500);
    expect([ended, aborted]).toEqual([[{ how: 'unseen', reason: 'cut-by-kill-switch' }], 1]);
    expect(new TextDecoder().decode((await reader.read()).value)).toBe('cut: kill-switch-active');
    expect((await reader.read()).done).toBe(true);
    expect(ended).toHaveLength(1);
  } finally {
    vi.useRealTimers();
  }
});

it('is settled and stopped even where its meter fails', async () => {
  const ended: Ending[] = [];
  let aborted = 0;
  const meter: Partial<Meter> = {
    event: () => {
      throw new Error('a bug');
    },
  };
  const body = meteredStream({
    upstream: new ReadableStream<Uint8Array>({
      start(controller) {
        controller.enqueue(new TextEncoder().encode('data: x\n\n'));
        controller.close();
      },
    }),
    call: {} as Call,
    protocol: {} as Protocol,
    meter: meter as Meter,
    secrets: [],
    now: Date.now,
    cover: async () => null,
    screen: { against: () => null, keepFresh: () => undefined },
    watch: async () => null,
    ended: (ending) => ended.push(ending),
    abort: () => (aborted += 1),
    alert: () => undefined,
  });
  await expect(new Response(body).text()).rejects.toThrow('a bug');
  expect(ended).toEqual([{ how: 'lost', reason: 'stream-lost' }]);
  expect(aborted).toBe(1);
});
