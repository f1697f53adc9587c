// Lines of a log to bytes and back: gzip (RFC 1952) and newlines. Bounded, streaming, and knows nothing of what lines say.
import { joinBytes } from '../bytes.ts';
import { MAX_LOG_LINE_CHARS } from '../limits.ts';

const PIECE_CHARS = 64 * 1024;
const NEWLINE = 0x0a;
const GZIP_MAGIC = [0x1f, 0x8b];
/** A UTF-16 code unit has three bytes of UTF-8 at most. */
const MAX_LINE_BYTES = 3 * MAX_LOG_LINE_CHARS;
const TOO_LONG = `is longer than ${MAX_LOG_LINE_CHARS} characters`;

/** What is to be said of the line at which unpacking fails. */
export const DAMAGED = 'cannot be unpacked: the gzip file is damaged';

/** A line that is longer than any of ours, or not UTF-8; the message goes on after "The line". */
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

/** The bytes as they are, or unpacked where they begin as gzip does (RFC 1952, section 2.3.1). */
export async function unpackedIfPacked(stream: ReadableStream<Uint8Array>): Promise<ReadableStream<Uint8Array>> {
  const reader = stream.getReader();
  const begun: Uint8Array[] = [];
  for (let length = 0; length < GZIP_MAGIC.length;) {
    const { done, value } = await reader.read();
    if (done) break;
    begun.push(value);
    length += value.length;
  }
  const first = joinBytes(begun);
  const whole = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(first),
    async pull(controller) {
      const { done, value } = await reader.read();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    cancel: (reason) => reader.cancel(reason),
  });
  return isGzip(first) ? whole.pipeThrough(new DecompressionStream('gzip')) : whole;
}

/** Whether a file that begins so is a gzip file. */
export function isGzip(begin: Uint8Array): boolean {
  return GZIP_MAGIC.every((byte, index) => begin[index] === byte);
}

/**
 * The lines of a stream without their newlines; the last one need not have one. Each is decoded by itself, so that
 * `UnreadableLog` is thrown in the place of the line that cannot be read, after all before it.
 */
export async function* linesOf(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let begun: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of stream) {
    let from = 0;
    for (let end = chunk.indexOf(NEWLINE); end !== -1; end = chunk.indexOf(NEWLINE, from)) {
      yield decoded(decoder, joinBytes([...begun, chunk.subarray(from, end)]));
      begun = [];
      length = 0;
      from = end + 1;
    }
    if (from < chunk.length) begun.push(chunk.subarray(from));
    length += chunk.length - from;
    if (length > MAX_LINE_BYTES) throw new UnreadableLog(TOO_LONG);
  }
  if (length > 0) yield decoded(decoder, joinBytes(begun));
}

function decoded(decoder: TextDecoder, bytes: Uint8Array): string {
  let line: string;
  try {
    line = decoder.decode(bytes);
  } catch {
    throw new UnreadableLog('is not UTF-8');
  }
  if (line.length > MAX_LOG_LINE_CHARS) throw new UnreadableLog(TOO_LONG);
  return line;
}
