import { expect, it } from 'vitest';
import { preview } from '../../src/control/preview.ts';
import type { IndexedSession } from '../../src/rpc/control-rpc.ts';

const sessions = Array.from({ length: 5 }, (_, index): IndexedSession => ({
  issuer: 'fusebox',
  sid: `s-${index}`,
  agent: index < 4 ? 'billing-1' : 'support-1',
  customer: null,
  segments: [],
  scopes: [],
  createdAtMs: 0,
  expiresAtMs: 1,
  status: 'active',
}));

it('counts every session that it would stop, and the spend of those that answer', async () => {
  const seen = await preview(
    { level: 'agent', target: 'billing-*', namespace: 'live', routes: [] },
    {
      live: (async function* () {
        yield* sessions;
      })(),
      spent: async ({ sid }) => {
        if (sid === 's-0') throw new Error('out of reach');
        return sid === 's-1' ? null : 5;
      },
    },
  );
  expect(seen).toEqual({ liveSessions: 4, spentLastMinuteMicroUsd: 10, sessionsAsked: 2 });
});
