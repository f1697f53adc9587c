import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SseFrames } from '../../src/gateway/sse-frames.ts';
import { MAX_STREAM_EVENT_BYTES } from '../../src/limits.ts';

const encoder = new TextEncoder();
const decoder = new TextDecoder();

function framesOf(chunks: readonly Uint8Array[]): { frames: string[]; rest: string } {
  const frames = new SseFrames();
  const out = chunks.flatMap((chunk) => frames.push(chunk) ?? ['too large'].map((text) => encoder.encode(text)));
  return { frames: out.map((frame) => decoder.decode(frame)), rest: decoder.decode(frames.rest()) };
}

function cut(bytes: Uint8Array, sizes: readonly number[]): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  let at = 0;
  for (const size of sizes) {
    chunks.push(bytes.subarray(at, at + size));
    at += size;
  }
  return [...chunks, bytes.subarray(at)];
}

describe('frames of a stream', () => {
  it.each(['\n', '\r\n', '\r'])('end in an empty line, with lines ended by %j', (eol) => {
    const text = `event: a${eol}data: 1${eol}${eol}data: 2${eol}${eol}data: half`;
    const { frames, rest } = framesOf([encoder.encode(text)]);
    expect(frames).toEqual([`event: a${eol}data: 1${eol}${eol}`, `data: 2${eol}${eol}`]);
    expect(rest).toBe('data: half');
  });

  it('change no byte, however the stream is cut into chunks', () => {
    const line = fc.constantFrom('data: {"a":"é"}', 'event: x', ': comment', 'data: 日本', 'id: 7', '');
    const eol = fc.constantFrom('\n', '\r\n', '\r');
    fc.assert(
      fc.property(
        fc.array(fc.tuple(line, eol), { maxLength: 40 }),
        fc.array(fc.integer({ min: 0, max: 9 }), { maxLength: 60 }),
        (lines, sizes) => {
          const bytes = encoder.encode(lines.map(([text, end]) => text + end).join(''));
          const { frames, rest } = framesOf(cut(bytes, sizes));
          expect(frames.join('') + rest).toBe(decoder.decode(bytes));
        },
      ),
    );
  });

  it('are the same however the stream is cut, but for a line feed that may open the next one', () => {
    const text = 'data: 1\r\n\r\ndata: 2\n\nevent: x\rdata: 3\r\rdata: 4\n\n';
    const bytes = encoder.encode(text);
    const whole = framesOf([bytes]).frames.map((frame) => frame.trim());
    for (let at = 0; at <= bytes.length; at += 1) {
      const { frames } = framesOf([bytes.subarray(0, at), bytes.subarray(at)]);
      expect(frames.map((frame) => frame.trim()).filter((frame) => frame !== '')).toEqual(whole);
    }
  });

  it('are refused beyond their bound', () => {
    const frames = new SseFrames();
    const chunk = encoder.encode('x'.repeat(1_000_000));
    let pushed: Uint8Array[] | null = [];
    for (let sent = 0; sent <= MAX_STREAM_EVENT_BYTES && pushed !== null; sent += chunk.length)
      pushed = frames.push(chunk);
    expect(pushed).toBeNull();
  });
});
