// A drill against the real Worker, as an operator runs it, and what real traffic feels of it.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DrillReport } from '../../src/rpc/drill-rpc.ts';
import { type Stack, startStack } from '../support/stack.ts';

const run = promisify(execFile);
let stack: Stack;

beforeAll(async () => {
  stack = await startStack();
});
afterAll(() => stack.close());

/** What the control plane answers, as JSON. */
async function asked<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await admin(method, path, body);
  return (await response.json()) as T;
}

async function admin(
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Response> {
  return fetch(`${stack.url}/admin${path}`, {
    method,
    headers: { authorization: `Bearer ${stack.adminToken}`, 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
}

async function drill(...args: readonly string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  const env = { ...process.env, ADMIN_TOKEN: stack.adminToken };
  try {
    const { stdout, stderr } = await run(process.execPath, ['scripts/drill.ts', ...args], { env });
    return { code: 0, stdout, stderr };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: string; stderr: string };
    return { code, stdout, stderr };
  }
}

describe('a drill', () => {
  it('pulls and lifts every level, and real traffic goes on all the while', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'fusebox-drill-'));
    const out = join(directory, 'evidence.json');
    const { token } = await stack.issueSession({ limits: { spend_usd: '100' } });
    const seen = new Set<number>();
    const traffic = setInterval(() => {
      void stack.call('/tickets/tickets/1', { token }).then(({ status }) => seen.add(status));
    }, 100);
    const { code, stdout } = await drill(stack.url, '--reason', 'before production', '--out', out);
    clearInterval(traffic);
    expect([...seen]).toEqual([200]);

    const report = JSON.parse(await readFile(out, 'utf8')) as DrillReport;
    await rm(directory, { recursive: true });
    // What was late for the goal is an issue as well, and no fault of the gateway on a busy machine.
    expect(report.issues.filter((issue) => !issue.includes('should take'))).toEqual([]);
    expect([code, report.passed, report.reason]).toEqual([0, true, 'before production']);
    expect(report.stops.map(({ stop }) => stop)).toEqual([
      'global',
      'agent',
      'feature',
      'customer',
      'segment',
      'session',
      'halt',
    ]);
    expect(stdout).toContain('Passed');

    const kept = await asked<DrillReport>('GET', `/drills/${report.id}`);
    expect(kept).toEqual(report);
    const health = await fetch(`${stack.url}/healthz`);
    expect(await health.json()).toMatchObject({ drill: { passed: true, overdue: false } });
    expect(await asked<unknown>('GET', '/kill-switches')).toEqual({ kill_switches: [] });
  }, 120_000);

  it('is signed once, and reads as a page', async () => {
    const { drills } = await asked<{ drills: DrillReport[] }>('GET', '/drills');
    const id = drills[0]?.id ?? '';
    const sign = (reason: string): Promise<unknown> => asked('POST', `/drills/${id}/sign-off`, { reason });
    expect(await sign('seen')).toMatchObject({ sign_off: { by: 'admin', note: 'seen' } });
    expect(await sign('again')).toMatchObject({ sign_off: { note: 'seen' } });
    const page = await admin('GET', `/drills/${id}`, undefined, { accept: 'text/html' });
    expect(page.headers.get('content-type')).toContain('text/html');
    const text = await page.text();
    for (const said of ['Drill passed', 'global', 'Went on after the lift', 'seen']) expect(text).toContain(said);
  });

  it('does not run beside another', async () => {
    const first = admin('POST', '/drills', { reason: 'first' });
    await new Promise((resolve) => setTimeout(resolve, 500));
    const second = await admin('POST', '/drills', { reason: 'second' });
    expect([second.status, await second.json()]).toMatchObject([409, { code: 'drill-running' }]);
    expect((await first).status).toBe(201);
  }, 120_000);

  it.each([
    ['no URL', [], 'is missing'],
    ['a path', ['https://gateway.example/admin'], 'not the origin'],
    ['an unknown option', ['--fast'], 'unknown option'],
    ['an option without its value', ['https://gateway.example', '--out'], 'needs a value'],
    ['nobody there', ['http://127.0.0.1:9'], 'cannot be reached'],
  ])('says what is wrong with %s', async (_what, args, says) => {
    const { code, stderr } = await drill(...args);
    expect(code).toBe(1);
    expect(stderr).toContain(says);
  });
});
