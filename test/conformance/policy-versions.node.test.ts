// Versions of the policy against the running gateway: what an operator puts in force meets the next request, what is not
// valid moves nothing, and every version can be gone back to.
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startStack, type Stack } from '../support/stack.ts';

interface PolicyJson {
  readonly code?: string;
  readonly digest: string;
  readonly yaml: string;
  readonly current: { readonly source: string; readonly by: string | null; readonly reason: string | null };
}

interface Answer {
  readonly status: number;
  readonly body: PolicyJson;
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}

describe('versions of the policy', { timeout: 60_000 }, () => {
  let stack: Stack;
  let deployed: PolicyJson;
  beforeAll(async () => {
    stack = await startStack();
    deployed = (await ask('GET', '/admin/policy')).body;
  });
  beforeEach(() => put({ deployed: true, reason: 'start over' }));
  afterAll(() => stack.close());

  async function ask(method: string, path: string, body?: object): Promise<Answer> {
    const response = await fetch(stack.url + path, {
      method,
      headers: { authorization: `Bearer ${stack.adminToken}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const json: unknown = await response.json();
    return { status: response.status, body: json as PolicyJson };
  }
  const put = (body: object, query = ''): Promise<Answer> => ask('PUT', `/admin/policy${query}`, body);
  /** The deployed file with one route more. */
  const withRoute = (name: string): string =>
    deployed.yaml.replace(
      /^routes:$/m,
      `routes:\n  ${name}: { upstream: "${stack.upstream.url}", protocol: http, scope: "ticket:read", fees: [{ usd: 0 }] }`,
    );
  /** For a session of its own: one from before a restart has to wait for its request rate. */
  const statusAt = async (path: string): Promise<number> => {
    const { token } = await stack.issueSession();
    return (await stack.call(path, { token })).status;
  };
  const healthz = async (): Promise<unknown> => (await fetch(`${stack.url}/healthz`)).json();

  it('a version meets the next request, beside the local routes', async () => {
    expect(await statusAt('/extra/tickets')).toBe(404);
    const yaml = withRoute('extra');
    expect(await put({ yaml, reason: 'a new tool' })).toMatchObject({
      status: 200,
      body: { digest: digestOf(yaml), current: { source: 'run-time', by: 'admin', reason: 'a new tool' } },
    });
    expect(await statusAt('/extra/tickets')).toBe(200);
    expect(await statusAt('/tickets/tickets')).toBe(200);
  });

  it('what is not valid moves nothing', async () => {
    await put({ yaml: withRoute('extra'), reason: 'good' });
    for (const yaml of ['version: 3', withRoute('other').replace('ticket:read', 'ticket read'), withRoute('admin')])
      expect(await put({ yaml, reason: 'bad' })).toMatchObject({ status: 400, body: { code: 'bad-request' } });
    expect(await put({ yaml: withRoute('other') }, '?dry_run=true')).toMatchObject({ status: 200 });
    expect([await statusAt('/extra/tickets'), await statusAt('/other/tickets')]).toEqual([200, 404]);
  });

  it('any version can be gone back to, and the deployed file too; healthz shows the drift until then', async () => {
    const first = withRoute('first');
    await put({ yaml: first, reason: 'first' });
    await put({ yaml: withRoute('second'), reason: 'second' });
    expect([await statusAt('/first/tickets'), await statusAt('/second/tickets')]).toEqual([404, 200]);
    await put({ digest: digestOf(first), reason: 'back' });
    expect([await statusAt('/first/tickets'), await statusAt('/second/tickets')]).toEqual([200, 404]);
    expect(await healthz()).toMatchObject({
      policy_drift: { run_time: digestOf(first), deployed: deployed.digest },
    });
    expect(await put({ deployed: true, reason: 'as deployed' })).toMatchObject({
      status: 200,
      body: { digest: deployed.digest, yaml: deployed.yaml, current: { source: 'deployed' } },
    });
    expect(await statusAt('/first/tickets')).toBe(404);
    expect(await healthz()).toMatchObject({ policy_drift: null });
  });

  it('an unknown version is told so, and changes nothing', async () => {
    expect((await put({ digest: digestOf('nothing'), reason: 'back' })).status).toBe(404);
    expect((await ask('GET', `/admin/policy?digest=${digestOf('nothing')}`)).status).toBe(404);
    expect((await ask('GET', '/admin/policy')).body.digest).toBe(deployed.digest);
  });

  it('a version outlives a restart and a crash', async () => {
    await put({ yaml: withRoute('extra'), reason: 'stays' });
    await stack.gateway.restart();
    expect(await statusAt('/extra/tickets')).toBe(200);
    await stack.gateway.kill9();
    await stack.gateway.restart();
    expect(await statusAt('/extra/tickets')).toBe(200);
  });

  it('a version rules what is issued from then on', async () => {
    await put({ yaml: deployed.yaml.replace(/ttl_seconds_max: \d+/, 'ttl_seconds_max: 3600'), reason: 'shorter' });
    const { status, body } = await ask('POST', '/admin/sessions', { agent: 'a', scopes: [], ttl_seconds: 3_601 });
    expect([status, body.code]).toEqual([400, 'bad-request']);
  });

  it('a key that a version needs and that is missing disables its route alone', async () => {
    const auth = `auth: { header: x-api-key, value: "\${NO_SUCH_KEY}" }, fees`;
    await put({ yaml: withRoute('extra').replace('fees', auth), reason: 'no key yet' });
    expect([await statusAt('/extra/tickets'), await statusAt('/tickets/tickets')]).toEqual([503, 200]);
    expect(JSON.stringify(await healthz())).toContain('NO_SUCH_KEY');
  });
});
