// For what happens by itself: asks until it has.

/**
 * Asks again until it is so; fails with what was seen last. `withinMs` is generous: it only ends a test that would
 * otherwise wait for ever.
 */
export async function eventually<T>(ask: () => Promise<T>, isSo: (seen: T) => boolean, withinMs = 30_000): Promise<T> {
  const endMs = performance.now() + withinMs;
  for (;;) {
    const seen = await ask();
    if (isSo(seen)) return seen;
    if (performance.now() > endMs) throw new Error(`never so; at last: ${JSON.stringify(seen)}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
