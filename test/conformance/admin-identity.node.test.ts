// Who may use the control plane, against the running gateway: Cloudflare Access with keys from an endpoint on this
// machine, break-glass tokens, and both while that endpoint is down.
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type AccessKeyPair,
  accessKey,
  assertion,
  AUDIENCE,
  type CertsEndpoint,
  certsAnswer,
  personClaims,
  startCertsEndpoint,
} from '../support/access.ts';
import { startStack, type Stack } from '../support/stack.ts';

const GLASS = 'break-glass-token-for-tests-000000000000';

function claimsNow(more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  const iat = Math.floor(Date.now() / 1_000);
  return personClaims({ iat, nbf: iat, exp: iat + 600, ...more });
}

describe('the control plane behind Cloudflare Access', { timeout: 60_000 }, () => {
  let stack: Stack;
  let endpoint: CertsEndpoint;
  let key: AccessKeyPair;
  const lines: string[] = [];
  beforeAll(async () => {
    key = await accessKey('k1');
    endpoint = await startCertsEndpoint(key);
    const glass = {
      id: 'glass',
      owner: 'Alice@acme.example',
      sha256: createHash('sha256').update(GLASS).digest('hex'),
      roles: ['viewer', 'operator'],
      break_glass: true,
    };
    stack = await startStack({
      vars: { ADMIN_TOKENS: JSON.stringify([glass]) },
      onLog: (line) => lines.push(line),
      policy: (upstream) => `version: 1
routes: { tickets: { upstream: "${upstream}", protocol: http, scope: "ticket:read", fees: [{ usd: 0 }] } }
admin:
  access:
    team: acme
    audience: ${AUDIENCE}
    certs_url: ${endpoint.url}
    roles: [{ email: alice@acme.example, roles: [viewer] }]
`,
    });
  });
  afterAll(async () => {
    await stack.close();
    await endpoint.close();
  });

  const list = async (headers: Readonly<Record<string, string>>): Promise<number> =>
    (await fetch(`${stack.url}/admin/sessions`, { headers })).status;
  const withAssertion = async (claims = claimsNow(), by = key): Promise<number> =>
    list({ 'cf-access-jwt-assertion': await assertion(by, claims) });

  it('lets a person in whom the policy names, and nobody else', async () => {
    expect(await withAssertion()).toBe(200);
    expect(await withAssertion(claimsNow({ email: 'mallory@acme.example' }))).toBe(403);
    expect(await withAssertion(claimsNow({ aud: ['another'] }))).toBe(401);
    expect(await withAssertion(claimsNow(), await accessKey('k1'))).toBe(401);
    expect(await withAssertion(claimsNow(), await accessKey('k2'))).toBe(401);
  });

  it('asks for the keys once', async () => {
    expect(await withAssertion()).toBe(200);
    expect(await withAssertion()).toBe(200);
    expect(endpoint.count).toBe(1);
  });

  it('works by a broken glass while the keys cannot be had, and raises an alarm each time', async () => {
    endpoint.answer = 'never';
    await stack.gateway.restart();
    lines.length = 0;
    const headers = { authorization: `Bearer ${GLASS}`, 'cf-access-jwt-assertion': await assertion(key, claimsNow()) };
    expect([await list(headers), await list(headers)]).toEqual([200, 200]);
    expect(await withAssertion()).toBe(503);
    const alarms = lines.filter((line) => line.includes('break-glass.used'));
    expect(alarms.length).toBe(2);
    expect(alarms[0]).toContain('"alert":true');
    expect(alarms[0]).toContain('"owner":"alice@acme.example"');
    endpoint.answer = certsAnswer(key);
    expect(await withAssertion()).toBe(200);
  });
});
