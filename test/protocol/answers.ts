// Calls of each protocol and answers to them, for the tests of meters.
import type { Call, Reading } from '../../src/protocol/protocol.ts';
import { callOf, feed } from './fixtures.ts';

export const user = { role: 'user', content: 'Hi' };
export const CHAT = callOf('openai', '/v1/chat/completions', { model: 'gpt-4o', messages: [user], max_tokens: 1_000 });
export const STREAM = callOf('openai', '/v1/chat/completions', {
  model: 'gpt-4o',
  messages: [user],
  max_tokens: 1_000,
  stream: true,
});
export const RESPONSE = callOf('openai', '/v1/responses', { model: 'gpt-4o', input: 'Hi', stream: true });
export const MESSAGE = callOf('anthropic', '/v1/messages', {
  model: 'claude-opus-5',
  max_tokens: 1_000,
  messages: [user],
  stream: true,
});
export const GENERATE = callOf(
  'gemini',
  '/v1beta/models/gemini-2.5-flash:streamGenerateContent',
  { contents: [{ parts: [{ text: 'Hi' }] }] },
  { query: '?alt=sse' },
);

export function answered(call: Call, body: unknown): Reading {
  const meter = call.meter();
  meter.answer(typeof body === 'string' ? body : JSON.stringify(body));
  return meter.reading();
}

export function streamed(call: Call, events: readonly (string | object)[]): Reading {
  const meter = call.meter();
  feed(meter, events);
  return meter.reading();
}

export function heldOf({ demand }: Call): number {
  return (
    demand.fixedMicroUsd +
    Math.ceil(((demand.output?.askedTokens ?? 0) * (demand.output?.microUsdPerMillion ?? 0)) / 1_000_000)
  );
}

export const completion = (usage: unknown, more: object = {}): object => ({
  model: 'gpt-4o-2024-08-06',
  choices: [{ index: 0, message: { role: 'assistant', content: 'Hello' } }],
  usage,
  ...more,
});
export const delta = (content: string, more: object = {}): object => ({
  model: 'gpt-4o',
  choices: [{ index: 0, delta: { content } }],
  ...more,
});
export const lastChunk = (usage: object): object => ({ model: 'gpt-4o', choices: [], usage });
export const USAGE = { prompt_tokens: 100, completion_tokens: 10 };
