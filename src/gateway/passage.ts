// Bodies on their way through, within a bound: read whole, or passed on piece by piece.
import { joinBytes } from '../bytes.ts';
import type { Denial } from '../denial.ts';
import { RedactingPassage } from './redaction.ts';

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

export type BoundedRead =
  | { readonly ok: true; readonly bytes: Uint8Array }
  | { readonly ok: false; readonly why: 'too-large' | 'broken' };

/** A request or an answer whose body has not been touched. */
export interface Message {
  readonly headers: Headers;
  readonly body: ReadableStream<Uint8Array> | null;
  arrayBuffer(): Promise<ArrayBuffer>;
}

/**
 * Reads a body to its end, or stops once it is larger than `maxBytes`. `drainBytes`: how far a body that is too large is
 * read on before that is said; 0 breaks it off.
 */
export async function readBounded(message: Message, maxBytes: number, drainBytes = 0): Promise<BoundedRead> {
  const statedBytes = message.headers.get('content-length');
  if (statedBytes === null || message.headers.has('content-encoding'))
    return readPieces(message.body, maxBytes, drainBytes);
  if (Number(statedBytes) > maxBytes) {
    if (message.body !== null) await drain(message.body.getReader(), Number(statedBytes) > drainBytes ? 0 : drainBytes);
    return { ok: false, why: 'too-large' };
  }
  try {
    // The length is enforced by HTTP itself, and the runtime reads whole bodies far faster than pieces.
    return { ok: true, bytes: new Uint8Array(await message.arrayBuffer()) };
  } catch {
    return { ok: false, why: 'broken' };
  }
}

async function readPieces(
  body: ReadableStream<Uint8Array> | null,
  maxBytes: number,
  drainBytes: number,
): Promise<BoundedRead> {
  if (body === null) return { ok: true, bytes: new Uint8Array() };
  const reader = body.getReader();
  const pieces: Uint8Array[] = [];
  let total = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      total += value.length;
      if (total > maxBytes) {
        await drain(reader, drainBytes - total);
        return { ok: false, why: 'too-large' };
      }
      pieces.push(value);
    }
  } catch {
    return { ok: false, why: 'broken' };
  }
  return { ok: true, bytes: joinBytes(pieces) };
}

/** Throws away at most `maxBytes` more, and breaks off what is left. */
async function drain(reader: ReadableStreamDefaultReader<Uint8Array>, maxBytes: number): Promise<void> {
  try {
    for (let left = maxBytes; left > 0;) {
      const { done, value } = await reader.read();
      if (done) return;
      left -= value.length;
    }
  } catch {
    return;
  }
  void reader.cancel().catch(() => undefined);
}

export type PassageEnd = { readonly redacted: boolean } & (
  | { readonly how: 'completed' | 'client-gone' | 'broken' | 'too-large' }
  | { readonly how: 'cut'; readonly denial: Denial }
);

/**
 * Passes a body on as it comes. `ended` is called once. A body that breaks, is larger than allowed or is cut ends in an
 * error for the client: its bytes have no other way to say that they are not all. `guard` is told how to cut it.
 * `lastWords`: what a stream of events says then instead, as text.
 */
export function boundedPassage(
  body: ReadableStream<Uint8Array>,
  options: {
    readonly maxBytes: number;
    readonly secrets: readonly string[];
    readonly guard: (cut: (denial: Denial) => void) => void;
    readonly lastWords: ((denial: Denial) => string) | null;
    readonly ended: (end: PassageEnd) => void;
  },
): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  const redaction = new RedactingPassage(options.secrets);
  let total = 0;
  let over = false;
  const end = (how: DistributiveOmit<PassageEnd, 'redacted'>): void => {
    if (over) return;
    over = true;
    options.ended({ ...how, redacted: redaction.found });
  };
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        options.guard((denial) => {
          if (options.lastWords === null) controller.error(new Error(`the answer was cut: ${denial.code}`));
          else {
            controller.enqueue(new TextEncoder().encode(options.lastWords(denial)));
            controller.close();
          }
          void reader.cancel().catch(() => undefined);
          end({ how: 'cut', denial });
        });
      },
      async pull(controller) {
        for (;;) {
          try {
            const { done, value } = await reader.read();
            if (over) return undefined;
            if (done) {
              const rest = redaction.end();
              if (rest.length > 0) controller.enqueue(rest);
              controller.close();
              return end({ how: 'completed' });
            }
            total += value.length;
            if (total > options.maxBytes) {
              void reader.cancel();
              controller.error(new Error('the answer is larger than allowed'));
              return end({ how: 'too-large' });
            }
            const bytes = redaction.push(value);
            if (bytes.length === 0) continue;
            controller.enqueue(bytes);
            return undefined;
          } catch (error) {
            if (over) return undefined;
            controller.error(error);
            return end({ how: 'broken' });
          }
        }
      },
      cancel(reason) {
        end({ how: 'client-gone' });
        return reader.cancel(reason);
      },
    },
    { highWaterMark: 0 },
  );
}
