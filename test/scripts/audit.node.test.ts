// The command line on files as the gateway exports them: real rows, real signatures, real keys.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../support/stack.ts';

let stack: Stack;
let directory: string;
let file: string;

async function audit(...args: readonly string[]): Promise<{ code: number | null; said: string }> {
  const child = spawn(process.execPath, [join(import.meta.dirname, '../../scripts/audit.ts'), ...args]);
  const said: Buffer[] = [];
  child.stdout.on('data', (chunk: Buffer) => said.push(chunk));
  child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve));
  return { code, said: Buffer.concat(said).toString() };
}

async function written(name: string, content: string | Buffer): Promise<string> {
  const path = join(directory, name);
  await writeFile(path, content);
  return path;
}

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'fusebox-audit-'));
  stack = await startStack();
  const { session, token } = await stack.issueSession();
  for (let times = 0; times < 5; times += 1) await stack.call('/tickets/1', { token });
  await stack.admin.revoke(session.id, 'tried enough');
  const headers = { authorization: `Bearer ${stack.adminToken}`, accept: 'application/x-ndjson' };
  const answer = await fetch(`${stack.url}/admin/sessions/${session.id}/audit`, { headers });
  file = await written('log.ndjson', await answer.text());
}, 60_000);

afterAll(async () => {
  await stack.close();
  await rm(directory, { recursive: true, force: true });
});

describe('npm run audit -- verify', () => {
  it('finds an export whole, with the keys of its gateway', async () => {
    const { code, said } = await audit('verify', file, '--keys', `${stack.url}/.well-known/jwks.json`);
    expect(said).toMatch(/^whole: \d+ rows, \d+ checkpoints/);
    expect(code).toBe(0);
    expect(said).not.toContain('not checked');
  });

  it('reads keys from a file, and a compressed log', async () => {
    const jwks = await (await fetch(`${stack.url}/.well-known/jwks.json`)).text();
    const packed = await written('log.ndjson.gz', gzipSync(await readFile(file)));
    const { code } = await audit('verify', packed, '--keys', await written('jwks.json', jwks));
    expect(code).toBe(0);
  });

  it('says that it did not check signatures without keys', async () => {
    const { code, said } = await audit('verify', file);
    expect(code).toBe(0);
    expect(said).toContain('signatures were not checked');
  });

  it('names the first bad row of a changed log, and its line', async () => {
    const text = await readFile(file, 'utf8');
    const changed = await written('changed.ndjson', text.replace('tried enough', 'tried nothing'));
    const line = text.split('\n').findIndex((row) => row.includes('tried enough')) + 1;
    const { code, said } = await audit('verify', changed);
    expect(code).toBe(1);
    expect(said).toMatch(new RegExp(`^NOT WHOLE: line ${line}: changed\\.`));
  });

  it('finds a log that is cut off, and one signed with keys of another gateway', async () => {
    const text = await readFile(file, 'utf8');
    const cut = await written('cut.ndjson', text.split('\n').slice(0, 3).join('\n'));
    expect((await audit('verify', cut)).said).toMatch(/line 4: cut-off/);
    const other = `{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","kid":"x","x":"${'A'.repeat(43)}"}]}`;
    const { code, said } = await audit('verify', file, '--keys', await written('other.json', other));
    expect(code).toBe(1);
    expect(said).toContain('checkpoint-unknown-key');
  });

  it.each([
    [['verify']],
    [['fetch', 'x']],
    [['verify', '/nonexistent/file']],
    [['verify', 'x', '--nothing']],
    [['verify', 'x', '--keys', '/nonexistent/keys']],
  ])('says what is wrong with %j in plain words', async (args) => {
    const { code, said } = await audit(...args);
    expect(code).toBe(1);
    expect(said).not.toMatch(/^\s+at /m);
  });
});
