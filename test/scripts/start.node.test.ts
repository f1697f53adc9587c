// `npm start` as a program: its ready line, its clean end, and one clear line for each thing that a person can get wrong.
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../../scripts/worker-bundle.ts';

interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

let directory: string;
let busy: Server;
let busyPort: number;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fusebox-test-'));
  busy = createServer();
  await new Promise<void>((resolve) => busy.listen(0, '127.0.0.1', resolve));
  busyPort = (busy.address() as AddressInfo).port;
});
afterAll(async () => {
  busy.close();
  await rm(directory, { recursive: true });
});

function start(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Ended> {
  const child = spawn(process.execPath, [join(ROOT, 'scripts', 'start.ts'), ...args], {
    env: { ...process.env, ...environment },
  });
  let out = '';
  let err = '';
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()));
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, out, err })));
}

// Each case is a process of its own.
describe('npm start', { timeout: 60_000 }, () => {
  it.each([
    ['an unknown option', ['--prot', '1'], /^Unknown option '--prot'/],
    ['a port that is none', ['--port', '8787x'], /^--port must be 0 to 65535, got 8787x$/m],
    ['a policy that is not there', ['--policy', '/nowhere/policy.yaml'], /^\/nowhere\/policy\.yaml: cannot be read/],
  ])('refuses %s', async (_name, args, message) => {
    const { code, out, err } = await start(args);
    expect({ code, out }).toEqual({ code: 1, out: '' });
    expect(err).toMatch(message);
  });

  it('names line, key and reason of a malformed policy', async () => {
    const file = join(directory, 'broken.yaml');
    await writeFile(
      file,
      'version: 1\nroutes:\n  x:\n    upstream: http://127.0.0.1:1\n    protocol: opnai\n    scope: a:b\n',
    );
    const { code, err } = await start(['--policy', file]);
    expect(code).toBe(1);
    expect(err).toMatch(/^broken\.yaml:5:\d+ routes\.x\.protocol: /);
  });

  it.each([
    [
      'a signing key that is none',
      { SESSION_SIGNING_KEYS: 'secret-that-is-no-key' },
      /^SESSION_SIGNING_KEYS: the secret is malformed/,
    ],
    ['an admin token that is too short', { ADMIN_TOKEN: 'x' }, /^ADMIN_TOKEN: /],
  ])('refuses %s, without quoting it', async (_name, environment, message) => {
    const { code, err } = await start(['--port', '0', '--upstream-port', '0'], environment);
    expect(code).toBe(1);
    expect(err).toMatch(message);
    expect(err).not.toContain('secret-that-is-no-key');
  });

  it('says which port is in use, and what to do', async () => {
    const gateway = await start(['--port', String(busyPort), '--no-upstream'], { ADMIN_TOKEN: 'for-this-test' });
    expect(gateway).toMatchObject({ code: 1, err: `port ${busyPort} is in use; choose another with --port\n` });
    const upstream = await start(['--port', '0', '--upstream-port', String(busyPort)], {
      ADMIN_TOKEN: 'for-this-test',
    });
    expect(upstream.code).toBe(1);
    expect(upstream.err).toMatch(new RegExp(`^port ${busyPort} is in use; .*--upstream-port`));
  });
});
