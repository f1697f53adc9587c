// The agents of a chaos run: tool calls, chat calls, streams and repeated idempotency keys, over HTTP, all at once. A failed
// request is an unknown outcome to them; they take down what they saw and go on.
import type { Random } from '../simulation/random.ts';
import type { AgentRequest, SessionUnderTest } from './evidence.ts';
import { loadedOf } from './sessions.ts';
import { problemCode, sleep, type World } from './world.ts';

const PAUSE_MS = 60;
const DOWN_PAUSE_MS = 40;
const KEY_TRIES = 3;

/** Works until the world is over, with the randomness of its number. */
export async function runAgent(world: World, number: number): Promise<void> {
  const random = world.randomOf(100 + number);
  let made = 0;
  const newTag = (): string => `a${number}-${(made += 1)}`;
  while (!world.over) {
    const loaded = loadedOf(world);
    if (loaded.length > 0) await work({ world, session: random.pick(loaded), random, newTag });
    await sleep(random.below(PAUSE_MS));
  }
}

interface Job {
  readonly world: World;
  readonly session: SessionUnderTest;
  readonly random: Random;
  readonly newTag: () => string;
}

async function work(job: Job): Promise<void> {
  switch (job.random.below(10)) {
    case 0:
    case 1:
    case 2:
      return void (await ticket(job, 'GET', null));
    case 3:
      return void (await ticket(job, 'POST', null));
    case 4:
    case 5:
      return repeatKey(job);
    case 6:
    case 7:
      return chat(job);
    default:
      return stream(job);
  }
}

async function ticket(job: Job, method: 'GET' | 'POST', key: string | null): Promise<AgentRequest> {
  const { world, session, random } = job;
  const request = begin(job, 'ticket', key);
  const failing = key === null && random.chance(0.03) ? 'status:500,' : '';
  const delayMs = random.chance(0.3) ? random.below(200) : 0;
  await attempt(request, async () => {
    const answer = await world.call(`/desk/tickets?tag=${request.tag}&behave=${failing}delay:${delayMs}`, {
      method,
      headers: headersOf(session, key),
      ...(method === 'POST' ? { body: JSON.stringify({ title: `ticket ${key ?? 'of no name'}` }) } : {}),
    });
    await takeDown(request, answer, async () => void (await answer.text()));
  });
  return request;
}

/** One key, tried again until it is said to be done, and once more; or one that was done long ago. */
async function repeatKey(job: Job): Promise<void> {
  const { session, random } = job;
  const old = random.chance(0.3) ? [...session.completedKeys.keys()] : [];
  const key = old.length > 0 ? random.pick(old) : `key-${job.newTag()}`;
  for (let tries = 0; tries < KEY_TRIES; tries += 1) {
    const request = await ticket(job, 'POST', key);
    const done = request.code === 'idempotency-completed';
    if (done && !session.completedKeys.has(key)) session.completedKeys.set(key, request.endedMs);
    await sleep(random.below(done ? 20 : 120));
  }
}

async function chat(job: Job): Promise<void> {
  const { world, session, random } = job;
  const request = begin(job, 'chat', null);
  const tokens = random.below(400);
  await attempt(request, async () => {
    const directives = `[[tokens:${tokens}]] ${random.chance(0.3) ? `[[delay:${random.below(300)}]]` : ''}`;
    const answer = await world.call('/chat/v1/chat/completions', {
      method: 'POST',
      headers: headersOf(session, null),
      body: JSON.stringify(chatBody(request, random, directives, tokens + random.below(500))),
    });
    await takeDown(request, answer, async () => void (await answer.json()));
  });
}

async function stream(job: Job): Promise<void> {
  const { world, session, random } = job;
  const request = begin(job, 'stream', null);
  const tokens = random.chance(0.15) ? 1_100 + random.below(1_200) : random.below(500);
  const directives = `[[tokens:${tokens}]] [[chunk:16]] [[pace:${random.below(40)}]]`;
  const leaves = random.chance(0.12) ? AbortSignal.timeout(1 + random.below(600)) : null;
  leaves?.addEventListener('abort', () => (request.abandoned = true));
  await attempt(request, async () => {
    const body = { ...chatBody(request, random, directives, tokens + random.below(300)), stream: true };
    const answer = await world.call('/chat/v1/chat/completions', {
      method: 'POST',
      headers: headersOf(session, null),
      body: JSON.stringify(body),
      ...(leaves === null ? {} : { signal: leaves }),
    });
    await takeDown(request, answer, async () => {
      const ended = await readEvents(answer, request);
      if (!ended) throw new Error('the stream was cut');
    });
  });
}

function chatBody(request: AgentRequest, random: Random, directives: string, mostTokens: number): object {
  return {
    model: 'gpt-4o-mini',
    max_completion_tokens: Math.max(1, mostTokens),
    messages: [{ role: 'user', content: `${directives} #${request.tag}# ${'word '.repeat(random.below(120))}` }],
  };
}

/** Counts the words of a stream; true when it ended as it should. */
async function readEvents(answer: Response, request: AgentRequest): Promise<boolean> {
  let rest = '';
  let ended = false;
  const decoder = new TextDecoder();
  for await (const chunk of answer.body ?? []) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      if (line === 'data: [DONE]') ended = true;
      else if (line.startsWith('data: ')) request.seenTokens += wordsIn(line.slice('data: '.length));
    }
  }
  return ended;
}

function wordsIn(data: string): number {
  const { choices } = JSON.parse(data) as { choices?: { delta?: { content?: string } }[] };
  return choices?.[0]?.delta?.content?.match(/\S+/g)?.length ?? 0;
}

function begin({ session, newTag }: Job, kind: AgentRequest['kind'], idempotencyKey: string | null): AgentRequest {
  const request: AgentRequest = {
    tag: newTag(),
    kind,
    startedMs: Date.now(),
    idempotencyKey,
    endedMs: Number.POSITIVE_INFINITY,
    requestId: null,
    status: null,
    code: null,
    whole: false,
    abandoned: false,
    seenTokens: 0,
  };
  session.requests.push(request);
  return request;
}

async function attempt(request: AgentRequest, send: () => Promise<void>): Promise<void> {
  try {
    await send();
  } catch {
    // The gateway may have died: what became of the request is not known. Give it time to come back.
    if (!request.abandoned) await sleep(DOWN_PAUSE_MS);
  } finally {
    request.endedMs = Date.now();
  }
}

async function takeDown(request: AgentRequest, answer: Response, read: () => Promise<void>): Promise<void> {
  request.requestId = answer.headers.get('x-request-id');
  request.status = answer.status;
  if (answer.headers.get('content-type')?.startsWith('application/problem+json') === true) {
    request.code = await problemCode(answer);
    return;
  }
  await read();
  request.whole = true;
}

function headersOf(session: SessionUnderTest, key: string | null): Record<string, string> {
  return {
    authorization: `Bearer ${session.token}`,
    'content-type': 'application/json',
    ...(key === null ? {} : { 'idempotency-key': key }),
  };
}
