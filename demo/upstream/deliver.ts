// Puts an answer on the wire, with everything that can go wrong there: late, slow, cut, truncated, endless, compressed.
import { once, type EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { createGzip } from 'node:zlib';
import type { Behaviour } from './behaviour.ts';
import type { Answer, Provider, ServerEvent } from './exchange.ts';
import { writeJson } from './usage-lies.ts';

/** An endless answer must not be a busy one. */
const ENDLESS_PACE_MS = 5;

export interface Delivery {
  readonly response: ServerResponse;
  readonly behaviour: Behaviour;
  /** The credential received, for `echo-key`. */
  readonly key: string | null;
  readonly errorBody: Provider['error'];
}

/** Sends `answer`. Resolves when the answer has ended, whether it was sent whole or the connection went away. */
export async function deliver(answer: Answer, delivery: Delivery): Promise<void> {
  const { response, behaviour, errorBody } = delivery;
  if (behaviour.echoKey && delivery.key !== null) response.setHeader('x-echo-key', delivery.key);
  if (behaviour.hang) {
    await once(response, 'close');
    return;
  }
  if (behaviour.delayMs > 0) await sleep(behaviour.delayMs);
  if (behaviour.redirect !== null) {
    response.writeHead(307, { location: behaviour.redirect }).end();
  } else if (behaviour.status !== null) {
    const retry = behaviour.status === 429 ? { 'retry-after': '1' } : {};
    sendJson(delivery, behaviour.status, errorBody(behaviour.status, 'This failure was asked for.'), retry);
  } else if (behaviour.html) {
    response
      .writeHead(200, { 'content-type': 'text/html' })
      .end('<!doctype html><title>Not the API</title><p>A page, not an answer.');
  } else if (behaviour.bombBytes > 0) {
    await sendBomb(response, behaviour.bombBytes);
  } else if (answer.kind === 'stream') {
    await sendEvents(answer, delivery);
  } else if (behaviour.truncate || behaviour.resetAfter !== null || behaviour.endless || behaviour.paceMs > 0) {
    await sendJsonBadly(answer, delivery);
  } else {
    sendJson(delivery, answer.status, answer.body, answer.headers);
  }
}

function sendJson(
  { response }: Delivery,
  status: number,
  body: Extract<Answer, { kind: 'json' }>['body'],
  headers = {},
): void {
  if (status === 204) {
    response.writeHead(204).end();
    return;
  }
  const bytes = Buffer.from(writeJson(body));
  response
    .writeHead(status, { 'content-type': 'application/json', 'content-length': bytes.length, ...headers })
    .end(bytes);
}

async function sendJsonBadly(
  answer: Extract<Answer, { kind: 'json' }>,
  { response, behaviour }: Delivery,
): Promise<void> {
  const text = writeJson(answer.body);
  const half = Math.ceil(text.length / 2);
  response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers });
  if (!(await write(response, text.slice(0, half)))) return;
  if (behaviour.paceMs > 0) await sleep(behaviour.paceMs);
  if (behaviour.resetAfter !== null) {
    response.destroy();
    return;
  }
  if (behaviour.endless) {
    do await sleep(ENDLESS_PACE_MS);
    while (await write(response, ' '));
    return;
  }
  response.end(behaviour.truncate ? '' : text.slice(half));
}

async function sendEvents(
  answer: Extract<Answer, { kind: 'stream' }>,
  { response, behaviour }: Delivery,
): Promise<void> {
  const { framing } = answer;
  const frame = framing === 'sse' ? sseFrame : arrayFrame();
  const paceMs = behaviour.endless ? Math.max(behaviour.paceMs, ENDLESS_PACE_MS) : behaviour.paceMs;
  response.writeHead(200, {
    'content-type': framing === 'sse' ? 'text/event-stream; charset=utf-8' : 'application/json',
    'cache-control': 'no-cache',
  });
  // Headers go out at once, as they do from a provider that has only begun to think.
  response.flushHeaders();
  let sent = 0;
  for (const event of repeated(answer.events, behaviour)) {
    if (sent === behaviour.resetAfter) {
      // What was written must have left before the connection is destroyed, or the client sees fewer events than asked for.
      await sleep(20);
      response.destroy();
      return;
    }
    if (behaviour.truncate && sent === 3) {
      const text = frame(event);
      response.end(text.slice(0, text.length / 2));
      return;
    }
    if (behaviour.errorEvent && sent === 3) {
      response.end(frame(answer.failure));
      return;
    }
    if (paceMs > 0) await sleep(paceMs);
    if (!(await write(response, frame(event)))) return;
    sent++;
  }
  response.end(framing === 'array' ? ']' : '');
}

function* repeated(events: Iterable<ServerEvent>, { usage }: Behaviour): Iterable<ServerEvent> {
  for (const event of events) {
    yield event;
    if (usage === 'twice' && event.usage === true) yield event;
  }
}

function sseFrame({ event, data }: ServerEvent): string {
  const name = event === undefined ? '' : `event: ${event}\n`;
  return `${name}data: ${typeof data === 'string' ? data : writeJson(data)}\n\n`;
}

function arrayFrame(): (event: ServerEvent) => string {
  let first = true;
  return ({ data }) => {
    const separator = first ? '[' : ',\n';
    first = false;
    return separator + (typeof data === 'string' ? data : writeJson(data));
  };
}

async function sendBomb(response: ServerResponse, bytes: number): Promise<void> {
  response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' });
  const gzip = createGzip();
  gzip.pipe(response);
  const block = Buffer.alloc(1024 * 1024, ' ');
  for (let sent = 0; sent < bytes && !response.closed; sent += block.length) {
    if (!gzip.write(block)) await firstOf([gzip, 'drain'], [response, 'close']);
  }
  gzip.end();
}

/** Writes and waits for room; false once the other side is gone. */
async function write(response: ServerResponse, text: string): Promise<boolean> {
  if (response.closed || response.destroyed) return false;
  if (!response.write(text)) await firstOf([response, 'drain'], [response, 'close']);
  return !response.closed;
}

/** Waits for the first of some events, and leaves no listener behind. */
async function firstOf(...events: readonly (readonly [EventEmitter, string])[]): Promise<void> {
  const over = new AbortController();
  try {
    await Promise.race(events.map(([emitter, name]) => once(emitter, name, { signal: over.signal })));
  } finally {
    over.abort();
  }
}
