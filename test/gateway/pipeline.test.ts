// The story of one request, where the platform's own part in it matters.
import { describe, expect, it } from 'vitest';
import { DenialReports } from '../../src/gateway/denial-reports.ts';
import { type GatewayParts, serveRoute } from '../../src/gateway/pipeline.ts';
import { routeTable } from '../../src/gateway/route-table.ts';
import { callUpstream } from '../../src/gateway/upstream-client.ts';
import { parsePolicy } from '../../src/policy/parse.ts';
import type { AdmitAnswer, SessionRpc } from '../../src/rpc/session-rpc.ts';
import type { EdgeSnapshot } from '../../src/snapshot/snapshot-client.ts';
import { NOW_MS, identity } from '../session/given.ts';

const POLICY = `
version: 1
routes:
  tickets: { upstream: "http://127.0.0.1:9", protocol: http, scope: "ticket:read", fees: [{ usd: "0.01" }] }
`;

/** A gateway whose one session answers as told. */
function gateway(session: Partial<SessionRpc>, held: Partial<EdgeSnapshot> = {}): GatewayParts {
  const reading = parsePolicy(POLICY, { allowLoopback: true });
  if (!reading.ok) throw new Error(JSON.stringify(reading.errors));
  const principal = { ...identity(), scopes: ['ticket:*'], jti: 'jti-1', issuedAtMs: NOW_MS };
  const snapshot: Partial<EdgeSnapshot> = {
    freshness: () => 'fresh',
    refreshIsDue: () => false,
    verdict: () => null,
    learn: () => undefined,
    ...held,
  };
  return {
    issuer: 'fusebox',
    rules: () => ({
      policy: reading.policy,
      routes: routeTable(reading.policy, {}),
      tokens: { verify: () => ({ ok: true, value: principal }) },
    }),
    denials: new DenialReports({
      session: () => session as SessionRpc,
      now: () => NOW_MS,
      sleep: async () => undefined,
      log: () => undefined,
    }),
    upstream: callUpstream,
    namespace: 'live',
    snapshot: snapshot as EdgeSnapshot,
    session: () => session as SessionRpc,
    halted: false,
    now: () => NOW_MS,
  };
}

describe('a request', () => {
  it('outlives its client while it is being admitted, so that a hold placed meanwhile is given back', async () => {
    const admission = Promise.withResolvers<AdmitAnswer>();
    const kept: Promise<unknown>[] = [];
    const parts = gateway({ admit: () => admission.promise });
    const request = new Request('https://gateway.example/tickets/1', { headers: { authorization: 'Bearer token' } });
    const answer = serveRoute(request, parts, { waitUntil: (work) => kept.push(work) });
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(kept).toHaveLength(1);
    let isKept = true;
    void kept[0]?.then(() => (isKept = false));
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(isKept).toBe(true);
    const denial = { code: 'spend-held', detail: 'held' } as const;
    admission.resolve({ admitted: false, denial, standing: null, revocation: null });
    expect((await answer).status).toBe(429);
    await kept[0];
  });

  it('has news asked for though memory refuses it, so that a lift is heard of where nothing else comes', async () => {
    let asked = 0;
    const parts = gateway(
      {},
      {
        freshness: () => 'unconfirmed',
        refreshIsDue: () => true,
        refresh: async () => void (asked += 1),
        verdict: () => ({ code: 'kill-switch-active', detail: 'stopped' }),
      },
    );
    const request = new Request('https://gateway.example/tickets/1', { headers: { authorization: 'Bearer token' } });
    expect((await serveRoute(request, parts, { waitUntil: () => undefined })).status).toBe(403);
    expect(asked).toBe(1);
  });
});
