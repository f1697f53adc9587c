// The cap under simultaneous requests: never over, and never refused while the money was there.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startStack, type Stack } from '../support/stack.ts';
import { micro, moneyOf, problemOf, settledLedger } from './money.ts';

const REQUESTS = 1_000;

describe('a thousand requests at once', () => {
  let stack: Stack;
  beforeAll(async () => {
    stack = await startStack();
  });
  afterAll(() => stack.close());

  it.each(['0.333333', '1.000001', '0.070007', '4.999999'])('on one session with a cap of %s', async (cap) => {
    const { session, token } = await stack.issueSession({ limits: { spend_usd: cap } });
    stack.upstream.reset();
    const answers = await Promise.all(
      Array.from({ length: REQUESTS }, async () => {
        const response = await stack.call('/tickets/tickets', { token });
        if (response.status === 200) {
          await response.text();
          return 'served';
        }
        const { code, body } = await problemOf(response);
        if (code === 'spend-held')
          expect(micro(String(body['available_usd']))).toBeLessThan(micro(String(body['hold_usd'])));
        if (code === 'spend-limit-exceeded') expect(micro(String(body['left_usd']))).toBeLessThan(10_000);
        return code;
      }),
    );
    const served = answers.filter((answer) => answer === 'served').length;
    expect(
      [...new Set(answers)].filter(
        (answer) => !['served', 'spend-held', 'spend-limit-exceeded', 'session-revoked'].includes(answer),
      ),
    ).toEqual([]);
    await settledLedger(stack, session.id);
    const { settled } = await moneyOf(stack, session.id);
    expect(settled).toBeLessThanOrEqual(micro(cap));
    expect(settled).toBe(served * 10_000);
    expect(stack.upstream.stats().requests).toBe(served);
    // Whoever was told to wait would have been served now, unless the session tripped.
    expect(served).toBe(Math.min(REQUESTS, Math.floor(micro(cap) / 10_000)));
  });

  it('on one session with model calls of every size', async () => {
    const cap = 777_777;
    const { session, token } = await stack.issueSession({ limits: { spend_usd: '0.777777' } });
    const answers = await Promise.all(
      Array.from({ length: REQUESTS }, async (_, index) => {
        const body = {
          model: 'gpt-4o',
          max_completion_tokens: 100 + ((index * 37) % 900),
          messages: [{ role: 'user', content: `[[tokens:${(index * 53) % 1_200}]] ${'word '.repeat(index % 60)}` }],
        };
        const response = await stack.call('/local-openai/v1/chat/completions', { token, body });
        const standing = /"spend";r=(\d+)/.exec(response.headers.get('ratelimit') ?? '');
        if (standing !== null) expect(Number(standing[1])).toBeLessThanOrEqual(cap);
        await response.text();
        return response.status;
      }),
    );
    expect(answers.filter((status) => status === 200).length).toBeGreaterThan(50);
    const entries = await settledLedger(stack, session.id);
    expect((await moneyOf(stack, session.id)).settled).toBeLessThanOrEqual(cap);
    expect(entries.filter(({ state }) => state !== 'settled')).toEqual([]);
  });
});
