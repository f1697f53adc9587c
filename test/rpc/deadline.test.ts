import { describe, expect, it } from 'vitest';
import { within } from '../../src/rpc/deadline.ts';

describe('a deadline', () => {
  it('gives the answer that comes in time, and what it rejects with', async () => {
    expect(await within(Promise.resolve('answer'), 60_000)).toBe('answer');
    await expect(within(Promise.reject(new Error('no')), 60_000)).rejects.toThrow('no');
  });

  it('gives null for an answer that does not come', async () => {
    expect(await within(new Promise(() => undefined), 1)).toBeNull();
  });
});
