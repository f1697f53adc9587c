// Requests as bytes on a socket, for what no HTTP client lets one send: raw paths, repeated headers, broken framing.
import { connect } from 'node:net';

export interface RawAnswer {
  /** 0 where the connection was closed without an answer, or nothing came in time. */
  readonly status: number;
  /** Lower case; the last of equal names. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  /** The `code` of a problem document, or the reason of a Google error. */
  readonly code: string | null;
}

export interface RawRequest {
  readonly method?: string;
  /** As it stands in the request line. */
  readonly target: string;
  /** Whole lines, in order; `host` and `connection: close` are added. */
  readonly headers?: readonly string[];
  readonly body?: string | Buffer;
  /** How long to wait for the end of the answer. */
  readonly timeoutMs?: number;
}

const LATIN1 = 'latin1';

/** Sends one request and reads its answer. A `content-length` is added where a body has no framing of its own. */
export function sendRaw(port: number, request: RawRequest): Promise<RawAnswer> {
  const { method = 'GET', target, headers = [], body } = request;
  const isFramed = headers.some((line) => /^(content-length|transfer-encoding) *:/i.test(line));
  const lines = [
    `${method} ${target} HTTP/1.1`,
    'host: gateway.example',
    'connection: close',
    ...headers,
    ...(body === undefined || isFramed ? [] : [`content-length: ${Buffer.byteLength(body)}`]),
  ];
  const head = Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, LATIN1);
  return new Promise((resolve) => {
    const received: Buffer[] = [];
    const socket = connect(port, '127.0.0.1', () => {
      socket.write(head);
      if (body !== undefined) socket.write(body);
    });
    const finish = (): void => {
      clearTimeout(timer);
      socket.destroy();
      resolve(readAnswer(Buffer.concat(received).toString(LATIN1)));
    };
    const timer = setTimeout(finish, request.timeoutMs ?? 3_000);
    socket.on('data', (chunk: Buffer) => {
      received.push(chunk);
      // The runtime keeps the connection even where it is asked not to.
      if (isWhole(Buffer.concat(received).toString(LATIN1), method)) finish();
    });
    socket.once('close', finish);
    // A server that refuses early resets what it did not read; what it said before is the answer.
    socket.on('error', () => undefined);
  });
}

function isWhole(text: string, method: string): boolean {
  const end = text.indexOf('\r\n\r\n');
  if (end < 0) return false;
  const head = text.slice(0, end);
  if (method === 'HEAD' || /^HTTP\/1\.1 (204|304) /.test(head)) return true;
  const length = /^content-length: *(\d+)$/im.exec(head)?.[1];
  return length === undefined ? text.endsWith('0\r\n\r\n') : text.length >= end + 4 + Number(length);
}

function readAnswer(text: string): RawAnswer {
  const end = text.indexOf('\r\n\r\n');
  const [first = '', ...lines] = text.slice(0, Math.max(end, 0)).split('\r\n');
  const headers = lines.map((line): [string, string] => {
    const colon = line.indexOf(':');
    return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
  });
  const body = end < 0 ? '' : text.slice(end + 4);
  return {
    status: Number(first.split(' ')[1] ?? 0),
    headers: new Map(headers),
    body,
    code: /"(?:code|reason)":"([a-z-]+)"/.exec(body)?.[1] ?? null,
  };
}
