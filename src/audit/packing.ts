// Lines of a log to bytes and back: gzip (RFC 1952) and newlines. Bounded, streaming, and knows nothing of what lines say.
import { joinBytes } from '../bytes.ts';
import { MAX_LOG_LINE_CHARS } from '../limits.ts';

const PIECE_CHARS = 64 * 1024;

/** A line that is longer than any of ours, or text that is not UTF-8. */
export class UnreadableLog extends Error {
  override name = 'UnreadableLog';
}

/** The lines, each ended by a newline, as one gzip file. Rejects when it would be larger than `maxBytes`. */
export async function pack(lines: Iterable<string>, { maxBytes }: { readonly maxBytes: number }): Promise<Uint8Array> {
  const gzip = new CompressionStream('gzip');
  const chunks: Uint8Array[] = [];
  let length = 0;
  const collected = (async (): Promise<void> => {
    for await (const chunk of gzip.readable) {
      length += chunk.length;
      if (length > maxBytes) throw new RangeError(`the archive is larger than ${maxBytes} bytes`);
      chunks.push(chunk);
    }
  })();
  await Promise.all([collected, written(gzip.writable, lines)]);
  return joinBytes(chunks);
}

async function written(into: WritableStream<Uint8Array>, lines: Iterable<string>): Promise<void> {
  const writer = into.getWriter();
  const encoder = new TextEncoder();
  let piece = '';
  for (const line of lines) {
    piece += `${line}\n`;
    if (piece.length < PIECE_CHARS) continue;
    await writer.write(encoder.encode(piece));
    piece = '';
  }
  await writer.write(encoder.encode(piece));
  await writer.close();
}

/** What `pack` packed, line by line. Throws where it is not that. */
export function unpack(bytes: Uint8Array): AsyncGenerator<string> {
  const packed = new Response(bytes).body ?? new ReadableStream<Uint8Array>();
  return linesOf(packed.pipeThrough(new DecompressionStream('gzip')));
}

/** The lines of a stream without their newlines; the last one need not have one. Throws `UnreadableLog`. */
export async function* linesOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let rest = '';
  for await (const chunk of stream) {
    const lines = (rest + decoded(decoder, chunk)).split('\n');
    if (lines.some((line) => line.length > MAX_LOG_LINE_CHARS))
      throw new UnreadableLog(`a line is longer than ${MAX_LOG_LINE_CHARS} characters`);
    rest = lines.pop() ?? '';
    yield* lines;
  }
  rest += decoded(decoder);
  if (rest !== '') yield rest;
}

function decoded(decoder: TextDecoder, chunk?: Uint8Array): string {
  try {
    return chunk === undefined ? decoder.decode() : decoder.decode(chunk, { stream: true });
  } catch {
    throw new UnreadableLog('the text is not UTF-8');
  }
}
