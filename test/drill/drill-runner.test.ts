import { expect, it } from 'vitest';
import { type DrillPorts, runDrill } from '../../src/drill/drill-runner.ts';

const away = async (): Promise<never> => {
  throw new Error('the control object is away');
};

/** A data plane that works until a session is revoked, and a control object that cannot be asked. */
function ports(): DrillPorts {
  let isRevoked = false;
  const probe = async (request: Request): Promise<Response> => {
    if (isRevoked) return Response.json({ code: 'session-revoked' }, { status: 403 });
    if (request.method === 'GET') return Response.json({ drill: 'ok' });
    return new Response('data: {"code":"session-revoked"}', { headers: { 'content-type': 'text/event-stream' } });
  };
  return {
    probe,
    probeHalted: async () => Response.json({ code: 'kill-switch-active' }, { status: 403 }),
    upstreamCalls: () => 0,
    issue: async ({ customer }) => ({ token: 'token', session: { issuer: 'fusebox', sid: customer } }),
    revoke: async ({ sid }) => {
      isRevoked ||= sid.endsWith('session');
    },
    control: { pull: away, lift: away, drillEvents: away },
    authorisation: () => [],
    now: () => 0,
    sleep: async () => undefined,
  };
}

it('ends in evidence of a failure where the control object cannot be asked', async () => {
  const report = await runDrill({ id: 'one', trigger: 'operator', by: 'ann', reason: 'test' }, ports());
  expect(report.passed).toBe(false);
  expect(report.stops.map(({ stop, passed }) => [stop, passed])).toEqual([
    ['global', false],
    ['agent', false],
    ['feature', false],
    ['customer', false],
    ['segment', false],
    ['session', expect.any(Boolean)],
    ['halt', true],
  ]);
  expect(report.issues).toContain('global: it could be drilled to its end: Error: the control object is away.');
});
