import { describe, expect, it } from 'vitest';
import { linesOf, pack, unpack, UnreadableLog } from '../../src/audit/packing.ts';
import { MAX_LOG_LINE_CHARS } from '../../src/limits.ts';

async function all(lines: AsyncIterable<string>): Promise<string[]> {
  const found: string[] = [];
  for await (const line of lines) found.push(line);
  return found;
}

async function* chunks(...texts: readonly (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const text of texts) yield typeof text === 'string' ? new TextEncoder().encode(text) : text;
}

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

  it('that are not UTF-8 are unreadable', async () => {
    await expect(all(linesOf(chunks(Uint8Array.of(0xff, 0x0a))))).rejects.toThrow(UnreadableLog);
    await expect(all(linesOf(chunks(Uint8Array.of(0xe2))))).rejects.toThrow(UnreadableLog);
  });
});
