// The proof that a refusal touched nothing: no request at the upstream, no entry and no micro-dollar in the ledger.
import { expect } from 'vitest';
import type { Stack } from '../support/stack.ts';
import { moneyOf } from './money.ts';

/** Runs `attempt`, then checks that the upstream heard nothing and that the session's ledger is as it was before. */
export async function unmoved<T>(stack: Stack, id: string, attempt: () => Promise<T>): Promise<T> {
  const before = { money: await moneyOf(stack, id), entries: await stack.admin.ledger(id) };
  const heard = stack.upstream.stats().requests;
  const outcome = await attempt();
  expect(stack.upstream.stats().requests - heard).toBe(0);
  expect({ money: await moneyOf(stack, id), entries: await stack.admin.ledger(id) }).toEqual(before);
  return outcome;
}
