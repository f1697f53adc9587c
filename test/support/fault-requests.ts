// What tests of outages ask of an isolate, again and again.
import { eventually } from './eventually.ts';
import type { Answer, Faults, Isolate } from './fault-stack.ts';

/** A tool's answer, of which nothing is special. */
export const TICKET = '/tickets/tickets/1';

export const ticket = (isolate: Isolate, token: string): Promise<Response> => isolate.call(TICKET, { token });

export async function statusAt(isolate: Isolate, token: string): Promise<number> {
  const { status, body } = await ticket(isolate, token);
  await body?.cancel();
  return status;
}

/** Resolves once the isolate answers with that status. */
export const becomes = (isolate: Isolate, token: string, status: number): Promise<number> =>
  eventually(
    () => statusAt(isolate, token),
    (seen) => seen === status,
  );

/** A switch by its level and target: `agent/billing-7`. */
export const pull = (isolate: Isolate, name: string): Promise<Answer> =>
  isolate.admin('PUT', `/kill-switches/${name}`, { reason: 'runaway' });

export const lift = (isolate: Isolate, name: string): Promise<Answer> =>
  isolate.admin('DELETE', `/kill-switches/${name}`, { reason: 'over' });

/** The object of one session away, and nothing else. */
export const objectOf = (session: { readonly id: string }): Faults => ({
  [`session:fusebox~${session.id}` as const]: 'fails' as const,
});

export const sleep = (delayMs: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, delayMs));
