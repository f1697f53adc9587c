// The load: so many connections, each with one request in flight, over raw sockets. One loader for all rows; it parses no more
// of HTTP than it must, so that it is not what is measured.
import { connect, type Socket } from 'node:net';

export interface Load {
  readonly port: number;
  readonly connections: number;
  readonly durationMs: number;
  /** Whole HTTP/1.1 requests, sent in turn. */
  readonly requests: readonly Buffer[];
  readonly expectedStatus: number;
}

export interface LoadResult {
  readonly requestsPerSecond: number;
  /** From the request's first byte out to the answer's last byte in. Sorted, in milliseconds. */
  readonly totalMs: Float64Array;
  /** To the first byte of the answer's body. Sorted, in milliseconds. */
  readonly firstByteMs: Float64Array;
}

const DRAIN_TIMEOUT_MS = 10_000;
const HEAD_END = Buffer.from('\r\n\r\n');
const LAST_CHUNK = Buffer.from('0\r\n\r\n');

/** Builds one POST (or GET where there is no body) as bytes. */
export function httpRequest(path: string, headers: Readonly<Record<string, string>>, body?: string): Buffer {
  const all = {
    host: '127.0.0.1',
    ...headers,
    ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
  };
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  return Buffer.from(`${body === undefined ? 'GET' : 'POST'} ${path} HTTP/1.1\r\n${head.join('')}\r\n${body ?? ''}`);
}

/** Runs the load to its end. Throws when an answer has another status than the one expected, with the answer's text. */
export async function runLoad(load: Load): Promise<LoadResult> {
  const total: number[] = [];
  const firstByte: number[] = [];
  let turn = 0;
  const startedAt = performance.now();
  const deadline = startedAt + load.durationMs;
  const next = (): Buffer | null =>
    performance.now() < deadline ? (load.requests[turn++ % load.requests.length] ?? null) : null;
  const done = (ms: { readonly total: number; readonly firstByte: number }): void => {
    total.push(ms.total);
    firstByte.push(ms.firstByte);
  };
  await Promise.all(Array.from({ length: load.connections }, () => connection(load, next, done)));
  const seconds = (performance.now() - startedAt) / 1_000;
  return {
    requestsPerSecond: total.length / seconds,
    totalMs: Float64Array.from(total).toSorted(),
    firstByteMs: Float64Array.from(firstByte).toSorted(),
  };
}

/** The value below which the fraction `p` of a sorted array lies. */
export function percentile(sorted: Float64Array, p: number): number {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? Number.NaN;
}

function connection(
  load: Load,
  next: () => Buffer | null,
  done: (ms: { readonly total: number; readonly firstByte: number }) => void,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect({ host: '127.0.0.1', port: load.port, noDelay: true });
    const answer = new Answer();
    let sentAt = 0;
    const timer = setTimeout(
      () => socket.destroy(new Error('an answer took too long')),
      load.durationMs + DRAIN_TIMEOUT_MS,
    );
    const send = (): void => {
      const request = next();
      if (request === null) {
        socket.end();
        return;
      }
      answer.begin();
      sentAt = performance.now();
      socket.write(request);
    };
    socket.on('connect', send);
    socket.on('data', (bytes) => {
      if (!answer.take(bytes)) return;
      if (answer.status !== load.expectedStatus) {
        socket.destroy(new Error(`expected ${load.expectedStatus}, got: ${answer.text().slice(0, 600)}`));
        return;
      }
      done({ total: performance.now() - sentAt, firstByte: answer.firstByteAt - sentAt });
      send();
    });
    socket.once('error', reject);
    socket.once('close', () => {
      clearTimeout(timer);
      if (answer.open) reject(new Error(`the connection ended within an answer: ${answer.text().slice(0, 600)}`));
      else resolve();
    });
  });
}

/** One answer as it arrives: finds the end of the head and of the body, and nothing else. */
class Answer {
  status = 0;
  firstByteAt = 0;
  open = false;
  #bytes: Buffer = Buffer.alloc(0);
  #bodyAt = -1;
  /** Null: chunked. */
  #bodyBytes: number | null = null;

  begin(): void {
    this.#bytes = Buffer.alloc(0);
    this.#bodyAt = -1;
    this.firstByteAt = 0;
    this.open = true;
  }

  text(): string {
    return this.#bytes.toString();
  }

  /** True once the answer is complete. */
  take(bytes: Buffer): boolean {
    this.#bytes = this.#bytes.length === 0 ? bytes : Buffer.concat([this.#bytes, bytes]);
    if (this.#bodyAt < 0 && !this.#readHead()) return false;
    if (this.firstByteAt === 0 && this.#bytes.length > this.#bodyAt) this.firstByteAt = performance.now();
    const complete =
      this.#bodyBytes === null
        ? this.#bytes.subarray(Math.max(this.#bodyAt, this.#bytes.length - LAST_CHUNK.length)).equals(LAST_CHUNK)
        : this.#bytes.length >= this.#bodyAt + this.#bodyBytes;
    if (!complete) return false;
    if (this.firstByteAt === 0) this.firstByteAt = performance.now();
    this.open = false;
    return true;
  }

  #readHead(): boolean {
    const end = this.#bytes.indexOf(HEAD_END);
    if (end < 0) return false;
    const head = this.#bytes.toString('latin1', 0, end).toLowerCase();
    this.status = Number(head.slice(9, 12));
    const length = /\r\ncontent-length: *(\d+)/.exec(head);
    this.#bodyBytes = length === null ? null : Number(length[1]);
    this.#bodyAt = end + HEAD_END.length;
    return true;
  }
}
