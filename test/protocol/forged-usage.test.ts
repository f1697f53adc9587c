// A usage that is missing, broken or made up is never trusted, and never hides what had been seen.
import { describe, expect, it } from 'vitest';
import { CHAT, STREAM, MESSAGE, GENERATE, answered, streamed, completion, delta, lastChunk, USAGE } from './answers.ts';

describe('a forged or broken usage', () => {
  const forged: readonly (readonly [string, unknown])[] = [
    ['negative', { prompt_tokens: -100, completion_tokens: 10 }],
    ['a fraction', { prompt_tokens: 0.5, completion_tokens: 10 }],
    ['a string', { prompt_tokens: '100', completion_tokens: 10 }],
    ['true', { prompt_tokens: true, completion_tokens: 10 }],
    ['beyond all numbers', { prompt_tokens: 1e308, completion_tokens: 10 }],
    ['beyond what can be counted', { prompt_tokens: 1e15, completion_tokens: 10 }],
    ['half a usage', { prompt_tokens: 100 }],
    ['empty', {}],
    ['more cached than read', { ...USAGE, prompt_tokens_details: { cached_tokens: 101 } }],
    ['more thought than written', { ...USAGE, completion_tokens_details: { reasoning_tokens: 11 } }],
    ['negative in its details', { ...USAGE, prompt_tokens_details: { cached_tokens: -1 } }],
  ];
  it.each(forged)('%s is no usage', (_what, usage) => {
    const reading = answered(CHAT, completion(usage));
    expect(reading).toMatchObject({
      final: false,
      ended: true,
      stated: null,
      statedMicroUsd: 0,
      flags: ['usage-malformed'],
    });
    expect(reading.meteredMicroUsd).toBeGreaterThanOrEqual(CHAT.demand.fixedMicroUsd);
  });

  it.each(['m'.repeat(1_000_000), 'two words', 'new\nline'])('a served model that is no id is not kept', (model) => {
    const reading = answered(CHAT, completion(USAGE, { model }));
    expect(reading).toMatchObject({ final: true, servedModel: null, flags: ['model-substituted'] });
  });

  const missing: readonly (readonly [string, string])[] = [
    ['none', JSON.stringify({ model: 'gpt-4o', choices: [] })],
    ['null', JSON.stringify(completion(null))],
    ['an array', JSON.stringify(completion([USAGE]))],
  ];
  it.each(missing)('%s is missing', (_what, body) => {
    expect(answered(CHAT, body)).toMatchObject({ final: false, stated: null, flags: [] });
  });

  const ambiguous: readonly (readonly [string, string])[] = [
    [
      'a usage given twice',
      '{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":10},"usage":{"prompt_tokens":0,"completion_tokens":0}}',
    ],
    [
      'a count given twice',
      '{"choices":[],"usage":{"prompt_tokens":100,"completion_tokens":10,"completion_tokens":0}}',
    ],
    [
      'a usage given twice, once escaped',
      '{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":9},"\\u0075sage":{"prompt_tokens":0,"completion_tokens":0}}',
    ],
  ];
  it.each(ambiguous)('%s is not trusted', (_what, body) => {
    expect(answered(CHAT, body)).toMatchObject({ final: false, flags: ['usage-malformed'] });
    expect(streamed(STREAM, [body, '[DONE]'])).toMatchObject({ final: false, ended: true, flags: ['usage-malformed'] });
  });

  it.each(['', 'Bad gateway', '{"choices":[{"message":{"content":"Hel', '[]', 'null', '"x"'])(
    'is not found in %j',
    (body) => {
      const reading = answered(CHAT, body);
      expect(reading).toMatchObject({ final: false, ended: false, stated: null });
      expect(reading.flags).toContain('answer-unreadable');
    },
  );

  it('cannot be lowered, nor hidden, by a second one', () => {
    const reading = streamed(STREAM, [
      delta('Hello'),
      lastChunk({ prompt_tokens: 500, completion_tokens: 90 }),
      lastChunk(USAGE),
      '[DONE]',
    ]);
    expect(reading.flags).toEqual(expect.arrayContaining(['usage-lowered', 'usage-repeated']));
    expect(reading.leastMicroUsd).toBe(1_250 + 900);
    expect(reading.leastTokens).toBe(590);
  });

  it('is not final when more text follows it', () => {
    const reading = streamed(STREAM, [
      lastChunk({ prompt_tokens: 1, completion_tokens: 1 }),
      delta('x'.repeat(4_000)),
      '[DONE]',
    ]);
    expect(reading).toMatchObject({ final: false, ended: true });
    expect(reading.meteredMicroUsd).toBeGreaterThan(40_000);
  });

  it('cannot claim fewer tokens than its text is made of', () => {
    const reading = streamed(STREAM, [
      delta('x'.repeat(12_800)),
      lastChunk({ prompt_tokens: 10, completion_tokens: 1 }),
      '[DONE]',
    ]);
    expect(reading).toMatchObject({ final: true, statedMicroUsd: 35 });
    expect(reading.flags).toContain('usage-implausible');
    expect(reading.leastMicroUsd).toBe(25 + 1_000);
    expect(reading.leastTokens).toBe(110);
  });

  it.each([
    ['anthropic', { type: 'message', content: [], usage: { input_tokens: 5, output_tokens: -5 } }],
    [
      'anthropic',
      {
        type: 'message',
        content: [],
        usage: { input_tokens: 5, output_tokens: 5, server_tool_use: { web_search_requests: -1 } },
      },
    ],
    [
      'gemini',
      { candidates: [], usageMetadata: { promptTokenCount: 5, candidatesTokenCount: Number.MAX_SAFE_INTEGER } },
    ],
    ['gemini', { candidates: [], usageMetadata: { promptTokenCount: 5, toolUsePromptTokenCount: 0.5 } }],
  ])('is refused of %s too: %j', (protocol, body) => {
    expect(answered(protocol === 'gemini' ? GENERATE : MESSAGE, body)).toMatchObject({
      final: false,
      flags: ['usage-malformed'],
    });
  });
});
