// Real traffic of the providers through the whole gateway: the upstream answers with the recorded bytes. Whole, and each
// stream cut after every event.
import Anthropic from '@anthropic-ai/sdk';
import { GoogleGenAI } from '@google/genai';
import OpenAI from 'openai';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import type { LedgerEntryJson } from '../../src/http/session-json.ts';
import { isStream, listed, PRESENT, recordings, sayIfAbsent, type Recording } from '../protocol/recorded.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { micro, problemOf, settledLedger } from './money.ts';
import {
  framesOf,
  hasHostedTools,
  lanePolicy,
  libraryMicroUsd,
  outboundBody,
  pathOf,
  seenMicroUsd,
  usageInLedger,
  visible,
} from './recorded-traffic.ts';

/** Requests of one lane follow each other, so that each finds its own answer waiting at the upstream. */
const LANES = 8;
const TIMEOUT_MS = 120_000;

type Cut = { readonly events: number; readonly end: 'end' | 'reset' };

interface Exchange {
  readonly recording: Recording;
  readonly cut: Cut | null;
  readonly status: number;
  readonly headers: Headers;
  readonly received: string;
  readonly sent: unknown;
  readonly entry: LedgerEntryJson | undefined;
}

sayIfAbsent();

describe.runIf(PRESENT)('recorded traffic', () => {
  let stack: Stack;
  let whole: readonly Exchange[] = [];
  let cuts: readonly Exchange[] = [];

  beforeAll(async () => {
    stack = await startStack({ policy: lanePolicy(LANES) });
    whole = await played(listed.map((recording) => ({ recording, cut: null })));
    const ends: readonly Cut['end'][] = ['end', 'reset'];
    cuts = await played(
      listed
        .filter(isStream)
        .flatMap((recording) =>
          framesOf(recording.body).flatMap((_, events) => ends.map((end) => ({ recording, cut: { events, end } }))),
        ),
    );
  }, TIMEOUT_MS);
  afterAll(() => stack.close());
  afterEach(() => vi.unstubAllGlobals());

  async function played(
    plays: readonly { readonly recording: Recording; readonly cut: Cut | null }[],
  ): Promise<readonly Exchange[]> {
    const byLane = await Promise.all(
      Array.from({ length: LANES }, async (_, lane) => {
        const { session, token } = await stack.issueSession({
          limits: { spend_usd: '100000', requests_per_minute: 1_000_000 },
        });
        const exchanges: Omit<Exchange, 'entry'>[] = [];
        for (const { recording, cut } of plays.filter((__, index) => index % LANES === lane))
          exchanges.push(await play(recording, cut, { lane, token }));
        const entries = new Map((await settledLedger(stack, session.id)).map((entry) => [entry.id, entry]));
        const entryOf = ({ headers }: Omit<Exchange, 'entry'>): Pick<Exchange, 'entry'> => ({
          entry: entries.get(headers.get('x-request-id') ?? ''),
        });
        return exchanges.map((exchange): Exchange => Object.assign(exchange, entryOf(exchange)));
      }),
    );
    return byLane.flat();
  }

  async function play(
    recording: Recording,
    cut: Cut | null,
    { lane, token }: { readonly lane: number; readonly token: string },
  ): Promise<Omit<Exchange, 'entry'>> {
    const path = `/lane${lane}/`;
    const { status, content_type: contentType, body } = recording;
    stack.upstream.replayNext({
      status,
      contentType,
      body,
      path,
      ...(cut === null ? {} : { cut: { events: cut.events }, end: cut.end }),
    });
    const response = await stack.call(pathOf(recording, lane), { token, body: recording.request });
    const received = await response.text();
    const sent = stack.upstream.requests.findLast((request) => request.path.startsWith(path))?.json;
    return { recording, cut, status: response.status, headers: response.headers, received, sent };
  }

  const billed = (): readonly Exchange[] =>
    whole.filter(({ recording }) => recording.usage !== null && recording.status === 200);

  it('passes on every listed endpoint, with the recorded status', () => {
    expect(whole.length).toBeGreaterThan(0);
    const refused = whole.filter(({ recording, status }) => status !== recording.status);
    expect(
      refused.map(({ recording, status, received }) => `${recording.id}: ${status} ${received.slice(0, 300)}`),
    ).toEqual([]);
  });

  it('is refused in the background, and where the endpoint is not listed, before the upstream hears of it', async () => {
    const others = recordings.filter((recording) => !listed.includes(recording));
    const { session, token } = await stack.issueSession();
    stack.upstream.reset();
    for (const recording of others) {
      const problem = await problemOf(await stack.call(pathOf(recording, 0), { token, body: recording.request }));
      const code =
        recording.provider === 'google'
          ? JSON.stringify(problem.body).includes('"reason":"policy-denied"')
          : problem.code === 'policy-denied';
      expect({ id: recording.id, status: problem.status, code }).toEqual({ id: recording.id, status: 403, code: true });
    }
    expect(stack.upstream.stats().requests).toBe(0);
    expect(await settledLedger(stack, session.id)).toEqual([]);
  });

  it('reaches the client as the provider sent it', () => {
    const changed = whole.filter(({ recording, received }) => {
      const expected = isStream(recording) ? visible(recording, framesOf(recording.body)) : recording.body;
      return received !== expected;
    });
    expect(changed.map(({ recording }) => recording.id)).toEqual([]);
  });

  it('reaches the provider as the client sent it, but for what is announced', () => {
    for (const { recording, headers, sent } of whole) {
      expect(sent, recording.id).toEqual(outboundBody(recording, headers.get('x-fusebox-clamped')));
    }
  });

  it('is in the ledger with the usage that the provider stated', () => {
    expect(billed().length).toBeGreaterThan(0);
    for (const { recording, entry } of billed()) {
      const { usage } = recording;
      if (usage === null || entry === undefined) throw new Error(`${recording.id} is not in the ledger`);
      expect(usageInLedger(entry, usage), recording.id).toEqual(usage);
      expect({ state: entry.state, estimated: entry.estimated, flags: entry.flags }, recording.id).toEqual({
        state: 'settled',
        estimated: false,
        flags: undefined,
      });
    }
  });

  it('costs what the price library says, within a micro-dollar, and tools on top', () => {
    const differences = billed().flatMap(({ recording, entry }) => {
      const expected = libraryMicroUsd(recording);
      if (expected === null) return [];
      const cost = micro(entry?.cost_usd ?? '-1');
      const fine = hasHostedTools(recording) ? cost >= expected - 1e-6 : Math.abs(cost - expected) <= 1;
      return fine ? [] : [{ id: recording.id, cost, expected }];
    });
    expect(differences).toEqual([]);
  });

  it('costs nothing where the provider refused', () => {
    const failed = whole.filter(({ recording }) => recording.status >= 400);
    for (const { entry, recording } of failed) {
      expect(entry, recording.id).toMatchObject({
        state: 'settled',
        cost_usd: '0.000000',
        reason: `upstream-error-${recording.status}`,
      });
    }
  });

  it('is charged at least what had been seen, wherever its stream is cut', () => {
    expect(cuts.length).toBeGreaterThan(0);
    const tooCheap = cuts.flatMap(({ recording, cut, entry }) => {
      const seen = seenMicroUsd(recording, framesOf(recording.body).slice(0, cut?.events));
      const cost = micro(entry?.cost_usd ?? '-1');
      return cost >= seen - 1e-6 && cost <= micro(entry?.hold_usd ?? '0') && cost > 0
        ? []
        : [{ id: recording.id, cut, cost, seen, entry }];
    });
    expect(tooCheap).toEqual([]);
  });

  it('shows a client all that had come when its stream is cut, and nothing else but the end', () => {
    for (const { recording, cut, received } of cuts) {
      const shown = visible(recording, framesOf(recording.body).slice(0, cut?.events));
      expect(received.startsWith(shown), `${recording.id} ${JSON.stringify(cut)}`).toBe(true);
      const rest = received.slice(shown.length);
      if (rest !== '') expect(rest).toMatch(/^\n\n(event: error\n)?data: \{.*upstream-unavailable.*\}\n\n$/);
    }
  });

  it.each(['openai', 'anthropic', 'google'] as const)(
    'when cut, is an error to the SDK of %s and never an end',
    async (provider) => {
      const shortened = cuts.filter(
        ({ recording, received }) =>
          recording.provider === provider && received !== visible(recording, framesOf(recording.body)),
      );
      expect(shortened.length).toBeGreaterThan(0);
      const taken: unknown[] = [];
      for (const exchange of shortened) {
        // Google's chunks have no last word: a finish reason is one, and nothing is lost if what follows it is.
        if (provider === 'google' && exchange.received.includes('finishReason')) continue;
        const error: unknown = await readBySdk(exchange).then(
          () => null,
          (thrown: unknown) => thrown,
        );
        if (!(error instanceof Error)) taken.push({ id: exchange.recording.id, cut: exchange.cut });
      }
      expect(taken).toEqual([]);
    },
  );
});

/** Lets the provider's own SDK read what the gateway gave; rejects where it raises an error. */
async function readBySdk({ recording, received }: Exchange): Promise<void> {
  const answer = (): Promise<Response> =>
    Promise.resolve(new Response(received, { headers: { 'content-type': 'text/event-stream' } }));
  const options = { apiKey: 'token', fetch: answer, maxRetries: 0 };
  if (recording.provider === 'google') {
    vi.stubGlobal('fetch', answer);
    return drain(
      await new GoogleGenAI({ apiKey: 'token' }).models.generateContentStream({ model: 'any', contents: 'x' }),
    );
  }
  if (recording.provider === 'anthropic') {
    return drain(
      await new Anthropic(options).messages.create({ model: 'any', max_tokens: 1, messages: [], stream: true }),
    );
  }
  const openai = new OpenAI(options);
  if (recording.path === '/v1/responses')
    return drain(await openai.responses.create({ model: 'any', input: 'x', stream: true }));
  return drain(await openai.chat.completions.create({ model: 'any', messages: [], stream: true }));
}

async function drain(events: AsyncIterable<unknown>): Promise<void> {
  for await (const _event of events);
}
