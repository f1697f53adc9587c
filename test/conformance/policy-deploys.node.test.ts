// What a deploy does to an operator's version of the policy: gateways with different files, one after the other, over the
// same state.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Gateway, startGateway } from '../../scripts/gateway-process.ts';
import { throwawaySecrets, type ThrowawaySecrets } from '../../scripts/throwaway-secrets.ts';

/** A policy whose only route says which file it is. */
const file = (name: string): string =>
  `version: 1\nroutes: { ${name}: { upstream: "https://${name}.example.com", protocol: http, scope: a, fees: [{ usd: 0 }] } }\n`;

describe('a deploy', { timeout: 60_000 }, () => {
  let directory: string;
  let secrets: ThrowawaySecrets;
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'fusebox-test-'));
    secrets = await throwawaySecrets();
  });
  afterAll(() => rm(directory, { recursive: true, force: true }));

  async function withDeployed(policyText: string, use: (gateway: Gateway) => Promise<void>): Promise<void> {
    const gateway = await startGateway({ port: 0, persist: directory, vars: secrets.vars, policyText });
    try {
      await use(gateway);
    } finally {
      await gateway.stop();
    }
  }
  const ask = async (gateway: Gateway, path: string, body?: object): Promise<Record<string, unknown>> => {
    const response = await fetch(gateway.url + path, {
      method: body === undefined ? 'GET' : 'PUT',
      headers: { authorization: `Bearer ${secrets.adminToken}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const json: unknown = await response.json();
    return json as Record<string, unknown>;
  };
  /** The events of the policy, newest first; once the control object has heard of this deploy. */
  const eventsOf = async (gateway: Gateway, count: number): Promise<readonly string[]> => {
    for (let tries = 0; ; tries += 1) {
      const { versions } = (await ask(gateway, '/admin/policy/versions')) as { versions: { event: string }[] };
      if (versions.length >= count || tries === 100) return versions.map(({ event }) => event);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  const yamlInForce = async (gateway: Gateway): Promise<unknown> => (await ask(gateway, '/admin/policy'))['yaml'];

  it('is taken down, and with the same file changes nothing for a version in force', async () => {
    await withDeployed(file('one'), async (gateway) => {
      expect(await eventsOf(gateway, 1)).toEqual(['deploy']);
      await ask(gateway, '/admin/policy', { yaml: file('operators'), reason: 'a test' });
    });
    await withDeployed(file('one'), async (gateway) => {
      expect(await yamlInForce(gateway)).toBe(file('operators'));
      expect(await eventsOf(gateway, 2)).toEqual(['run-time', 'deploy']);
      expect(await ask(gateway, '/healthz')).toHaveProperty('policy_drift.run_time');
    });
  });

  it('of a changed file ends an older version', async () => {
    await withDeployed(file('two'), async (gateway) => {
      expect(await eventsOf(gateway, 3)).toEqual(['deploy', 'run-time', 'deploy']);
      expect(await yamlInForce(gateway)).toBe(file('two'));
      await expect.poll(() => ask(gateway, '/healthz'), { timeout: 15_000 }).toMatchObject({ policy_drift: null });
    });
  });

  it('of a file that was there before ends no version where the platform does not say when it was made', async () => {
    await withDeployed(file('two'), async (gateway) => {
      await ask(gateway, '/admin/policy', { yaml: file('operators'), reason: 'again' });
    });
    await withDeployed(file('one'), async (gateway) => {
      expect(await yamlInForce(gateway)).toBe(file('operators'));
      await ask(gateway, '/admin/policy', { deployed: true, reason: 'as deployed' });
      expect(await yamlInForce(gateway)).toBe(file('one'));
    });
  });

  it('keeps the text of every file: any can be put in force again', async () => {
    await withDeployed(file('three'), async (gateway) => {
      await eventsOf(gateway, 6);
      const { versions } = (await ask(gateway, '/admin/policy/versions')) as { versions: { digest: string }[] };
      const first = versions.at(-1)?.digest;
      await ask(gateway, '/admin/policy', { digest: first, reason: 'the very first' });
      expect(await yamlInForce(gateway)).toBe(file('one'));
    });
  });
});
