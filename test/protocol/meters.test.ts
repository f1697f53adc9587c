// What an answer cost, at the prices of what served it, with the tools that it used.
import { describe, expect, it } from 'vitest';
import { user, CHAT, STREAM, RESPONSE, MESSAGE, GENERATE, answered, streamed, completion, USAGE } from './answers.ts';
import { callOf } from './fixtures.ts';

function thinking(more: object, model = 'claude-opus-4-6'): boolean {
  const body = { model, max_tokens: 9_000, messages: [user], ...more };
  return callOf('anthropic', '/v1/messages', body).meter().reading().hiddenOutput;
}

describe('a price', () => {
  const rows: readonly (readonly [string, object, object, number])[] = [
    ['plain tokens', USAGE, {}, 350],
    ['cached tokens', { ...USAGE, prompt_tokens_details: { cached_tokens: 80 } }, {}, 250],
    ['reasoning tokens, which are output', { ...USAGE, completion_tokens_details: { reasoning_tokens: 8 } }, {}, 350],
    ['the tier of priority', USAGE, { service_tier: 'priority' }, 595],
    ['the flexible tier', USAGE, { service_tier: 'flex' }, 175],
    ['the default tier', USAGE, { service_tier: 'default' }, 350],
    ['a cheaper model that served instead: what was asked', USAGE, { model: 'gpt-4o-mini' }, 350],
    ['a dearer model that served instead', USAGE, { model: 'gpt-4-turbo' }, 1_300],
    ['a model that nobody prices', USAGE, { model: 'gpt-nobody' }, 350],
    ['a fraction, rounded up once', { prompt_tokens: 1, completion_tokens: 0 }, {}, 3],
    ['nothing', { prompt_tokens: 0, completion_tokens: 0 }, { choices: [] }, 0],
  ];
  it.each(rows)('of %s', (_what, usage, more, microUsd) => {
    const reading = answered(CHAT, completion(usage, more));
    expect(reading).toMatchObject({ final: true, ended: true, statedMicroUsd: microUsd });
  });

  it('of audio, where the model has one', () => {
    const call = callOf('openai', '/v1/chat/completions', {
      model: 'gpt-audio',
      messages: [user],
      max_tokens: 100,
      service_tier: 'default',
    });
    const usage = {
      ...USAGE,
      prompt_tokens_details: { audio_tokens: 60 },
      completion_tokens_details: { audio_tokens: 5 },
    };
    expect(answered(call, completion(usage, { model: 'gpt-audio' })).statedMicroUsd).toBe(
      40 * 2.5 + 60 * 32 + 5 * 10 + 5 * 64,
    );
  });

  it('of a long context, at the tier of its size', () => {
    const call = callOf('gemini', '/v1/models/gemini-2.5-pro:generateContent', { contents: 'Hi' });
    const usageMetadata = { promptTokenCount: 200_001, candidatesTokenCount: 10 };
    expect(answered(call, { candidates: [], usageMetadata }).statedMicroUsd).toBe(Math.ceil(200_001 * 2.5 + 150));
  });

  it("of Anthropic's caches, by their lifetime, and of a region", () => {
    const usage = {
      input_tokens: 10,
      cache_read_input_tokens: 1_000,
      cache_creation_input_tokens: 300,
      cache_creation: { ephemeral_5m_input_tokens: 100, ephemeral_1h_input_tokens: 200 },
      output_tokens: 20,
    };
    const plain = answered(MESSAGE, { type: 'message', model: 'claude-opus-5', content: [], usage });
    expect(plain.stated).toMatchObject({ inputTokens: 1_310, cacheReadTokens: 1_000, cacheWriteTokens: 300 });
    expect(plain.statedMicroUsd).toBe(50 + 500 + 625 + 2_000 + 500);
    const regional = answered(MESSAGE, { type: 'message', content: [], usage: { ...usage, inference_geo: 'us' } });
    expect(regional.statedMicroUsd).toBe(Math.ceil(3_675 * 1.1));
  });
});

describe('fees', () => {
  it('for searches of a response, counted once each, and for each container', () => {
    const output = [
      { type: 'web_search_call', id: 'ws_1', action: { type: 'search' } },
      { type: 'web_search_call', id: 'ws_2', action: { type: 'open_page' } },
      { type: 'code_interpreter_call', id: 'ci_1', container_id: 'c_1' },
      { type: 'code_interpreter_call', id: 'ci_2', container_id: 'c_1' },
    ];
    const usage = { input_tokens: 100, output_tokens: 10 };
    const reading = streamed(RESPONSE, [
      ...output.map((item, output_index) => ({ type: 'response.output_item.done', output_index, item })),
      { type: 'response.completed', response: { model: 'gpt-4o', output, usage } },
    ]);
    expect(reading.statedMicroUsd).toBe(350 + 10_000 + 30_000);
  });

  it("for Anthropic's searches, as its usage counts them, or as they pass", () => {
    const start = {
      type: 'message_start',
      message: { model: 'claude-opus-5', usage: { input_tokens: 10, output_tokens: 1 } },
    };
    const use = {
      type: 'content_block_start',
      index: 0,
      content_block: { type: 'server_tool_use', name: 'web_search', input: {} },
    };
    const end = { type: 'message_delta', usage: { output_tokens: 20, server_tool_use: { web_search_requests: 2 } } };
    expect(streamed(MESSAGE, [start, use]).statedMicroUsd).toBe(75 + 10_000);
    expect(streamed(MESSAGE, [start, use, end]).statedMicroUsd).toBe(550 + 20_000);
  });

  it("for an adviser, at its own model's price, besides the usage", () => {
    const passes = [
      { type: 'message', input_tokens: 60, output_tokens: 10 },
      { type: 'advisor_message', model: 'claude-opus-4-1', input_tokens: 100, output_tokens: 10 },
      { type: 'message', input_tokens: 40, output_tokens: 10 },
    ];
    const usage = { input_tokens: 100, output_tokens: 20, iterations: passes };
    const reading = answered(MESSAGE, { type: 'message', model: 'claude-opus-5', content: [], usage });
    expect(reading.statedMicroUsd).toBe(500 + 500 + 1_500 + 750);
    expect(reading.stated).toMatchObject({ inputTokens: 100, outputTokens: 20 });
    expect(reading.statedTokens).toBe(230);
  });

  it("for what Gemini's tools read, and for grounding", () => {
    const usageMetadata = {
      promptTokenCount: 100,
      toolUsePromptTokenCount: 1_000,
      candidatesTokenCount: 5,
      thoughtsTokenCount: 5,
    };
    const candidates = [{ index: 0, finishReason: 'STOP', groundingMetadata: { webSearchQueries: ['a', 'b'] } }];
    const reading = streamed(GENERATE, [{ candidates, usageMetadata }]);
    expect(reading.statedMicroUsd).toBe(55 + 300 + 35_000);
    expect(reading.stated).toMatchObject({ inputTokens: 100, outputTokens: 10, reasoningTokens: 5 });
    expect(reading.statedTokens).toBe(1_110);
  });

  it('for a model that searches before every answer', () => {
    const call = callOf('openai', '/v1/chat/completions', { model: 'gpt-4o-search-preview', messages: [user] });
    expect(answered(call, completion(USAGE, { model: 'gpt-4o-search-preview' })).statedMicroUsd).toBe(350 + 50_000);
  });
});

describe('a served model', () => {
  it.each([
    ['gpt-4o', []],
    ['gpt-4o-2024-08-06', []],
    ['gpt-4o-mini', ['model-substituted']],
    ['gpt-3.5-turbo', ['model-substituted']],
    ['something-else', ['model-substituted']],
  ])('%s is told from the one asked for', (model, flags) => {
    const reading = answered(CHAT, completion(USAGE, { model }));
    expect(reading).toMatchObject({ servedModel: model, flags });
  });

  it("keeps the operator's price in its dated versions", () => {
    const prices = [
      {
        match: 'gpt-4o',
        inputMicroUsdPerMillion: 1_000_000,
        outputMicroUsdPerMillion: 1_000_000,
        cachedInputMicroUsdPerMillion: null,
        cacheWriteMicroUsdPerMillion: null,
        contextTokens: 128_000,
        maxOutputTokens: 1_000,
      },
    ];
    const call = callOf('openai', '/v1/chat/completions', { model: 'gpt-4o', messages: [user] }, { prices });
    expect(answered(call, completion(USAGE)).statedMicroUsd).toBe(110);
  });
});

describe('hidden output', () => {
  it.each([
    [thinking({}), false],
    [thinking({ thinking: { type: 'adaptive' } }), true],
    [thinking({ thinking: { type: 'enabled', budget_tokens: 1_024 } }), true],
    [thinking({ thinking: { type: 'disabled' } }, 'claude-opus-5'), false],
    [thinking({}, 'claude-opus-5'), true],
    [thinking({ tools: [{ type: 'web_search_20250305', name: 'web_search' }] }), true],
    [STREAM.meter().reading().hiddenOutput, false],
    [GENERATE.meter().reading().hiddenOutput, true],
  ])('%s', (hidden, expected) => {
    expect(hidden).toBe(expected);
  });
});
