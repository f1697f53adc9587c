import { describe, expect, it } from 'vitest';
import { linesOf, pack, unpack, unpackedIfPacked, UnreadableLog } from '../../src/audit/packing.ts';
import { MAX_LOG_LINE_CHARS } from '../../src/limits.ts';

async function all(lines: AsyncIterable<string>): Promise<string[]> {
  const found: string[] = [];
  for await (const line of lines) found.push(line);
  return found;
}

async function* chunks(...texts: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield typeof text === 'string' ? new TextEncoder().encode(text) : text;
}

const gzipped = await pack(['a', 'b'], { maxBytes: 1e6 });

describe('lines', () => {
  it('come back from their packing', async () => {
    const lines = Array.from({ length: 5_000 }, (_, index) => `{"seq":${index},"text":"\u00e4\u20ac"}`);
    expect(await all(unpack(await pack(lines, { maxBytes: 1e6 })))).toEqual(lines);
    expect(await all(unpack(await pack([], { maxBytes: 1e6 })))).toEqual([]);
  });

  it('that are more than may be packed are refused', async () => {
    const noise = Array.from({ length: 1_000 }, () => crypto.randomUUID());
    await expect(pack(noise, { maxBytes: 1_000 })).rejects.toThrow('larger than 1000 bytes');
  });

  it.each([
    ['in one chunk', ['a\nb\n']],
    ['without a last newline', ['a\nb']],
    ['cut anywhere', ['a', '\n', 'b\n']],
  ])('are found %s', async (_what, texts) => {
    expect(await all(linesOf(chunks(...texts)))).toEqual(['a', 'b']);
  });

  it('are found where a chunk ends within a character', async () => {
    const [first = 0, ...rest] = new TextEncoder().encode('\u20ac');
    expect(await all(linesOf(chunks(Uint8Array.of(first), Uint8Array.from(rest))))).toEqual(['\u20ac']);
  });

  it('that are longer than any of ours are unreadable', async () => {
    const long = 'x'.repeat(MAX_LOG_LINE_CHARS + 1);
    await expect(all(linesOf(chunks(long, long)))).rejects.toThrow(UnreadableLog);
    await expect(all(linesOf(chunks(`${long}\n`)))).rejects.toThrow(UnreadableLog);
  });

  it.each([
    ['in one chunk with others', [Uint8Array.of(0x61, 0x0a, 0x62, 0x0a, 0x63, 0xff, 0x0a, 0x64, 0x0a)]],
    ['cut into chunks', [Uint8Array.of(0x61), Uint8Array.of(0x0a, 0x62, 0x0a, 0x63), Uint8Array.of(0xff, 0x0a)]],
  ])('that are not UTF-8, %s, are unreadable in their place', async (_what, parts) => {
    const seen: string[] = [];
    const reading = (async (): Promise<void> => {
      for await (const line of linesOf(chunks(...parts))) seen.push(line);
    })();
    await expect(reading).rejects.toThrow(UnreadableLog);
    expect(seen).toEqual(['a', 'b']);
  });

  it.each<[string, Uint8Array[]]>([
    ['in one piece', [gzipped]],
    ['byte by byte', Array.from(gzipped, (byte) => Uint8Array.of(byte))],
    ['not packed at all', [new TextEncoder().encode('a\nb\n')]],
  ])('are found whether they are packed or not: %s', async (_what, parts) => {
    const stream = new ReadableStream<Uint8Array>({
      start(controller) {
        for (const part of parts) controller.enqueue(part);
        controller.close();
      },
    });
    expect(await all(linesOf(await unpackedIfPacked(stream)))).toEqual(['a', 'b']);
  });

  it('that are not UTF-8 are unreadable', async () => {
    await expect(all(linesOf(chunks(Uint8Array.of(0xff, 0x0a))))).rejects.toThrow(UnreadableLog);
    await expect(all(linesOf(chunks(Uint8Array.of(0xe2))))).rejects.toThrow(UnreadableLog);
  });
});
