// Where a chaos run takes place: the gateway that is killed, the upstream that counts, the clock and what was found out.
import { adminClient, type AdminClient } from '../../scripts/admin-client.ts';
import { startGateway, type Gateway } from '../../scripts/gateway-process.ts';
import { throwawaySecrets } from '../../scripts/throwaway-secrets.ts';
import { directivesInText, lastUserText, NORMAL } from '../../demo/upstream/behaviour.ts';
import { countOf, objectOf, textOf } from '../../demo/upstream/json.ts';
import { openai } from '../../demo/upstream/openai.ts';
import type { ReceivedRequest } from '../../demo/upstream/recorder.ts';
import { startUpstream } from '../../demo/upstream/server.ts';
import { seeded, type Random } from '../simulation/random.ts';
import { chaosBundle, DOOR_PATH, type Leases } from './chaos-bundle.ts';
import type { Counts, Served, SessionUnderTest, Violation, ViolationKind } from './evidence.ts';

export const ROUTE_TIMEOUT_SECONDS = 1;
/** Awkward on purpose: neither divides a cap. */
const FEES = { GET: 733, POST: 4_111 } as const;
const PRICE = { inputMicroUsd: 3, outputMicroUsd: 12 } as const;
const CALL_TIMEOUT_MS = 10_000;

const policy = (upstream: string): string => `version: 1
sessions: { least_useful_usd: "0.000733" }
routes:
  chat: { upstream: "${upstream}/openai", protocol: openai, scope: chat, timeout_seconds: ${ROUTE_TIMEOUT_SECONDS} }
  desk:
    upstream: "${upstream}"
    protocol: http
    scope: desk
    timeout_seconds: ${ROUTE_TIMEOUT_SECONDS}
    fees: [{ method: GET, usd: "0.000733" }, { method: POST, usd: "0.004111" }]
prices:
  - { match: gpt-4o-mini, input_usd_per_million: 3, output_usd_per_million: 12, context_tokens: 16000, max_output_tokens: 4000 }
`;

export interface World {
  readonly gateway: Gateway;
  readonly admin: AdminClient;
  readonly leases: Leases;
  /** The longest lease of a hold. */
  readonly leaseMs: number;
  readonly sessions: SessionUnderTest[];
  /** By tag. */
  readonly served: Map<string, Served>;
  /** Tags that reached the upstream more than once. */
  readonly servedTwice: Set<string>;
  readonly kills: number[];
  readonly violations: Violation[];
  readonly counts: Counts;
  /** True once no more load is wanted. */
  over: boolean;
  violation(kind: ViolationKind, session: SessionUnderTest, what: string): void;
  killedBetween(fromMs: number, toMs: number): boolean;
  randomOf(stream: number): Random;
  /** A call to a session's object, as a Worker on another machine makes it. Rejects when the outcome is unknown. */
  far<T>(session: SessionUnderTest, method: string, ...args: readonly unknown[]): Promise<T>;
  /** A call of an agent. */
  call(path: string, init: RequestInit): Promise<Response>;
  /** Takes down what the upstream has received since the last time. */
  takeServed(): void;
  close(): Promise<void>;
}

export async function startWorld(options: { readonly seed: number; readonly leases: Leases }): Promise<World> {
  const { leases, seed } = options;
  const upstream = await startUpstream({ port: 0 });
  const { adminToken, vars } = await throwawaySecrets();
  const { bundle, discard } = await chaosBundle(leases);
  const close = async (gateway: Gateway | null): Promise<void> => {
    await gateway?.stop();
    await upstream.close();
    await discard();
  };
  let gateway: Gateway;
  try {
    gateway = await startGateway({ port: 0, persist: null, vars, policyText: policy(upstream.url), bundle });
  } catch (error) {
    await close(null);
    throw error;
  }
  const served = new Map<string, Served>();
  const servedTwice = new Set<string>();
  const kills: number[] = [];
  const violations: Violation[] = [];
  return {
    gateway,
    admin: adminClient({ url: gateway.url, token: adminToken }),
    leases,
    leaseMs: Math.max(leases.streamMs, ROUTE_TIMEOUT_SECONDS * 1_000 + leases.marginMs),
    sessions: [],
    served,
    servedTwice,
    kills,
    violations,
    counts: { polls: 0, limitsChanged: 0, revocations: 0 },
    over: false,
    violation(kind, session, what) {
      // The same finding turns up at every later look.
      const known = violations.some((one) => one.kind === kind && one.session === session.id && one.what === what);
      if (!known) violations.push({ kind, session: session.id, what });
    },
    killedBetween: (fromMs, toMs) => kills.some((atMs) => atMs >= fromMs && atMs <= toMs),
    randomOf: (stream) => seeded(seed * 1_009 + stream * 7_919),
    async far<T>(session: SessionUnderTest, method: string, ...args: readonly unknown[]) {
      const answer = await fetch(gateway.url + DOOR_PATH, {
        method: 'POST',
        body: JSON.stringify({ name: session.name, method, args }),
        signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
      });
      if (!answer.ok) throw new Error(await answer.text());
      return (await answer.json()) as T;
    },
    call: (path, init) => fetch(gateway.url + path, { signal: AbortSignal.timeout(CALL_TIMEOUT_MS), ...init }),
    takeServed() {
      for (const received of upstream.requests) {
        const bill = billFor(received);
        if (bill === null) continue;
        if (served.has(bill.tag)) servedTwice.add(bill.tag);
        served.set(bill.tag, bill);
      }
      upstream.reset();
    },
    close: () => close(gateway),
  };
}

/** What the upstream bills for what it received: the same arithmetic that it answers with. Null where it answers an error. */
function billFor(received: ReceivedRequest): Served | null {
  const query = new URLSearchParams(received.query);
  const tag = query.get('tag');
  if (tag !== null) {
    const failing = query.get('behave')?.startsWith('status:') === true;
    const fee = failing ? 0 : received.method === 'POST' ? FEES.POST : FEES.GET;
    return { tag, inputMicroUsd: fee, inputTokens: 0, wholeMicroUsd: fee, wholeTokens: 0 };
  }
  const body = received.json;
  const chatTag = /#([\w-]+)#/.exec(received.body)?.[1];
  if (body === null || chatTag === undefined) return null;
  const { method, headers } = received;
  const behaviour = directivesInText(lastUserText(body), NORMAL);
  const path = received.path.slice('/openai'.length);
  const asked = { method, path, query, headers, body: { ...body, stream: false }, behaviour };
  const answer = openai.answer(asked);
  if (answer.kind !== 'json' || answer.status !== 200) return null;
  const usage = objectOf(objectOf(answer.body)['usage']);
  const input = countOf(usage['prompt_tokens'], 0) ?? 0;
  const output = countOf(usage['completion_tokens'], 0) ?? 0;
  return {
    tag: chatTag,
    inputMicroUsd: input * PRICE.inputMicroUsd,
    inputTokens: input,
    wholeMicroUsd: input * PRICE.inputMicroUsd + output * PRICE.outputMicroUsd,
    wholeTokens: input + output,
  };
}

export const outputPrice = (tokens: number): number => tokens * PRICE.outputMicroUsd;

/** The code of a problem document; null where it is none. */
export async function problemCode(answer: Response): Promise<string | null> {
  return textOf(objectOf(JSON.parse(await answer.text()))['code']);
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
