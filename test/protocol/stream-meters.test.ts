// What a stream is known to cost at any moment, and when it is over.
import { describe, expect, it } from 'vitest';
import type { Call } from '../../src/protocol/protocol.ts';
import {
  user,
  STREAM,
  RESPONSE,
  MESSAGE,
  GENERATE,
  answered,
  streamed,
  heldOf,
  delta,
  lastChunk,
  USAGE,
} from './answers.ts';
import { callOf, feed } from './fixtures.ts';

function bound(event: object): number {
  return streamed(STREAM, [event]).outputTokensBound;
}

function chunk(index: number, usageMetadata: object, finishReason?: string): object {
  const candidates = [{ index, content: { parts: [{ text: 'x' }] }, finishReason }];
  return { candidates, usageMetadata, modelVersion: 'gemini-2.5-flash' };
}

describe('a stream', () => {
  it('hides the usage chunk from a client that did not ask for it, and nothing else', () => {
    const events = [delta('Hel', { usage: null }), delta('lo', { usage: USAGE }), lastChunk(USAGE), '[DONE]'];
    expect(feed(STREAM.meter(), events)).toEqual(['pass', 'pass', 'hide', 'pass']);
    const asked = callOf('openai', '/v1/chat/completions', {
      model: 'gpt-4o',
      messages: [user],
      stream: true,
      stream_options: { include_usage: true },
    });
    expect(feed(asked.meter(), events)).toEqual(['pass', 'pass', 'pass', 'pass']);
  });

  it('costs its worst input and every byte seen, until usage is stated', () => {
    const meter = STREAM.meter();
    const before = meter.reading();
    expect(before).toMatchObject({
      final: false,
      ended: false,
      stated: null,
      meteredMicroUsd: STREAM.demand.fixedMicroUsd,
      meteredTokens: STREAM.demand.inputTokens,
    });
    feed(meter, [delta('Grüße 👋')]);
    const { outputTokensBound, meteredMicroUsd } = meter.reading();
    expect(outputTokensBound).toBeGreaterThanOrEqual(new TextEncoder().encode('Grüße 👋').length);
    expect(meteredMicroUsd).toBeGreaterThan(before.meteredMicroUsd);
    expect(meteredMicroUsd).toBeLessThanOrEqual(heldOf(STREAM));
  });

  it('counts text, refusals, arguments and visible reasoning of every choice', () => {
    const frame = bound({ choices: [{ index: 0, delta: {} }] });
    expect(bound({ choices: [{ index: 0, delta: { content: 'abc' } }] })).toBe(frame + 3);
    expect(bound({ choices: [{ index: 0, delta: { refusal: 'abc' } }] })).toBe(frame + 3);
    expect(bound({ choices: [{ index: 0, delta: { reasoning_content: 'abc' } }] })).toBe(frame + 3);
    expect(
      bound({ choices: [{ index: 0, delta: { tool_calls: [{ index: 0, function: { arguments: 'abc' } }] } }] }),
    ).toBe(frame + 3);
    expect(
      bound({
        choices: [
          { index: 0, delta: { content: 'a' } },
          { index: 1, delta: { content: 'b' } },
        ],
      }),
    ).toBe(2 * frame + 2);
  });

  it('counts what it cannot read by its bytes, and passes it on', () => {
    const meter = STREAM.meter();
    expect(feed(meter, ['{"choices":[{"delta":{"content":"x'])).toEqual(['pass']);
    expect(meter.reading().outputTokensBound).toBeGreaterThan(30);
    expect(meter.reading().flags).toEqual(['event-unreadable']);
  });

  const failures: readonly (readonly [string, Call, object])[] = [
    ['chat completions', STREAM, { error: { message: 'Overloaded' } }],
    ['responses', RESPONSE, { type: 'error', code: 'server_error', message: 'Overloaded' }],
    ['failed responses', RESPONSE, { type: 'response.failed', response: { status: 'failed', usage: null } }],
    ['messages', MESSAGE, { type: 'error', error: { type: 'overloaded_error' } }],
    ['Gemini', GENERATE, { error: { code: 503 } }],
  ];
  it.each(failures)('can fail: %s', (_what, call, event) => {
    expect(streamed(call, [event])).toMatchObject({ failed: true, final: false });
  });

  it('of responses is final when it is completed, incomplete, or failed with a usage', () => {
    for (const type of ['response.completed', 'response.incomplete', 'response.failed']) {
      const usage = { input_tokens: 100, output_tokens: 10, input_tokens_details: { cached_tokens: 80 } };
      const reading = streamed(RESPONSE, [{ type, response: { model: 'gpt-4o', service_tier: 'default', usage } }]);
      expect(reading).toMatchObject({
        final: true,
        ended: true,
        statedMicroUsd: 250,
        failed: type === 'response.failed',
      });
    }
  });

  it('of messages is merged from its start and its running totals', () => {
    const meter = MESSAGE.meter();
    feed(meter, [
      {
        type: 'message_start',
        message: {
          model: 'claude-opus-5',
          usage: { input_tokens: 100, cache_read_input_tokens: 50, output_tokens: 3 },
        },
      },
    ]);
    expect(meter.reading()).toMatchObject({
      final: false,
      statedMicroUsd: 500 + 25 + 75,
      stated: { inputTokens: 150, outputTokens: 3 },
    });
    feed(meter, [{ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text: 'x'.repeat(100) } }]);
    expect(meter.reading().meteredMicroUsd).toBe(Math.ceil((500 + 25 + 2_500) * 1.1));
    feed(meter, [
      { type: 'message_delta', usage: { input_tokens: null, output_tokens: 30 } },
      { type: 'message_stop' },
    ]);
    expect(meter.reading()).toMatchObject({
      final: true,
      ended: true,
      stated: { inputTokens: 150, outputTokens: 30, cacheReadTokens: 50 },
    });
  });

  it('of Gemini ends with the reason of every candidate, and keeps its highest price', () => {
    const meter = GENERATE.meter();
    feed(meter, [
      chunk(0, { promptTokenCount: 1_000 }),
      chunk(1, { promptTokenCount: 1_000, candidatesTokenCount: 4 }, 'STOP'),
    ]);
    expect(meter.reading()).toMatchObject({ final: false, ended: false });
    feed(meter, [chunk(0, { promptTokenCount: 400, candidatesTokenCount: 8 }, 'STOP')]);
    expect(meter.reading()).toMatchObject({ final: true, ended: true, statedMicroUsd: 140, leastMicroUsd: 310 });
  });

  it('of Gemini can be blocked before it begins', () => {
    const blocked = { promptFeedback: { blockReason: 'SAFETY' }, usageMetadata: { promptTokenCount: 100 } };
    expect(streamed(GENERATE, [blocked])).toMatchObject({ final: true, ended: true, statedMicroUsd: 30 });
  });

  it('of Gemini can be one array, and is read to its last element', () => {
    const chunks = [
      { candidates: [{ content: { parts: [{ text: 'a' }] } }], usageMetadata: { promptTokenCount: 100 } },
      { candidates: [{ finishReason: 'STOP' }], usageMetadata: { promptTokenCount: 100, candidatesTokenCount: 10 } },
    ];
    expect(answered(GENERATE, chunks)).toMatchObject({
      final: true,
      ended: true,
      stated: { inputTokens: 100, outputTokens: 10 },
    });
  });
});
