// Session objects on their platform, for the tests that need one: created, asked, crashed, and taken to their end.
import { env } from 'cloudflare:workers';
import { runInDurableObject } from 'cloudflare:test';
import { sessionClient } from '../../src/rpc/session-client.ts';
import type {
  AdmissionRules,
  Admitted,
  AdmitRequest,
  SessionLimits,
  SessionRpc,
  Settlement,
} from '../../src/rpc/session-rpc.ts';
import type { SessionImage } from '../../src/session/session.ts';
import type { SessionObject } from '../../src/session/session-object.ts';
import { ACT, RULES, fee, identity, request, usd } from './given.ts';

export const settlement = (receipt: Admitted['receipt'], dollars: number): Settlement => ({
  receipt,
  costMicroUsd: usd(dollars),
  tokens: 0,
  usage: null,
  estimated: false,
  reason: 'completed',
});

export function stubOf(name: string): DurableObjectStub<SessionObject> {
  const { SESSION } = env as { SESSION: DurableObjectNamespace<SessionObject> };
  return SESSION.getByName(name);
}

/** As the Worker calls it: a new stub for every call, so that a broken one does not stay. */
export function clientOf(name: string): SessionRpc {
  return sessionClient({ getByName: stubOf }, name);
}

/** A created session whose life is around the real clock. */
export async function created(
  name: string,
  limits: Partial<SessionLimits> = {},
  rules: Partial<AdmissionRules> = {},
): Promise<{ rpc: SessionRpc; asked: (dollars: number, more?: Partial<AdmitRequest>) => AdmitRequest }> {
  const session = identity(limits, { sid: name, expiresAtMs: Date.now() + 3_600_000 });
  const all = { ...RULES, ...rules };
  const rpc = clientOf(name);
  await rpc.create({ session, rules: all, act: ACT });
  return { rpc, asked: (dollars, more = {}) => request(fee(dollars), { session, rules: all, ...more }) };
}

export async function admit(rpc: SessionRpc, asked: AdmitRequest): Promise<Admitted> {
  const answer = await rpc.admit(asked);
  if (!answer.admitted) throw new Error(`refused: ${answer.denial.code}`);
  return answer;
}

export const keysOf = (name: string): Promise<string[]> =>
  runInDurableObject(stubOf(name), (_instance, state) => [...state.storage.kv.list()].map(([key]) => key));

/** Ends the object as a crash would: what is not on disk is gone. */
export async function crash(name: string): Promise<void> {
  await runInDurableObject(stubOf(name), (_instance, state) => state.abort('crash')).catch(() => undefined);
}

/** As if so much time had passed since: the session's end is that far back. */
export async function ended(name: string, agoMs: number): Promise<void> {
  const expiresAtMs = Date.now() - agoMs;
  // A batch that is under way would put the old end back.
  while ((await headOf(name)).identity.expiresAtMs > expiresAtMs) {
    await runInDurableObject(stubOf(name), async (_instance, state) => {
      const head = state.storage.kv.get<SessionImage>('head');
      if (head === undefined) throw new Error('no such session');
      const doubt = head.ledger.doubt.map(([of, { amounts }]) => [of, { amounts, untilMs: expiresAtMs }] as const);
      const open = head.ledger.open.map((hold) => ({ ...hold, leaseUntilMs: expiresAtMs }));
      const ledger = { ...head.ledger, doubt, open };
      state.storage.kv.put('head', { ...head, ledger, identity: { ...head.identity, expiresAtMs } });
      await state.storage.sync();
    });
    await crash(name);
  }
}

export async function headOf(name: string): Promise<SessionImage> {
  const head = await runInDurableObject(stubOf(name), (_object, state) => state.storage.kv.get<SessionImage>('head'));
  if (head === undefined) throw new Error('no such session');
  return head;
}

/** The whole log as it is exported, without its frame. */
export async function logOf(rpc: SessionRpc): Promise<string[]> {
  const lines: string[] = [];
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<SessionRpc['audit']>> = await rpc.audit({ cursor });
    if (page === null) throw new Error('no such session');
    lines.push(...page.lines);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return lines;
}
