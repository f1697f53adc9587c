import { expect, it } from 'vitest';
import type { Ending } from '../../src/gateway/charge.ts';
import { meteredStream } from '../../src/gateway/metered-stream.ts';
import type { Call, Meter, Protocol } from '../../src/protocol/protocol.ts';

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
