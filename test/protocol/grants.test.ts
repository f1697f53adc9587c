// How a grant is written into a request: the ceiling, the usage option and the warning, and not one byte besides.
import { describe, expect, it } from 'vitest';
import type { Warning } from '../../src/rpc/session-rpc.ts';
import { WARNING_TEXT, WARNING_TOKENS } from '../../src/protocol/warning.ts';
import { callOf, fullGrant, writtenJson, writtenText } from './fixtures.ts';

const CHAT = '/v1/chat/completions';
const RESPONSES = '/v1/responses';
const MESSAGES = '/v1/messages';
const GENERATE = '/v1beta/models/gemini-2.5-flash:generateContent';
const WARNED: readonly Warning[] = ['spend-90'];

describe('a grant of everything', () => {
  const untouched: readonly (readonly ['openai' | 'anthropic' | 'gemini', string, string])[] = [
    [
      'openai',
      CHAT,
      '{ "model":"gpt-4o", "messages":[{"role":"user","content":"\\u00e9 \\/ 1.0"}],\n"max_tokens":100, "temperature":1.0e0 }',
    ],
    [
      'openai',
      CHAT,
      '{"model":"gpt-4o","messages":[],"max_completion_tokens":100,"stream":true,"stream_options":{"include_usage":true}}',
    ],
    ['openai', RESPONSES, '{"model":"gpt-4o","input":"x","max_output_tokens":100, "seed":12345678901234567890}'],
    ['openai', '/v1/responses/compact', '{"model":"gpt-4o","input":"x"}'],
    ['openai', '/v1/embeddings', '{"model":"text-embedding-3-small","input":"x"}'],
    ['anthropic', MESSAGES, '{"model":"claude-opus-5","max_tokens":100,"messages":[{"role":"user","content":"x"}]}'],
    ['gemini', GENERATE, '{"contents":[{"parts":[{"text":"x"}]}],"generation_config":{"max_output_tokens":100}}'],
  ];
  it.each(untouched)('leaves %s %s as it came', (protocol, path, text) => {
    const call = callOf(protocol, path, text);
    expect(writtenText(call)).toBe(text);
    expect(call.write(fullGrant(call)).clamped).toBeNull();
  });
});

function first(model: string, more: object = {}): number | undefined {
  const body = { model, messages: [], max_completion_tokens: 5_000, stream: true, ...more };
  return callOf('openai', CHAT, body).demand.output?.firstTokens;
}

describe('a ceiling', () => {
  const messages = [{ role: 'user', content: 'Hi' }];
  const contents = [{ parts: [{ text: 'Hi' }] }];
  const rows: readonly (readonly ['openai' | 'anthropic' | 'gemini', string, object, object, string])[] = [
    ['openai', CHAT, { model: 'gpt-4o', messages, max_tokens: 900 }, { max_tokens: 40 }, 'max_tokens=40'],
    ['openai', CHAT, { model: 'gpt-4o', messages }, { max_completion_tokens: 40 }, 'max_tokens=40'],
    ['openai', CHAT, { model: 'gpt-4o', messages, max_tokens: null }, { max_completion_tokens: 40 }, 'max_tokens=40'],
    ['openai', RESPONSES, { model: 'gpt-4o', input: 'Hi' }, { max_output_tokens: 40 }, 'max_tokens=40'],
    ['anthropic', MESSAGES, { model: 'claude-opus-5', messages, max_tokens: 900 }, { max_tokens: 40 }, 'max_tokens=40'],
    ['gemini', GENERATE, { contents }, { generationConfig: { maxOutputTokens: 40 } }, 'max_tokens=40'],
    [
      'gemini',
      GENERATE,
      { contents, generationConfig: { topK: 1 } },
      { generationConfig: { topK: 1, maxOutputTokens: 40 } },
      'max_tokens=40',
    ],
    [
      'gemini',
      GENERATE,
      { contents, generation_config: { max_output_tokens: 90 } },
      { generation_config: { max_output_tokens: 40 } },
      'max_tokens=40',
    ],
  ];
  it.each(rows)('is written for %s %s %j', (protocol, path, body, change, clamped) => {
    const call = callOf(protocol, path, body);
    const outbound = call.write({ outputTokens: 40, warnings: [] });
    expect(outbound.clamped).toBe(clamped);
    expect(writtenJson(call, { outputTokens: 40, warnings: [] })).toEqual({ ...body, ...change });
  });

  it('is written to both members where both are given, and held at the larger', () => {
    const body = { model: 'gpt-4o', messages, max_tokens: 900, max_completion_tokens: 500 };
    const call = callOf('openai', CHAT, body);
    expect(call.demand.output?.askedTokens).toBe(900);
    expect(writtenJson(call)).toEqual(body);
    expect(writtenJson(call, { outputTokens: 40, warnings: [] })).toEqual({
      ...body,
      max_tokens: 40,
      max_completion_tokens: 40,
    });
  });

  it('is shared by choices: a grant is divided among them', () => {
    const call = callOf('openai', CHAT, { model: 'gpt-4o', messages, max_tokens: 900, n: 3 });
    expect(call.demand.output).toMatchObject({ askedTokens: 2_700, floorTokens: 3, choices: 3 });
    expect(call.write({ outputTokens: 100, warnings: [] }).clamped).toBe('max_tokens=33');
    expect(call.write({ outputTokens: 2_700, warnings: [] }).clamped).toBeNull();
  });

  it('is the default of the policy where the client names none, and is announced', () => {
    const call = callOf('openai', CHAT, { model: 'gpt-4o', messages }, { defaultOutputTokens: 5_000 });
    expect(call.demand.output?.askedTokens).toBe(5_000);
    expect(call.write(fullGrant(call)).clamped).toBe('max_tokens=5000');
  });

  it("is never above the model's own maximum", () => {
    const call = callOf('openai', CHAT, { model: 'gpt-4-turbo', messages }, { defaultOutputTokens: 50_000 });
    expect(call.write(fullGrant(call)).clamped).toBe('max_tokens=4096');
    const high = callOf('openai', CHAT, { model: 'gpt-4-turbo', messages, max_tokens: 50_000 });
    expect(high.write(fullGrant(high)).clamped).toBe('max_tokens=4096');
  });

  it('leaves room in a small window where the client names none', () => {
    const call = callOf('openai', CHAT, { model: 'gpt-4', messages });
    expect(call.demand.output?.askedTokens).toBe(8_192 - call.demand.inputTokens);
  });

  const floors: readonly (readonly ['openai' | 'anthropic' | 'gemini', string, object, number])[] = [
    ['openai', CHAT, { model: 'gpt-4o', messages }, 1],
    ['openai', RESPONSES, { model: 'gpt-4o', input: 'Hi' }, 16],
    ['openai', RESPONSES, { model: 'gpt-4o', input: 'Hi', max_output_tokens: 5 }, 5],
    [
      'anthropic',
      MESSAGES,
      { model: 'claude-opus-5', messages, max_tokens: 9_000, thinking: { type: 'enabled', budget_tokens: 4_000 } },
      4_001,
    ],
    ['gemini', GENERATE, { contents, generationConfig: { thinkingConfig: { thinkingBudget: 512 } } }, 513],
    ['gemini', GENERATE, { contents, generationConfig: { thinkingConfig: { thinkingBudget: -1 } } }, 1],
    [
      'gemini',
      GENERATE,
      { contents, generationConfig: { candidateCount: 2, thinking_config: { thinking_budget: 10 } } },
      22,
    ],
  ];
  it.each(floors)('has a least useful value: %s %s %j', (protocol, path, body, floorTokens) => {
    expect(callOf(protocol, path, body).demand.output?.floorTokens).toBe(floorTokens);
  });

  it('cannot be lowered where the endpoint has none', () => {
    const { output } = callOf('openai', '/v1/responses/compact', { model: 'gpt-4o', input: 'Hi' }).demand;
    expect(output?.floorTokens).toBe(output?.askedTokens);
    expect(output?.askedTokens).toBe(16_384);
  });

  it('is held little by little only where a stream shows all that it generates', () => {
    expect(first('gpt-4o')).toBe(1_024);
    expect(first('gpt-4o', { n: 2 })).toBe(2_048);
    expect(first('gpt-4o', { stream: false })).toBe(5_000);
    expect(first('gpt-5')).toBe(5_000);
    expect(first('gpt-4o', { web_search_options: {} })).toBe(5_000);
    expect(first('gpt-4o', { max_completion_tokens: 50 })).toBe(50);
  });
});

describe('the usage option', () => {
  const base = { model: 'gpt-4o', messages: [], max_tokens: 10, stream: true };
  it.each([
    [{}, { include_usage: true }],
    [{ stream_options: null }, { include_usage: true }],
    [{ stream_options: {} }, { include_usage: true }],
    [{ stream_options: { include_usage: false } }, { include_usage: true }],
    [{ stream_options: { include_obfuscation: false } }, { include_usage: true, include_obfuscation: false }],
  ])('is forced on a stream with %j', (more, expected) => {
    expect(writtenJson(callOf('openai', CHAT, { ...base, ...more }))).toEqual({ ...base, stream_options: expected });
  });

  it('is left alone where nothing streams', () => {
    expect(writtenJson(callOf('openai', CHAT, { ...base, stream: false }))).toEqual({ ...base, stream: false });
  });
});

describe('the warning', () => {
  const system = { role: 'system', content: WARNING_TEXT };
  const block = { type: 'text', text: WARNING_TEXT };
  const part = { text: WARNING_TEXT };
  const user = { role: 'user', content: 'Hi' };
  const rows: readonly (readonly ['openai' | 'anthropic' | 'gemini', string, object, object])[] = [
    ['openai', CHAT, { model: 'gpt-4o', max_tokens: 9, messages: [user] }, { messages: [user, system] }],
    ['openai', CHAT, { model: 'gpt-4o', max_tokens: 9, messages: [] }, { messages: [system] }],
    [
      'openai',
      CHAT,
      { model: 'o1-mini', max_completion_tokens: 9, messages: [user] },
      { messages: [user, { ...system, role: 'user' }] },
    ],
    ['openai', RESPONSES, { model: 'gpt-4o', max_output_tokens: 19, input: [user] }, { input: [user, system] }],
    ['openai', RESPONSES, { model: 'gpt-4o', max_output_tokens: 19, input: 'Hi' }, { input: [user, system] }],
    ['openai', RESPONSES, { model: 'gpt-4o', max_output_tokens: 19, conversation: 'conv_1' }, { input: [system] }],
    ['anthropic', MESSAGES, { model: 'claude-opus-5', max_tokens: 9, messages: [user] }, { system: [block] }],
    [
      'anthropic',
      MESSAGES,
      { model: 'claude-opus-5', max_tokens: 9, messages: [user], system: 'Be kind.' },
      { system: [{ type: 'text', text: 'Be kind.' }, block] },
    ],
    [
      'anthropic',
      MESSAGES,
      { model: 'claude-opus-5', max_tokens: 9, messages: [user], system: '' },
      { system: [block] },
    ],
    [
      'anthropic',
      MESSAGES,
      { model: 'claude-opus-5', max_tokens: 9, messages: [user], system: [{ type: 'text', text: 'a' }] },
      { system: [{ type: 'text', text: 'a' }, block] },
    ],
    [
      'gemini',
      GENERATE,
      { contents: [], generationConfig: { maxOutputTokens: 9 } },
      { systemInstruction: { parts: [part] } },
    ],
    [
      'gemini',
      GENERATE,
      { contents: [], generationConfig: { maxOutputTokens: 9 }, system_instruction: { parts: [{ text: 'a' }] } },
      { system_instruction: { parts: [{ text: 'a' }, part] } },
    ],
  ];
  it.each(rows)('reaches the model in the form of %s %s %j', (protocol, path, body, change) => {
    const call = callOf(protocol, path, body);
    expect(writtenJson(call, { ...fullGrant(call), warnings: WARNED })).toEqual({ ...body, ...change });
  });

  it('fits into what every request holds for it', () => {
    for (const [protocol, path, body] of rows) {
      const call = callOf(protocol, path, body);
      const warned = writtenText(call, { ...fullGrant(call), warnings: WARNED });
      expect(warned.length - writtenText(call).length).toBeLessThan(WARNING_TOKENS);
      expect(call.demand.inputTokens).toBeGreaterThan(warned.length);
    }
  });

  it('is not put where there is nobody to read it', () => {
    const call = callOf('openai', '/v1/embeddings', { model: 'text-embedding-3-small', input: 'x' });
    expect(writtenJson(call, { outputTokens: null, warnings: WARNED })).toEqual({
      model: 'text-embedding-3-small',
      input: 'x',
    });
  });
});
