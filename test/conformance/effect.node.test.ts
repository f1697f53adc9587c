// How long a stop takes to be felt, with the real parts on this machine: from the moment it is asked for until the first
// refusal, and until a stream that is under way has ended. Prints the figures beside the goals; asserts only what a busy
// machine cannot spoil.
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { Issued } from '../../scripts/admin-client.ts';
import { eventually } from '../support/eventually.ts';
import { pull, sleep } from '../support/fault-requests.ts';
import { type Faults, type FaultStack, type Isolate, startFaultStack } from '../support/fault-stack.ts';

const CHAT = '/local-openai/v1/chat/completions';
const SESSION_GOAL_MS = 1_000;
/** Sooner than any isolate asks for the list: so it was the session's object that said no. */
const SESSION_REQUIRED_MS = 4_000;
/** While a relay or the control object can be reached. */
const SWITCH_GOAL_MS = 10_000;
const SWITCH_REQUIRED_MS = 60_000;
const SESSIONS = 60;
const AT_ONCE = 10;
/** Half of them with requests; each of the others has nothing but one stream. */
const ISOLATES = 8;
const POLL_MS = 100;

interface Felt {
  /** From the stop until a request was refused. */
  readonly refusedAfterMs: number;
  /** From the stop until a stream had ended. */
  readonly cutAfterMs: number;
}

const rows: Record<string, object> = {};

function report(what: string, samples: readonly number[], goalMs: number): number {
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number): number => Math.round(sorted[Math.ceil(share * sorted.length) - 1] ?? Number.NaN);
  rows[what] = {
    n: sorted.length,
    'p50 ms': at(0.5),
    'p99 ms': at(0.99),
    'worst ms': at(1),
    'goal ms': goalMs,
    met: at(0.99) < goalMs,
  };
  return at(0.99);
}

const body = (stream: boolean): object => ({
  model: 'gpt-4o-mini',
  stream,
  messages: [{ role: 'user', content: stream ? '[[endless]] [[pace:50]]' : 'hi' }],
});

/** A stream that has begun, and when it ends. */
async function startStream(isolate: Isolate, token: string): Promise<{ readonly endedMs: Promise<number> }> {
  const response = await isolate.call(CHAT, { token, body: body(true) });
  expect(response.status).toBe(200);
  const endedMs = response.text().then((text) => {
    expect(text).toMatch(/session-revoked|kill-switch-active/);
    return performance.now();
  });
  return { endedMs };
}

/** When the first of many requests was refused; `startedMs` of the last one that was not. */
async function firstRefusal(
  isolate: Isolate,
  token: string,
  pauseMs: number,
): Promise<{ atMs: number; passedMs: number }> {
  let passedMs = 0;
  for (;;) {
    const startedMs = performance.now();
    const response = await isolate.call(CHAT, { token, body: body(false) });
    await response.body?.cancel();
    if (response.status !== 200) return { atMs: performance.now(), passedMs };
    passedMs = startedMs;
    await sleep(pauseMs);
  }
}

async function passes(isolate: Isolate, token: string): Promise<void> {
  await eventually(
    async () => {
      const response = await isolate.call(CHAT, { token, body: body(false) });
      await response.body?.cancel();
      return response.status;
    },
    (status) => status === 200,
  );
}

describe('the time until a stop is felt', { timeout: 180_000, retry: 2 }, () => {
  let stack: FaultStack;
  let isolates: readonly Isolate[];
  beforeAll(async () => {
    stack = await startFaultStack();
    isolates = Array.from({ length: ISOLATES }, () => stack.coldIsolate());
  });
  afterEach(() => stack.fail({}));
  afterAll(async () => {
    console.table(rows);
    await stack.close();
  });

  const issue = (more: object): Promise<Issued> => stack.issueSession({ ...more, limits: { spend_usd: '1000' } });

  const revocations: readonly { readonly by: string; readonly revoke: (issued: Issued) => Promise<unknown> }[] = [
    { by: 'an operator', revoke: ({ session }) => stack.admin.revoke(session.id, 'stop') },
    { by: 'the agent itself', revoke: ({ token }) => stack.call('/session/revoke', { token, method: 'POST' }) },
    {
      by: 'the revocation of its agent',
      revoke: ({ session }) => stack.warm.admin('POST', `/agents/${session.agent}/revoke`, { reason: 'stop' }),
    },
  ];

  it.each(revocations)('a session revoked by $by', async ({ by, revoke }) => {
    const one = async (index: number): Promise<Felt> => {
      const issued = await issue({ agent: `effect-${Math.random().toString(36).slice(2)}` });
      const there = isolates[index % ISOLATES] ?? stack.warm;
      // Where nobody else asks for that session: the stream has to hear of it from the session's object.
      const stream = await startStream(isolates[(index + 1) % ISOLATES] ?? stack.warm, issued.token);
      // Streams of every age: also those that have only begun.
      await sleep((index / SESSIONS) * 1_500);
      const refusal = firstRefusal(there, issued.token, 5);
      const askedMs = performance.now();
      await revoke(issued);
      const revokedMs = performance.now();
      const { atMs, passedMs } = await refusal;
      // Once it is said to be revoked, no request passes any more.
      expect(passedMs).toBeLessThan(revokedMs);
      return { refusedAfterMs: atMs - askedMs, cutAfterMs: (await stream.endedMs) - askedMs };
    };
    const felt: Felt[] = [];
    for (let at = 0; at < SESSIONS; at += AT_ONCE)
      felt.push(...(await Promise.all(Array.from({ length: AT_ONCE }, (_, index) => one(at + index)))));
    const refused = report(
      `session, by ${by}: request`,
      felt.map(({ refusedAfterMs }) => refusedAfterMs),
      SESSION_GOAL_MS,
    );
    const cut = report(
      `session, by ${by}: stream`,
      felt.map(({ cutAfterMs }) => cutAfterMs),
      SESSION_GOAL_MS,
    );
    expect(refused).toBeLessThan(SESSION_REQUIRED_MS);
    expect(cut).toBeLessThan(SESSION_REQUIRED_MS);
  });

  const levels = ['agent', 'feature', 'customer', 'segment'] as const;
  type Level = (typeof levels)[number] | 'global';
  const scenarios: readonly { readonly where: string; readonly faults: Faults; readonly isHere?: boolean }[] = [
    { where: 'where it is pulled', faults: {}, isHere: true },
    { where: 'elsewhere', faults: {} },
    { where: 'elsewhere, relays away', faults: { relay: 'fails' } },
    { where: 'elsewhere, relays silent', faults: { relay: 'hangs' } },
  ];

  it.each(scenarios)('a kill switch, felt $where', async ({ where, faults, isHere = false }) => {
    await stack.fail({ 'kv.put': 'withheld', ...faults });
    const busy = isHere ? [stack.warm] : isolates.slice(ISOLATES / 2);
    const quiet = isHere ? [] : isolates.slice(0, ISOLATES / 2);
    const measure = async (level: Level): Promise<void> => {
      const id = `${level}-${Math.random().toString(36).slice(2)}`;
      const target = { agent: id, feature: `chat@${id}`, customer: id, segment: id, global: 'all' }[level];
      const { token } = await issue({ agent: id, customer: id, segment: [id, 'other'] });
      const start = (place: Isolate): Promise<{ readonly endedMs: Promise<number> }> => startStream(place, token);
      const [beside, alone] = await Promise.all([Promise.all(busy.map(start)), Promise.all(quiet.map(start))]);
      await sleep(Math.random() * 1_000);
      const refusals = busy.map((place) => firstRefusal(place, token, POLL_MS));
      const askedMs = performance.now();
      if (isHere) await pull(stack.warm, `${level}/${target}`);
      else await pullAtControl(level, target);
      const since = async (felt: readonly Promise<number>[]): Promise<number[]> =>
        (await Promise.all(felt)).map((atMs) => atMs - askedMs);
      const felt = {
        request: await since(refusals.map(async (refusal) => (await refusal).atMs)),
        stream: await since(beside.map(({ endedMs }) => endedMs)),
        'lone stream': await since(alone.map(({ endedMs }) => endedMs)),
      };
      for (const [what, samples] of Object.entries(felt)) {
        if (samples.length === 0) continue;
        report(`${level}, ${where}: ${what}`, samples, SWITCH_GOAL_MS);
        expect(Math.max(...samples)).toBeLessThan(SWITCH_REQUIRED_MS);
      }
      if (level !== 'global') return;
      await liftGlobal();
      await Promise.all([...busy, ...quiet].map((place) => passes(place, token)));
    };
    await Promise.all(levels.map(measure));
    await measure('global');
  });

  /** As another machine's Worker would: this one's isolates have to hear of it by themselves. */
  const pullAtControl = (level: Level, target: string): Promise<unknown> =>
    stack.object('CONTROL', 'control', 'pull', {
      level,
      target,
      namespace: 'live',
      untilMs: null,
      act: { by: 'test', owner: 'test', roles: ['operator'], reason: 'stop' },
    });

  async function liftGlobal(): Promise<void> {
    for (const [by, role] of [
      ['one', 'operator'],
      ['another', 'approver'],
    ]) {
      const name = { level: 'global', target: 'all', namespace: 'live' };
      await stack.object('CONTROL', 'control', 'lift', name, { by, owner: by, roles: [role], reason: 'over' });
    }
  }
});
