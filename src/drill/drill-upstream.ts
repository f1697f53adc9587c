// The upstream of drills: made up, inside the Worker, so that a drill spends nothing and reaches nobody. Counts what
// reaches it.

export interface DrillUpstream {
  /** Answers what the gateway forwards. */
  answer(call: { readonly url: string; readonly signal: AbortSignal }): Response;
  /** How many requests for that path have come. */
  callsOf(path: string): number;
}

const EVENT_EVERY_MS = 250;
const CHAT = '/v1/chat/completions';

export function drillUpstream(): DrillUpstream {
  const calls = new Map<string, number>();
  return {
    answer({ url, signal }) {
      const { pathname } = new URL(url);
      calls.set(pathname, (calls.get(pathname) ?? 0) + 1);
      if (pathname !== CHAT) return Response.json({ drill: 'ok' });
      return new Response(endless(signal), { headers: { 'content-type': 'text/event-stream' } });
    },
    callsOf: (path) => calls.get(path) ?? 0,
  };
}

/** Events of a chat completion that never ends by itself. */
function endless(signal: AbortSignal): ReadableStream<Uint8Array> {
  const event = new TextEncoder().encode(`data: ${JSON.stringify(CHUNK)}\n\n`);
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        await new Promise((resolve) => setTimeout(resolve, EVENT_EVERY_MS));
        if (signal.aborted) controller.error(signal.reason);
        else controller.enqueue(event);
      },
    },
    { highWaterMark: 0 },
  );
}

const CHUNK = {
  id: 'drill',
  object: 'chat.completion.chunk',
  created: 0,
  model: 'drill-model',
  choices: [{ index: 0, delta: { content: 'and on ' }, finish_reason: null }],
};
