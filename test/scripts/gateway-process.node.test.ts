// The local runner: state that outlives a crash, no process that outlives its owner, and no two gateways on one state.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { adminClient } from '../../scripts/admin-client.ts';
import { startGateway, StartError, type GatewayOptions } from '../../scripts/gateway-process.ts';
import { readPolicyTexts } from '../../scripts/local-settings.ts';
import { throwawaySecrets, type ThrowawaySecrets } from '../../scripts/throwaway-secrets.ts';
import { ROOT } from '../../scripts/worker-bundle.ts';
import { text } from '../../scripts/workerd-config.ts';

let directory: string;
let secrets: ThrowawaySecrets;
let options: GatewayOptions;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fusebox-test-'));
  secrets = await throwawaySecrets();
  options = {
    port: 0,
    persist: directory,
    vars: secrets.vars,
    ...(await readPolicyTexts({ file: null, upstreamPort: 1 })),
  };
});
afterAll(() => rm(directory, { recursive: true, force: true }));

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

// The first start may have to build the bundle.
describe('the local runner', { timeout: 60_000 }, () => {
  it('keeps sessions over a crash and over a new start', async () => {
    const first = await startGateway(options);
    const issued = await adminClient({ url: first.url, token: secrets.adminToken }).issue({
      agent: 'a',
      scopes: ['llm:openai'],
    });
    const { workerdPid } = first;
    await first.kill9();
    expect(isAlive(workerdPid)).toBe(false);
    await first.restart();
    expect(first.workerdPid).not.toBe(workerdPid);
    const after = await adminClient({ url: first.url, token: secrets.adminToken }).session(issued.session.id);
    expect(after).toMatchObject({ id: issued.session.id, agent: 'a' });
    await first.stop();
    const second = await startGateway(options);
    const again = await adminClient({ url: second.url, token: secrets.adminToken }).session(issued.session.id);
    expect(again.id).toBe(issued.session.id);
    await second.stop();
  });

  it('refuses a port that is taken and a state that is in use', async () => {
    const gateway = await startGateway(options);
    await expect(startGateway({ ...options, persist: null, port: gateway.port })).rejects.toThrow(StartError);
    await gateway.stop();
    const holder = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60000)']);
    await writeFile(join(directory, 'run', 'lock'), String(holder.pid));
    await expect(startGateway(options)).rejects.toThrow(`another gateway (process ${holder.pid}) uses`);
    holder.kill();
    await once(holder, 'exit');
    const later = await startGateway(options);
    await later.stop();
  });

  it('says what the Worker says when it cannot serve', async () => {
    const { ADMIN_TOKEN: _left, ...vars } = secrets.vars;
    await expect(startGateway({ ...options, persist: null, vars })).rejects.toThrow(
      /does not serve: .*ADMIN_TOKENS: the secret is missing/,
    );
  });

  it('leaves no workerd behind when its owner is killed', async () => {
    const program = [
      `import { startGateway } from ${JSON.stringify(join(ROOT, 'scripts', 'gateway-process.ts'))};`,
      `const gateway = await startGateway(${JSON.stringify({ ...options, persist: null })});`,
      'console.log(gateway.workerdPid); setTimeout(() => {}, 60000);',
    ].join('\n');
    const owner = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(createInterface({ input: owner.stdout }), 'line')) as [string];
    const pid = Number(line);
    expect(isAlive(pid)).toBe(true);
    owner.kill('SIGKILL');
    await expect.poll(() => isAlive(pid), { timeout: 5_000 }).toBe(false);
  });

  it('writes any text as a literal that workerd reads back', () => {
    expect(text('a "b" \\ c\n\u0001é')).toBe('"a \\"b\\" \\\\ c\\x0a\\x01é"');
  });
});
