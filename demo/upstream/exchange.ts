// The shape in which each provider's file gets a request and gives its answer; deliver.ts puts answers on the wire.
import type { IncomingHttpHeaders } from 'node:http';
import type { Behaviour } from './behaviour.ts';
import type { Json, JsonObject } from './json.ts';

export interface ProviderRequest {
  readonly method: string;
  /** After the provider's prefix: "/v1/messages". */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingHttpHeaders;
  readonly body: JsonObject;
  readonly behaviour: Behaviour;
}

export interface ServerEvent {
  readonly event?: string;
  /** JSON, or text to be sent as it is. */
  readonly data: JsonObject | string;
  /** It states the usage; `usage:twice` sends it again, smaller. */
  readonly usage?: boolean;
}

export type Answer =
  | {
      readonly kind: 'json';
      readonly status: number;
      readonly body: Json;
      readonly headers?: Readonly<Record<string, string>>;
    }
  | {
      readonly kind: 'stream';
      /** `array` is Gemini's streaming without `alt=sse`: one JSON array, element by element. */
      readonly framing: 'sse' | 'array';
      readonly events: Iterable<ServerEvent>;
      /** What the provider sends when it fails in mid-stream. */
      readonly failure: ServerEvent;
    };

/** One provider: a pure function from request to answer, and its way to say that something is wrong. */
export interface Provider {
  answer(request: ProviderRequest): Answer;
  error(status: number, message: string): JsonObject;
}

/** The credential as the provider received it, whatever header it came in. */
export function receivedKey(headers: IncomingHttpHeaders): string | null {
  for (const name of ['x-api-key', 'x-goog-api-key', 'api-key']) {
    const value = headers[name];
    if (typeof value === 'string') return value;
  }
  return headers.authorization ?? null;
}

export function bytesOf(value: Json | undefined): number {
  return value === undefined ? 0 : Buffer.byteLength(JSON.stringify(value));
}
