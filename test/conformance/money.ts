// What black-box tests say about a session's money, in micro-USD, read the way operators read it.
import type { Stack } from '../support/stack.ts';

export interface Money {
  readonly settled: number;
  readonly held: number;
  readonly available: number;
}

/** "12.345678" as whole micro-USD. */
export function micro(usd: string): number {
  return Math.round(Number(usd) * 1_000_000);
}

export async function moneyOf(stack: Stack, id: string): Promise<Money> {
  const { spend } = await stack.admin.session(id);
  return { settled: micro(spend.settled_usd), held: micro(spend.held_usd), available: micro(spend.available_usd) };
}

/** Waits until nothing is held, then checks that the ledger's entries add up to what is settled. */
export async function settledLedger(stack: Stack, id: string): Promise<Awaited<ReturnType<Stack['admin']['ledger']>>> {
  for (let tries = 0; tries < 200; tries += 1) {
    const { held } = await moneyOf(stack, id);
    if (held === 0) break;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  const entries = await stack.admin.ledger(id);
  const { settled, held } = await moneyOf(stack, id);
  const sum = entries.reduce((total, entry) => total + micro(entry.cost_usd), 0);
  if (held !== 0) throw new Error(`${held} micro-USD are still held`);
  if (sum !== settled) throw new Error(`the entries add up to ${sum}, settled is ${settled}`);
  return entries;
}

/** The problem that an answer tells of. */
export async function problemOf(
  response: Response,
): Promise<{ status: number; code: string; body: Record<string, unknown> }> {
  const body: Record<string, unknown> = await response.json();
  return { status: response.status, code: String(body['code']), body };
}
