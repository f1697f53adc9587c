// What the upstream has received: the proof that something was sent, or that nothing was. Bounded.
import type { IncomingHttpHeaders } from 'node:http';
import { parseObject, type JsonObject } from './json.ts';

export interface ReceivedRequest {
  readonly method: string;
  /** Raw path, as on the wire. */
  readonly path: string;
  /** Raw query with its "?", or empty. */
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** The body as a JSON object; null where it is none. */
  readonly json: JsonObject | null;
  readonly atMs: number;
}

export interface Stats {
  /** Requests other than those to the control endpoints. */
  readonly requests: number;
  readonly byPath: Readonly<Record<string, number>>;
  /** Answers that are being sent now. */
  readonly open: number;
  /** Answers whose client went away before they ended. */
  readonly aborted: number;
}

const MAX_REQUESTS = 20_000;
const MAX_BODY_BYTES = 64 * 1024 * 1024;
const MAX_PATHS = 1_000;

export interface Recorder {
  readonly requests: readonly ReceivedRequest[];
  stats(): Stats;
  receive(request: Omit<ReceivedRequest, 'json' | 'atMs'>): ReceivedRequest;
  opened(): void;
  ended(whole: boolean): void;
  reset(): void;
}

export function recorder(): Recorder {
  const requests: ReceivedRequest[] = [];
  const byPath = new Map<string, number>();
  let bodyBytes = 0;
  let total = 0;
  let open = 0;
  let aborted = 0;
  return {
    requests,
    stats: () => ({ requests: total, byPath: Object.fromEntries(byPath), open, aborted }),
    receive(received) {
      const request = { ...received, json: parseObject(received.body), atMs: Date.now() };
      requests.push(request);
      bodyBytes += request.body.length;
      while (requests.length > MAX_REQUESTS || (bodyBytes > MAX_BODY_BYTES && requests.length > 1)) {
        bodyBytes -= requests.shift()?.body.length ?? 0;
      }
      total++;
      if (byPath.has(request.path) || byPath.size < MAX_PATHS)
        byPath.set(request.path, (byPath.get(request.path) ?? 0) + 1);
      return request;
    },
    opened() {
      open++;
    },
    ended(whole) {
      open--;
      if (!whole) aborted++;
    },
    reset() {
      requests.length = 0;
      byPath.clear();
      bodyBytes = 0;
      total = 0;
      aborted = 0;
    },
  };
}
