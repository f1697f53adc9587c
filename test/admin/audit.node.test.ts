// The logs as the control plane serves and verifies them, on the real Worker.
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Stack, startStack } from '../support/stack.ts';

interface Verdict {
  readonly valid: boolean;
  readonly deployment: string | null;
  readonly log: string | null;
  readonly rows: number;
  readonly checkpoints: number;
  readonly last_checkpoint: { readonly seq: number; readonly at: string } | null;
  readonly unsigned_rows: number;
  readonly first_bad: { readonly line: number; readonly seq: number | null; readonly problem: string } | null;
}

let stack: Stack;
let id: string;

const call = (path: string, init: RequestInit = {}): Promise<Response> =>
  fetch(`${stack.url}/admin${path}`, {
    ...init,
    headers: { authorization: `Bearer ${stack.adminToken}`, ...(init.headers as Record<string, string>) },
  });

async function exported(path: string): Promise<string> {
  const answer = await call(path, { headers: { accept: 'application/x-ndjson' } });
  expect(answer.headers.get('content-type')).toBe('application/x-ndjson');
  return answer.text();
}

const verified = async (body: string | Uint8Array, headers: Record<string, string> = {}): Promise<Verdict> =>
  (await call('/audit/verify', { method: 'POST', body, headers })).json<Verdict>();

const verifiedAs = async (log: string, body: string): Promise<Verdict> =>
  (await call(`/audit/verify?log=${encodeURIComponent(log)}`, { method: 'POST', body })).json<Verdict>();

beforeAll(async () => {
  stack = await startStack();
  const { session, token } = await stack.issueSession({ limits: { spend_usd: '1', requests_per_minute: 3 } });
  ({ id } = session);
  for (let times = 0; times < 50; times += 1) await stack.call('/tickets/1', { token });
  await stack.admin.changeLimits(id, { spend_usd: '2' });
  await stack.admin.revoke(id, 'enough');
}, 60_000);

afterAll(() => stack.close());

describe('the log of a session', () => {
  it('tells its life in order, floods in few rows, people by name', async () => {
    const page = await (
      await call(`/sessions/${id}/audit`)
    ).json<{
      log: object;
      entries: Record<string, unknown>[];
      next_cursor: string | null;
    }>();
    expect(page.log).toEqual({ deployment: 'fusebox', log: `session fusebox~${id}` });
    expect(page.next_cursor).toBeNull();
    const rows = page.entries.filter((entry) => 'seq' in entry);
    expect(rows.map(({ seq }) => seq)).toEqual(rows.map((_, index) => index + 1));
    expect(rows[0]).toMatchObject({ event: 'created', agent: 'tester' });
    expect(rows.find(({ event }) => event === 'limits-changed')).toMatchObject({ by: expect.any(String) as string });
    expect(rows.find(({ event }) => event === 'revoked')).toMatchObject({ reason: 'enough' });
    const denied = rows.filter(({ event }) => event === 'denied' || event === 'denied-again');
    expect(denied.reduce((sum, { event, count }) => sum + (event === 'denied' ? 1 : Number(count)), 0)).toBe(47);
    expect(denied.length).toBeLessThanOrEqual(4);
  });

  it('is verified where it is kept, signed to its end', async () => {
    const verdict = await (await call(`/sessions/${id}/audit/verify`)).json<Verdict>();
    expect(verdict).toMatchObject({ valid: true, unsigned_rows: 0, first_bad: null });
    expect(verdict).toMatchObject({ deployment: 'fusebox', log: `session fusebox~${id}` });
    expect(verdict.last_checkpoint?.seq).toBe(verdict.rows);
  });

  it('is verified as the file that was exported, compressed or not', async () => {
    const text = await exported(`/sessions/${id}/audit`);
    expect(await verified(text)).toMatchObject({ valid: true, unsigned_rows: 0 });
    for (const type of ['application/gzip', 'application/octet-stream', 'application/x-ndjson'])
      expect(await verified(gzipSync(text), { 'content-type': type })).toMatchObject({ valid: true });
  });

  it('is demanded by name, and said to be another', async () => {
    const text = await exported(`/sessions/${id}/audit`);
    expect(await verifiedAs(`session fusebox~${id}`, text)).toMatchObject({ valid: true });
    const other = await verifiedAs('control', text);
    expect(other).toMatchObject({ valid: false, log: `session fusebox~${id}`, first_bad: { problem: 'other-log' } });
    expect((await call('/audit/verify?log=', { method: 'POST', body: text })).status).toBe(400);
  });

  it.each([
    ['as it is', (bytes: Buffer) => bytes],
    ['compressed', gzipSync],
  ])('with a byte that is no UTF-8 is named by line and row: %s', async (_how, stored) => {
    const text = await exported(`/sessions/${id}/audit`);
    const lines = text.split('\n');
    const spoiled = Buffer.from(text);
    spoiled[lines.slice(0, 3).join('\n').length + 10] = 0xff;
    const { first_bad: firstBad } = await verified(stored(spoiled));
    const { seq } = JSON.parse(lines[3] ?? '{}') as { seq: number };
    expect(firstBad).toMatchObject({ line: 4, seq, problem: 'malformed', detail: 'The line is not UTF-8.' });
  });

  it.each<[string, (lines: string[]) => string[], string]>([
    ['changed', (lines) => lines.map((line) => line.replace('"enough"', '"whim"')), 'changed'],
    ['with a row dropped', (lines) => lines.toSpliced(2, 1), 'dropped'],
    ['with two rows swapped', (lines) => lines.with(2, lines[3] ?? '').with(3, lines[2] ?? ''), 'swapped'],
    ['without its checkpoints', (lines) => lines.filter((line) => !line.startsWith('{"checkpoint":')), 'unsigned'],
    ['cut off', (lines) => lines.slice(0, 4), 'cut-off'],
    ['that is no log', () => ['hello'], 'header-missing'],
    ['of nothing', () => [''], 'cut-off'],
  ])('%s is named', async (_what, change, problem) => {
    const lines = (await exported(`/sessions/${id}/audit`)).trimEnd().split('\n');
    const verdict = await verified(change(lines).join('\n'));
    expect(verdict).toMatchObject({ valid: false, first_bad: { problem } });
  });

  it('that was never begun is unknown', async () => {
    for (const path of ['/sessions/nobody/audit', '/sessions/nobody/audit/verify'])
      expect((await call(path)).status).toBe(404);
  });

  it('compressed with nothing in it, or not compressed at all, is malformed', async () => {
    const verdict = await verified('not gzip', { 'content-type': 'application/gzip' });
    expect(verdict).toMatchObject({ valid: false, rows: 0 });
  });
});

describe('a file to verify', () => {
  it('larger than 64 MiB, however small it came, is refused', async () => {
    const packed = gzipSync(`${' '.repeat(250_000)}{}\n`.repeat(280));
    const headers = { 'content-type': 'application/gzip' };
    const answer = await call('/audit/verify', { method: 'POST', body: packed, headers });
    expect(answer.status).toBe(413);
  });
});

describe('the log of the deployment', () => {
  it('tells of sessions and revocations, and is whole', async () => {
    const text = await exported('/audit');
    expect(text).toContain('"session.created"');
    expect(text).toContain('"session.revoked"');
    expect(await verified(text)).toMatchObject({ valid: true, unsigned_rows: 0 });
    const verdict = await (await call('/audit/verify')).json<Verdict>();
    expect(verdict).toMatchObject({ valid: true, unsigned_rows: 0 });
  });
});

describe('a log that is written to while it is read', { timeout: 60_000 }, () => {
  it('is signed to the last row of its export, and found whole where it is kept', async () => {
    const busy = await stack.issueSession({ limits: { spend_usd: '100', requests_per_minute: 100_000 } });
    const over = new AbortController();
    const sent = { calls: 0 };
    const writers = Array.from({ length: 50 }, async (_, index) => {
      while (!over.signal.aborted) {
        if (index % 2 === 0) await stack.call('/tickets/1', { token: busy.token });
        else await stack.issueSession();
        sent.calls += 1;
      }
    });
    try {
      const sizes = new Set<number>();
      for (let times = 0; times < 4; times += 1) {
        const enough = sent.calls + 20;
        while (sent.calls < enough) await new Promise((resolve) => setTimeout(resolve, 5));
        for (const path of [`/sessions/${busy.session.id}/audit`, '/audit']) {
          const [kept, text] = await Promise.all([
            call(`${path}/verify`).then((answer) => answer.json<Verdict>()),
            exported(path),
          ]);
          expect(kept).toMatchObject({ valid: true, unsigned_rows: 0, first_bad: null });
          expect(await verified(text)).toMatchObject({ valid: true, unsigned_rows: 0, first_bad: null });
          expect(text.trimEnd().split('\n').at(-2)).toMatch(/^\{"checkpoint":/);
          sizes.add(kept.rows);
        }
      }
      expect(sizes.size).toBeGreaterThan(4);
    } finally {
      over.abort();
      await Promise.all(writers);
    }
  });
});
