// The command line on files as the gateway exports them: real rows, real signatures, real keys.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type AuditEntry, genesis, link, type LogName } from '../../src/audit/chain.ts';
import { type Stack, startStack } from '../support/stack.ts';

let stack: Stack;
let directory: string;
let file: string;
/** The name of the log in it. */
let log: string;

const audit = (...args: readonly string[]): ReturnType<typeof run> =>
  run(join(import.meta.dirname, '../../scripts/audit.ts'), ...args);

async function run(...args: readonly string[]): Promise<{ code: number | null; said: string }> {
  const child = spawn(process.execPath, args);
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
  log = `session fusebox~${session.id}`;
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
    expect(said).toMatch(/^whole: 12 rows, (1 checkpoint, |\d+ checkpoints, the last )of row 12 at /);
    expect(said).toContain(`It is the log "${log}" of the deployment "fusebox".`);
    expect(code).toBe(0);
    expect(said).not.toContain('not checked');
  });

  it('refuses rows that no checkpoint covers, however well they are chained', async () => {
    const [header = '', ...lines] = (await readFile(file, 'utf8')).trimEnd().split('\n');
    let head = genesis(JSON.parse(header) as LogName);
    const forged = lines.flatMap((line) => {
      if (line.startsWith('{"checkpoint":')) return [];
      const { seq, at, prev, hash, ...entry } = JSON.parse(line) as AuditEntry & { at: string };
      if (seq === undefined) return [line];
      const next = link(head, { ...entry, ...('reason' in entry ? { reason: 'forged' } : {}) }, Date.parse(at));
      head = next.head;
      return [next.line];
    });
    const rewritten = await written('rewritten.ndjson', [header, ...forged].join('\n'));
    const { code, said } = await audit('verify', rewritten, '--keys', `${stack.url}/.well-known/jwks.json`);
    expect(said).toMatch(/^NOT WHOLE: line 2: unsigned\. No checkpoint vouches for rows 1 to 12\./);
    expect(code).toBe(1);
    const unchecked = await audit('verify', rewritten);
    expect(unchecked.said).toMatch(/^whole: 12 rows, vouched for by no checkpoint\./);
    expect(unchecked.said).toContain('not checked');
  });

  it('agrees with the verifier that the documentation has', async () => {
    const docs = await readFile(join(import.meta.dirname, '../../docs/audit-log.md'), 'utf8');
    const script = await written('verify.mjs', /```js\n([^]+?)```/.exec(docs)?.[1] ?? '');
    const jwks = await written('keys.json', await (await fetch(`${stack.url}/.well-known/jwks.json`)).text());
    const text = await readFile(file, 'utf8');
    const lines = text.trimEnd().split('\n');
    const checkpoint = lines.find((line) => line.startsWith('{"checkpoint":')) ?? '';
    const rest = lines.filter((line) => line !== checkpoint);
    const cases: [string, string, number][] = [
      ['whole', text, 0],
      ['changed', text.replace('tried enough', 'tried nothing'), 1],
      ['unsigned', rest.join('\n'), 1],
      ['signed too early', rest.toSpliced(2, 0, checkpoint).join('\n'), 1],
    ];
    for (const [name, content, expected] of cases) {
      const { code, said } = await run(script, await written(`documented-${name}`, content), jwks);
      expect(code, `${name}: ${said}`).toBe(expected);
    }
  });

  it('demands the log that is named', async () => {
    expect((await audit('verify', file, '--log', log)).code).toBe(0);
    const { code, said } = await audit('verify', file, '--log', 'control');
    expect(code).toBe(1);
    expect(said).toMatch(/^NOT WHOLE: line 1: other-log\./);
    expect(said).toContain(log);
  });

  it.each([
    ['plain', (bytes: Buffer) => bytes],
    ['compressed', gzipSync],
  ])('names the line and the row in which a byte was changed to no UTF-8: %s', async (how, stored) => {
    const bytes = await readFile(file);
    const lines = bytes.toString().split('\n');
    for (const line of [2, 5]) {
      const spoiled = Buffer.from(bytes);
      spoiled[lines.slice(0, line - 1).join('\n').length + 10] = 0xff;
      const { code, said } = await audit('verify', await written(`${how}-${line}`, stored(spoiled)));
      expect(code).toBe(1);
      expect(said).toMatch(new RegExp(`^NOT WHOLE: line ${line}: malformed\\. The line is not UTF-8\\.`));
    }
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
