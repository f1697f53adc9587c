// A local stand-in for the three providers and a ticket API, for the demo and the tests: one server on the loopback interface
// that answers plausibly, misbehaves when asked to, and remembers what it received. Not part of the Worker.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { anthropic } from './anthropic.ts';
import { directivesInList, directivesInText, lastUserText, NORMAL, type Behaviour } from './behaviour.ts';
import { deliver } from './deliver.ts';
import { receivedKey, type Provider } from './exchange.ts';
import { gemini } from './gemini.ts';
import { countOf, parseObject, textOf } from './json.ts';
import { openai } from './openai.ts';
import { recorder, type ReceivedRequest, type Stats } from './recorder.ts';
import { readReplay, replayQueue, sendReplay, type Replay } from './replay.ts';
import { ticketApi } from './tickets.ts';

/** Above what the gateway lets through, so that its own bound is the one that is met. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;

export interface Upstream {
  /** Origin, without a trailing slash. */
  readonly url: string;
  readonly port: number;
  /** What was received since the last reset, oldest first; calls to the control endpoints are not among it. */
  readonly requests: readonly ReceivedRequest[];
  stats(): Stats;
  /** Behaviour of every request from now on (or the next `times`), before the request's own directives: `'status:500,delay:100'`. */
  behave(directives: string, options?: { readonly path?: string; readonly times?: number }): void;
  /** The next matching request is answered with exactly these bytes. */
  replayNext(replay: Replay): void;
  reset(): void;
  close(): Promise<void>;
}

/** Starts the upstream on 127.0.0.1. Port 0 takes a free one. Rejects when the port is in use. */
export async function startUpstream({ port }: { readonly port: number }): Promise<Upstream> {
  const record = recorder();
  const replays = replayQueue();
  const tickets = ticketApi();
  const providers: Readonly<Record<string, Provider>> = { openai, anthropic, gemini, tickets };
  let standing: { directives: string; path: string; left: number }[] = [];

  const reset = (): void => {
    record.reset();
    replays.reset();
    tickets.reset();
    standing = [];
  };
  const behave: Upstream['behave'] = (directives, { path = '', times = Number.POSITIVE_INFINITY } = {}) => {
    standing.push({ directives, path, left: times });
  };
  const standingBehaviour = (path: string): Behaviour => {
    let behaviour = NORMAL;
    for (const entry of standing) {
      if (entry.left <= 0 || !path.startsWith(entry.path)) continue;
      entry.left--;
      behaviour = directivesInList(entry.directives, behaviour);
    }
    return behaviour;
  };

  const answer = async (received: ReceivedRequest, response: ServerResponse): Promise<void> => {
    const replay = replays.take(received.path);
    if (replay !== null) return sendReplay(replay, response);
    const [, prefix = ''] = received.path.split('/');
    const provider = Object.hasOwn(providers, prefix) ? providers[prefix] : undefined;
    if (provider === undefined) return sendPlain(response, 404, { error: `nothing at ${received.path}` });
    const query = new URLSearchParams(received.query);
    const body = received.json ?? {};
    const standingOne = directivesInList(query.get('behave') ?? '', standingBehaviour(received.path));
    const behaviour = directivesInText(lastUserText(body), standingOne);
    const { method, headers } = received;
    const path = received.path.slice(prefix.length + 1);
    const given = provider.answer({ method, path, query, headers, body, behaviour });
    return deliver(given, {
      response,
      behaviour,
      key: receivedKey(headers),
      errorBody: (status, message) => provider.error(status, message),
    });
  };

  const control = (received: ReceivedRequest, response: ServerResponse): void => {
    const body = received.json ?? {};
    switch (`${received.method} ${received.path}`) {
      case 'GET /__requests':
        return sendPlain(response, 200, record.requests);
      case 'GET /__stats':
        return sendPlain(response, 200, record.stats());
      case 'POST /__reset':
        reset();
        return sendPlain(response, 200, {});
      case 'POST /__behave': {
        const times = countOf(body['times'], 1);
        behave(textOf(body['directives']) ?? '', {
          path: textOf(body['path']) ?? '',
          ...(times === null ? {} : { times }),
        });
        return sendPlain(response, 200, {});
      }
      case 'POST /__replay':
        replays.add(readReplay(body));
        return sendPlain(response, 200, {});
      default:
        return sendPlain(response, 404, { error: 'no such control endpoint' });
    }
  };

  const serve = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await readBody(request);
    if (body === null) return sendPlain(response, 413, { error: 'body too large' });
    const [path = '/', ...rest] = (request.url ?? '/').split('?');
    const received = {
      method: request.method ?? 'GET',
      path,
      query: rest.length === 0 ? '' : `?${rest.join('?')}`,
      headers: request.headers,
      body,
    };
    if (path.startsWith('/__')) return control({ ...received, json: parseObject(body), atMs: Date.now() }, response);
    record.opened();
    response.once('close', () => record.ended(response.writableFinished));
    return answer(record.receive(received), response);
  };

  const server = createServer((request, response) => {
    // A request whose client went away in the middle of its body, or a bug here: no answer can be given any more.
    serve(request, response).catch(() => response.destroy());
  });
  await listen(server, port);
  const address = server.address();
  const bound = typeof address === 'object' && address !== null ? address.port : port;
  return {
    url: `http://127.0.0.1:${bound}`,
    port: bound,
    requests: record.requests,
    stats: () => record.stats(),
    behave,
    replayNext: (replay) => replays.add(replay),
    reset,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function listen(server: Server, port: number): Promise<void> {
  // The gateway keeps connections; closing them under it would look like a failing upstream.
  server.keepAliveTimeout = 120_000;
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, host: '127.0.0.1', backlog: 2_048 }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

async function readBody(request: IncomingMessage): Promise<string | null> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of request) {
    const buffer = Buffer.isBuffer(chunk) ? chunk : Buffer.from(String(chunk));
    bytes += buffer.length;
    if (bytes > MAX_BODY_BYTES) return null;
    chunks.push(buffer);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function sendPlain(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}
