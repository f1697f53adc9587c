// The upstream that all proxies of the benchmark share: answers chat completions from memory, at once, whole or as a stream.
// Runs as a process of its own and says its port on its first line.
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

const STREAM_EVENTS = 20;
const USAGE = {
  prompt_tokens: 120,
  completion_tokens: 40,
  total_tokens: 160,
  prompt_tokens_details: { cached_tokens: 0 },
  completion_tokens_details: { reasoning_tokens: 0 },
};
const COMMON = {
  id: 'chatcmpl-bench',
  created: 1_750_000_000,
  model: 'gpt-4o-mini-2024-07-18',
  service_tier: 'default',
};
const CONTENT = 'The order was shipped on Tuesday and should arrive within three working days. '.repeat(2);

const whole = Buffer.from(
  JSON.stringify({
    ...COMMON,
    object: 'chat.completion',
    choices: [
      {
        index: 0,
        message: { role: 'assistant', content: CONTENT, refusal: null },
        logprobs: null,
        finish_reason: 'stop',
      },
    ],
    usage: USAGE,
  }),
);
const events = [
  ...Array.from({ length: STREAM_EVENTS }, () =>
    chunk([{ index: 0, delta: { content: ' arrives' }, finish_reason: null }]),
  ),
  chunk([{ index: 0, delta: {}, finish_reason: 'stop' }]),
  chunk([], USAGE),
  'data: [DONE]\n\n',
];

function chunk(choices: readonly object[], usage: object | null = null): string {
  return `data: ${JSON.stringify({ ...COMMON, object: 'chat.completion.chunk', choices, usage })}\n\n`;
}

function stream(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
  let sent = 0;
  // One write per event and turn of the loop, as events leave a provider: one by one.
  const next = (): void => {
    const event = events[sent++];
    if (event === undefined) {
      response.end();
      return;
    }
    response.write(event);
    setImmediate(next);
  };
  next();
}

const server = createServer((request, response) => {
  const chunks: Buffer[] = [];
  request.on('data', (bytes: Buffer) => chunks.push(bytes));
  request.on('end', () => {
    if (Buffer.concat(chunks).includes('"stream":true')) stream(response);
    else response.writeHead(200, { 'content-type': 'application/json', 'content-length': whole.length }).end(whole);
  });
});
server.keepAliveTimeout = 600_000;
server.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
process.stdin.resume().once('end', () => process.exit());
