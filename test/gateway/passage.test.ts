import { describe, expect, it } from 'vitest';
import type { Denial } from '../../src/denial.ts';
import { boundedPassage, type PassageEnd } from '../../src/gateway/passage.ts';

const DENIAL: Denial = { code: 'kill-switch-active', detail: 'Everything is stopped by an operator.' };

/** A body that has begun and waits; what is passed of it, and how it can be cut. */
function waiting(lastWords: ((denial: Denial) => string) | null) {
  const ends: PassageEnd[] = [];
  let cancelled = false;
  let cut: ((denial: Denial) => void) | null = null;
  const upstream = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(new TextEncoder().encode('half')),
    cancel: () => {
      cancelled = true;
    },
  });
  const body = boundedPassage(upstream, {
    maxBytes: 1_000,
    secrets: [],
    guard: (cutter) => (cut = cutter),
    lastWords,
    ended: (end) => ends.push(end),
  });
  return { text: new Response(body).text(), ends, isCancelled: () => cancelled, cut: () => cut?.(DENIAL) };
}

const soon = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

describe('an answer that is cut', () => {
  it('ends in an error where its bytes cannot say so', async () => {
    const { text, ends, isCancelled, cut } = waiting(null);
    const failed = expect(text).rejects.toThrow('kill-switch-active');
    await soon();
    cut();
    await failed;
    expect([ends, isCancelled()]).toEqual([[{ how: 'cut', denial: DENIAL, redacted: false }], true]);
  });

  it('ends in its last words where it is a stream of events', async () => {
    const { text, ends, isCancelled, cut } = waiting(({ code }) => `\n\nevent: error\ndata: ${code}\n\n`);
    await soon();
    cut();
    expect(await text).toBe('half\n\nevent: error\ndata: kill-switch-active\n\n');
    expect([ends.map(({ how }) => how), isCancelled()]).toEqual([['cut'], true]);
  });

  it('is cut once, and has ended once', async () => {
    const { text, ends, cut } = waiting(() => '!');
    await soon();
    cut();
    await text;
    expect(ends).toHaveLength(1);
  });
});
