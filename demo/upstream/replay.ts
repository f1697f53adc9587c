// Answers given to the upstream beforehand, byte for byte: how recorded exchanges are played again.
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { countOf, objectOf, textOf, type JsonObject } from './json.ts';

export interface Replay {
  readonly status?: number;
  readonly contentType?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Uint8Array;
  /** Sends only the first so many bytes, or whole server-sent events. */
  readonly cut?: { readonly bytes: number } | { readonly events: number };
  /** How it is over after the body or the cut; a reset destroys the connection. */
  readonly end?: 'end' | 'reset';
  /** Splits what is sent into writes of this size. */
  readonly chunkBytes?: number;
  /** Between two writes. */
  readonly paceMs?: number;
  readonly delayMs?: number;
  /** For requests whose path contains this; any otherwise. */
  readonly path?: string;
  /** How often it is given; once otherwise. */
  readonly times?: number;
}

const MAX_QUEUED = 10_000;

export interface ReplayQueue {
  add(replay: Replay): void;
  /** The next answer for this path, taken off the queue; null when none waits. */
  take(path: string): Replay | null;
  reset(): void;
}

export function replayQueue(): ReplayQueue {
  const queue: { replay: Replay; left: number }[] = [];
  return {
    add(replay) {
      if (queue.length >= MAX_QUEUED) throw new RangeError(`more than ${MAX_QUEUED} replays wait`);
      queue.push({ replay, left: replay.times ?? 1 });
    },
    take(path) {
      const index = queue.findIndex(({ replay }) => replay.path === undefined || path.includes(replay.path));
      const entry = queue[index];
      if (entry === undefined) return null;
      entry.left--;
      if (entry.left <= 0) queue.splice(index, 1);
      return entry.replay;
    },
    reset() {
      queue.length = 0;
    },
  };
}

/** Reads a replay as posted to the control endpoint. */
export function readReplay(body: JsonObject): Replay {
  const cut = objectOf(body['cut']);
  const bytes = countOf(cut['bytes']);
  const events = countOf(cut['events']);
  const optional: Partial<Replay> = {
    ...(countOf(body['status']) === null ? {} : { status: countOf(body['status']) ?? 200 }),
    ...(textOf(body['content_type']) === null ? {} : { contentType: textOf(body['content_type']) ?? '' }),
    ...(bytes !== null ? { cut: { bytes } } : events !== null ? { cut: { events } } : {}),
    ...(body['end'] === 'reset' ? { end: 'reset' } : {}),
    ...(countOf(body['chunk_bytes'], 1) === null ? {} : { chunkBytes: countOf(body['chunk_bytes'], 1) ?? 1 }),
    ...(textOf(body['path']) === null ? {} : { path: textOf(body['path']) ?? '' }),
    ...(countOf(body['times'], 1) === null ? {} : { times: countOf(body['times'], 1) ?? 1 }),
  };
  return { body: textOf(body['body']) ?? '', ...optional };
}

/** Sends a replay: exactly those bytes. */
export async function sendReplay(replay: Replay, response: ServerResponse): Promise<void> {
  const bytes = shortened(Buffer.from(replay.body), replay.cut);
  if (replay.delayMs !== undefined) await sleep(replay.delayMs);
  response.writeHead(replay.status ?? 200, {
    'content-type': replay.contentType ?? 'application/json',
    ...replay.headers,
  });
  response.flushHeaders();
  const size = replay.chunkBytes ?? Math.max(1, bytes.length);
  for (let at = 0; at < bytes.length && !response.closed; at += size) {
    if (at > 0 && replay.paceMs !== undefined) await sleep(replay.paceMs);
    response.write(bytes.subarray(at, at + size));
    // Lets each write leave on its own; otherwise the kernel joins them again.
    if (replay.chunkBytes !== undefined) await new Promise((done) => setImmediate(done));
  }
  if (replay.end === 'reset') {
    // What was written must have left before the connection is destroyed.
    await sleep(20);
    response.destroy();
  } else {
    response.end();
  }
}

/** The first `events` server-sent events of a recorded stream, their blank lines included. */
function shortened(bytes: Buffer, cut: Replay['cut']): Buffer {
  if (cut === undefined) return bytes;
  if ('bytes' in cut) return bytes.subarray(0, cut.bytes);
  const text = bytes.toString('latin1');
  const boundary = /\r\n\r\n|\n\n|\r\r/g;
  let end = 0;
  for (let seen = 0; seen < cut.events; seen++) {
    if (boundary.exec(text) === null) return bytes;
    end = boundary.lastIndex;
  }
  return bytes.subarray(0, end);
}
