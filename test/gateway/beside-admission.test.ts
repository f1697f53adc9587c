// An isolate that was idle refreshes beside the admission of the first request that finds it so.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DenialReports } from '../../src/gateway/denial-reports.ts';
import { serveRoute } from '../../src/gateway/pipeline.ts';
import { routeTable } from '../../src/gateway/route-table.ts';
import type { Denial } from '../../src/denial.ts';
import { SNAPSHOT_BESIDE_ADMISSION_MS } from '../../src/limits.ts';
import { microUsd } from '../../src/money.ts';
import { parsePolicy } from '../../src/policy/parse.ts';
import type { Admitted, SessionRpc } from '../../src/rpc/session-rpc.ts';
import type { EdgeSnapshot } from '../../src/snapshot/snapshot-client.ts';
import { NOW_MS, identity } from '../session/given.ts';

const POLICY = `
version: 1
routes:
  tickets: { upstream: "https://tickets.example.com", protocol: http, scope: "ticket:read", fees: [{ usd: "0.01" }] }
`;
const STOPPED: Denial = { code: 'kill-switch-active', detail: 'Everything is stopped by an operator.' };
const ADMITTED: Admitted = {
  admitted: true,
  receipt: {
    generation: 1,
    id: 'request',
    microUsd: microUsd(10_000),
    tokens: 0,
    admittedAtMs: NOW_MS,
    purpose: { route: 'tickets', protocol: 'http', model: null, action: 'GET /' },
  },
  outputTokens: null,
  warnings: [],
  standing: {
    spend: { limitMicroUsd: microUsd(1_000_000), availableMicroUsd: microUsd(990_000) },
    tokens: null,
    requests: null,
  },
};

/** A request to a gateway that was idle; its refresh ends when the test says so, and so does what it finds. */
function idleGateway() {
  const reading = parsePolicy(POLICY, { allowLoopback: false });
  if (!reading.ok) throw new Error(JSON.stringify(reading.errors));
  const { policy } = reading;
  const refresh = Promise.withResolvers<undefined>();
  const world = { against: null as Denial | null, forwarded: 0, ended: [] as string[], refresh };
  const snapshot: Partial<EdgeSnapshot> = {
    freshness: () => 'unconfirmed',
    refreshIsDue: () => true,
    refresh: () => refresh.promise,
    verdict: () => world.against,
    learn: () => undefined,
  };
  const session: Partial<SessionRpc> = {
    admit: async () => ADMITTED,
    void: async (_receipt, reason) => {
      world.ended.push(reason);
      return { state: 'voided', costMicroUsd: microUsd(0) };
    },
    settle: async ({ reason }) => {
      world.ended.push(reason);
      return { state: 'settled', costMicroUsd: microUsd(10_000) };
    },
    watch: () => new Promise(() => undefined),
  };
  const principal = { ...identity(), scopes: ['ticket:*'], jti: 'jti-1', issuedAtMs: NOW_MS };
  const request = new Request('https://gateway.example/tickets/1', { headers: { authorization: 'Bearer token' } });
  const answer = serveRoute(
    request,
    {
      issuer: 'fusebox',
      rules: () => ({
        policy,
        routes: routeTable(policy, {}),
        tokens: { verify: () => ({ ok: true, value: principal }) },
      }),
      denials: new DenialReports({
        session: () => session as SessionRpc,
        now: () => NOW_MS,
        sleep: async () => undefined,
        log: () => undefined,
      }),
      upstream: async () => {
        world.forwarded += 1;
        return { outcome: 'answered', response: new Response('{}') };
      },
      namespace: 'live',
      snapshot: snapshot as EdgeSnapshot,
      session: () => session as SessionRpc,
      halted: false,
      now: () => NOW_MS,
    },
    { waitUntil: () => undefined },
  );
  return { world, answer };
}

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(() => {
  vi.useRealTimers();
});

describe('a request that finds its isolate unconfirmed', () => {
  it('is not forwarded before the refresh has ended', async () => {
    const { world, answer } = idleGateway();
    await vi.advanceTimersByTimeAsync(SNAPSHOT_BESIDE_ADMISSION_MS - 1);
    expect(world.forwarded).toBe(0);
    world.refresh.resolve(undefined);
    await vi.advanceTimersByTimeAsync(0);
    expect((await answer).status).toBe(200);
    expect(world.forwarded).toBe(1);
  });

  it('waits for a refresh no longer than stated', async () => {
    const { world, answer } = idleGateway();
    await vi.advanceTimersByTimeAsync(SNAPSHOT_BESIDE_ADMISSION_MS);
    expect((await answer).status).toBe(200);
    expect(world.forwarded).toBe(1);
  });

  it('is refused, and its hold given back, by what the refresh brings', async () => {
    const { world, answer } = idleGateway();
    await vi.advanceTimersByTimeAsync(10);
    world.against = STOPPED;
    world.refresh.resolve(undefined);
    await vi.advanceTimersByTimeAsync(0);
    expect((await answer).status).toBe(403);
    expect(world.forwarded).toBe(0);
    expect(world.ended).toEqual(['revoked-before-sending']);
  });
});
