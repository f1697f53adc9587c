// The local bucket under workerd's own R2 binding: what the gateway asks of a bucket, it answers.
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { gatewayConfig } from '../../scripts/workerd-config.ts';
import { startWorkerd, type Workerd } from '../../scripts/workerd.ts';

const PROBE = `export default {
  async fetch(request, { ARCHIVE }) {
    const key = 'sessions/fusebox~s-1.ndjson.gz';
    const { pathname } = new URL(request.url);
    if (request.method === 'PUT') {
      const { size } = await ARCHIVE.put(key, new Uint8Array(await request.arrayBuffer()));
      return new Response(String(size));
    }
    if (request.method === 'DELETE') return new Response(String(await ARCHIVE.delete(key)));
    const found = pathname === '/head' ? await ARCHIVE.head(key) : await ARCHIVE.get(key);
    if (found === null) return new Response('nothing', { status: 404 });
    return pathname === '/head' ? new Response(String(found.size)) : new Response(await found.arrayBuffer());
  },
};`;

let directory: string;
let workerd: Workerd;
let url: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fusebox-bucket-'));
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
      namespaces: [],
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

it('has nothing at first, and says so', async () => {
  expect((await fetch(url)).status).toBe(404);
  expect((await fetch(`${url}/head`)).status).toBe(404);
});

it('gives back what was put, in place of what was there, of several MiB and of nothing', async () => {
  for (const length of [3_500_000, 10, 0]) {
    const bytes = new Uint8Array(length).map((_, index) => index % 251);
    expect(await (await fetch(url, { method: 'PUT', body: bytes })).text()).toBe(String(length));
    expect(await (await fetch(`${url}/head`)).text()).toBe(String(length));
    const found = new Uint8Array(await (await fetch(url)).arrayBuffer());
    expect(Buffer.compare(found, bytes)).toBe(0);
  }
});

it('forgets what was deleted', async () => {
  await fetch(url, { method: 'DELETE' });
  expect((await fetch(url)).status).toBe(404);
});
