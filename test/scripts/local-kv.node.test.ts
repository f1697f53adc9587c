// The local KV under workerd's own KV binding: values as large as the platform takes them, and no larger.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { gatewayConfig } from '../../scripts/workerd-config.ts';
import { startWorkerd, type Workerd } from '../../scripts/workerd.ts';

const PROBE = `export default {
  async fetch(request, { VALUES }) {
    const key = new URL(request.url).pathname.slice(1);
    if (request.method === 'GET') {
      const value = await VALUES.get(key, 'arrayBuffer');
      return value === null ? new Response('nothing', { status: 404 }) : new Response(value);
    }
    try {
      if (request.method === 'DELETE') await VALUES.delete(key);
      else await VALUES.put(key, await request.arrayBuffer());
      return new Response('done');
    } catch (error) {
      return new Response(String(error), { status: 500 });
    }
  },
};`;

const MIB = 1024 * 1024;
let directory: string;
let workerd: Workerd;
let url: string;

const bytesOf = (length: number): Uint8Array => new Uint8Array(length).map((_, index) => index % 251);

async function put(key: string, length: number): Promise<string> {
  return (await fetch(`${url}/${key}`, { method: 'PUT', body: bytesOf(length) })).text();
}

async function get(key: string): Promise<Buffer | null> {
  const answer = await fetch(`${url}/${key}`);
  return answer.status === 404 ? null : Buffer.from(await answer.arrayBuffer());
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fusebox-kv-'));
  const objectsDirectory = join(directory, 'objects');
  await mkdir(objectsDirectory);
  await writeFile(join(directory, 'probe.js'), PROBE);
  const scripts = join(import.meta.dirname, '../../scripts');
  const config = gatewayConfig({
    bundle: {
      directory,
      modules: [{ name: 'probe.js', type: 'esModule' }],
      compatibilityDate: '2026-09-18',
      compatibilityFlags: [],
      objects: [],
      namespaces: ['VALUES'],
      vars: {},
    },
    secretNames: [],
    textFiles: {},
    objectsDirectory,
    address: '127.0.0.1:0',
    kvModule: join(scripts, 'local-kv.js'),
    bucketModule: join(scripts, 'local-bucket.js'),
  });
  const file = join(directory, 'config.capnp');
  await writeFile(file, config);
  workerd = await startWorkerd({ configFile: file, sockets: ['http'] });
  url = `http://127.0.0.1:${workerd.ports['http'] ?? 0}`;
}, 30_000);

afterAll(async () => {
  await workerd.stop();
  await rm(directory, { recursive: true, force: true });
});

it('gives back what was put in place of what was there: a list of a million entries, the largest value, nothing', async () => {
  for (const length of [8_000_000, 25 * MIB, MIB, 10, 0]) {
    expect(await put('list', length)).toBe('done');
    expect(Buffer.compare((await get('list')) ?? Buffer.of(1), bytesOf(length))).toBe(0);
  }
});

it('refuses more than the platform takes, and keeps what was there', async () => {
  await put('full', 3);
  expect(await put('full', 25 * MIB + 1)).toContain('413');
  expect(await get('full')).toEqual(Buffer.from(bytesOf(3)));
});

it('keeps keys apart, and forgets what was deleted', async () => {
  await put('a', 3 * MIB);
  await put('a/0', 2 * MIB);
  await fetch(`${url}/a`, { method: 'DELETE' });
  expect(await get('a')).toBeNull();
  expect((await get('a/0'))?.length).toBe(2 * MIB);
});
