// What is heard of before a request is sent: an isolate that was idle refreshes beside the admission of the first request
// that finds it so, and one that was not hears of what is pulled while a body or an admission takes its time.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { DenialReports } from '../../src/gateway/denial-reports.ts';
import { serveRoute } from '../../src/gateway/pipeline.ts';
import { routeTable } from '../../src/gateway/route-table.ts';
import type { Denial } from '../../src/denial.ts';
import { SLOW_BODY_MS, SNAPSHOT_BESIDE_ADMISSION_MS } from '../../src/limits.ts';
import { microUsd } from '../../src/money.ts';
import { parsePolicy } from '../../src/policy/parse.ts';
import type { Admitted, SessionRpc } from '../../src/rpc/session-rpc.ts';
import type { EdgeSnapshot, Freshness } from '../../src/snapshot/snapshot-client.ts';
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

/**
 * A request to a gateway, idle before unless it says otherwise. Its refresh, its body and its admission end when the test
 * says so, and what memory has against it is the test's as well.
 */
function gateway(how: { freshness?: Freshness; body?: ReadableStream<Uint8Array>; admit?: Promise<Admitted> } = {}) {
  const reading = parsePolicy(POLICY, { allowLoopback: false });
  if (!reading.ok) throw new Error(JSON.stringify(reading.errors));
  const { policy } = reading;
  const refresh = Promise.withResolvers<undefined>();
  const world = {
    against: null as Denial | null,
    /** What a refresh of a stale copy brings. */
    news: null as Denial | null,
    freshness: how.freshness ?? 'unconfirmed',
    nowMs: NOW_MS,
    admissions: 0,
    forwarded: 0,
    ended: [] as string[],
    refresh,
  };
  const snapshot: Partial<EdgeSnapshot> = {
    freshness: () => world.freshness,
    refreshIsDue: () => world.freshness !== 'fresh',
    refresh: async () => {
      await refresh.promise;
      if (world.freshness === 'stale') Object.assign(world, { freshness: 'fresh', against: world.news });
    },
    verdict: () => world.against,
    learn: () => undefined,
  };
  const session: Partial<SessionRpc> = {
    admit: async () => {
      world.admissions += 1;
      return how.admit ?? ADMITTED;
    },
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
  const request = new Request('https://gateway.example/tickets/1', {
    headers: { authorization: 'Bearer token' },
    ...(how.body === undefined ? {} : { method: 'POST', body: how.body }),
  });
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
      now: () => world.nowMs,
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
    const { world, answer } = gateway();
    await vi.advanceTimersByTimeAsync(SNAPSHOT_BESIDE_ADMISSION_MS - 1);
    expect(world.forwarded).toBe(0);
    world.refresh.resolve(undefined);
    await vi.advanceTimersByTimeAsync(0);
    expect((await answer).status).toBe(200);
    expect(world.forwarded).toBe(1);
  });

  it('waits for a refresh no longer than stated', async () => {
    const { world, answer } = gateway();
    await vi.advanceTimersByTimeAsync(SNAPSHOT_BESIDE_ADMISSION_MS);
    expect((await answer).status).toBe(200);
    expect(world.forwarded).toBe(1);
  });

  it('is refused, and its hold given back, by what the refresh brings', async () => {
    const { world, answer } = gateway();
    await vi.advanceTimersByTimeAsync(10);
    world.against = STOPPED;
    world.refresh.resolve(undefined);
    await vi.advanceTimersByTimeAsync(0);
    expect((await answer).status).toBe(403);
    expect(world.forwarded).toBe(0);
    expect(world.ended).toEqual(['revoked-before-sending']);
  });
});

/** A body that ends when the test says so. */
function slowBody(): { readonly body: ReadableStream<Uint8Array>; readonly close: () => Promise<void> } {
  const body = new TransformStream<Uint8Array, Uint8Array>();
  const writer = body.writable.getWriter();
  return { body: body.readable, close: () => writer.close() };
}

describe('a request that takes its time before it is sent', () => {
  it.each<[string, Freshness]>([
    ['the isolate has heard meanwhile', 'fresh'],
    ['the isolate hears then, since nothing else has asked', 'stale'],
  ])('is refused without an admission by what was pulled while its body came, where %s', async (_where, freshness) => {
    const { body, close } = slowBody();
    const { world, answer } = gateway({ freshness: 'fresh', body });
    await vi.advanceTimersByTimeAsync(0);
    world.nowMs += SLOW_BODY_MS + 1;
    world.freshness = freshness;
    world[freshness === 'fresh' ? 'against' : 'news'] = STOPPED;
    world.refresh.resolve(undefined);
    await close();
    const { status } = await answer;
    expect([status, world.admissions, world.forwarded]).toEqual([403, 0, 0]);
  });

  it('is not refused for a body that was slow', async () => {
    const { body, close } = slowBody();
    const { world, answer } = gateway({ freshness: 'fresh', body });
    await vi.advanceTimersByTimeAsync(0);
    world.nowMs += SLOW_BODY_MS + 1;
    await close();
    const { status } = await answer;
    expect([status, world.forwarded]).toEqual([200, 1]);
  });

  it('is refused, and its hold given back, by what was pulled while it was being admitted', async () => {
    const admitting = Promise.withResolvers<Admitted>();
    const { world, answer } = gateway({ freshness: 'fresh', admit: admitting.promise });
    await vi.advanceTimersByTimeAsync(0);
    world.against = STOPPED;
    admitting.resolve(ADMITTED);
    const { status } = await answer;
    expect([status, world.forwarded]).toEqual([403, 0]);
    expect(world.ended).toEqual(['revoked-before-sending']);
  });
});
