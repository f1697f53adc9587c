// Splits a byte stream into whole server-sent events without changing a byte (WHATWG HTML, section 9.2.6: lines end in
// LF, CR or CRLF, events in an empty line). An event is passed on when it is complete: half of one is of no use to a
// client, and a stream can be cut cleanly only between two.
import { joinBytes } from '../bytes.ts';
import { MAX_STREAM_EVENT_BYTES } from '../limits.ts';

const LF = 0x0a;
const CR = 0x0d;

export class SseFrames {
  /** What of the current event has come, in pieces: joined once, when it is complete. */
  #pieces: Uint8Array[] = [];
  #heldBytes = 0;
  /** True at the beginning of a line. */
  #lineIsEmpty = true;
  /** A CR was the last byte: a LF that follows belongs to it. */
  #afterCr = false;

  /** The events that this chunk completes, each with the empty line that ends it; null when one is larger than allowed. */
  push(chunk: Uint8Array): Uint8Array[] | null {
    const frames: Uint8Array[] = [];
    let start = 0;
    for (let index = 0; index < chunk.length; index += 1) {
      const byte = chunk[index];
      if (byte === LF && this.#afterCr) {
        // The second half of a CRLF. It ends no line of its own; if its CR ended an event, it opens the next frame.
        this.#afterCr = false;
        continue;
      }
      this.#afterCr = byte === CR;
      if (byte !== LF && byte !== CR) {
        this.#lineIsEmpty = false;
        continue;
      }
      if (this.#lineIsEmpty) {
        const end = byte === CR && chunk[index + 1] === LF ? index + 2 : index + 1;
        frames.push(this.#join(chunk.subarray(start, end)));
        if (end === index + 2) {
          index += 1;
          this.#afterCr = false;
        }
        start = end;
      }
      this.#lineIsEmpty = true;
    }
    if (start < chunk.length) {
      this.#pieces.push(chunk.subarray(start));
      this.#heldBytes += chunk.length - start;
    }
    return this.#heldBytes > MAX_STREAM_EVENT_BYTES ? null : frames;
  }

  /** What is left when the stream ends: an event without its empty line, or nothing. */
  rest(): Uint8Array {
    return this.#join(new Uint8Array());
  }

  #join(part: Uint8Array): Uint8Array {
    if (this.#pieces.length === 0) return part;
    const joined = joinBytes([...this.#pieces, part]);
    this.#pieces = [];
    this.#heldBytes = 0;
    return joined;
  }
}
