// What is left of a session after its retention, and that it never is a fresh budget.
import { env } from 'cloudflare:workers';
import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { endLine, headerLine } from '../../src/audit/log-format.ts';
import { readLogLine } from '../../src/audit/log-line.ts';
import { pack, unpack } from '../../src/audit/packing.ts';
import { LogVerifier, type Verdict } from '../../src/audit/verifier.ts';
import { ARCHIVE_RETRY_MS, SESSION_GRACE_MS } from '../../src/limits.ts';
import type { SessionRpc, SessionView } from '../../src/rpc/session-rpc.ts';
import type { SessionImage } from '../../src/session/session.ts';
import { ACT, RULES, codeOf, identity } from './given.ts';
import { admit, crash, created, ended, headOf, keysOf, logOf, settlement, stubOf } from './objects.ts';

const DAY_MS = 24 * 60 * 60 * 1_000;
const { ARCHIVE } = env as { ARCHIVE: R2Bucket };
const keyOf = (name: string): string => `sessions/fusebox~${name}.ndjson.gz`;

/** A session with a charge, a void and a hold that nobody settled, long over; `retentionDays` as its policy said. */
async function over(
  name: string,
  retentionDays = 0,
): Promise<{ rpc: SessionRpc; lost: Parameters<typeof settlement>[0] }> {
  const { rpc, asked } = await created(name, {}, { retentionDays });
  const { receipt } = await admit(rpc, asked(0.25));
  await rpc.settle(settlement(receipt, 0.1));
  const voided = await admit(rpc, asked(0.25));
  await rpc.void(voided.receipt, 'unreachable');
  const lost = await admit(rpc, asked(0.25, { leaseMs: 1 }));
  await ended(name, SESSION_GRACE_MS + 60_000);
  return { rpc, lost: lost.receipt };
}

async function archived(name: string): Promise<{ rpc: SessionRpc; lost: Parameters<typeof settlement>[0] }> {
  const session = await over(name);
  await alarms(name);
  return session;
}

/** Lets the alarm have its way: it may be under way by itself already. */
async function alarms(name: string): Promise<void> {
  for (let tries = 0; tries < 20 && (await headOf(name)).archive === null; tries += 1) {
    await runDurableObjectAlarm(stubOf(name));
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

async function verdictOf(rpc: SessionRpc): Promise<Verdict> {
  const page = await rpc.audit({ cursor: null });
  if (page === null) throw new Error('no such session');
  const lines = await logOf(rpc);
  const rows = lines.filter((line) => line.includes('"seq":')).length;
  const verifier = new LogVerifier({ expected: page.name, signed: true });
  for (const line of [headerLine(page.name), ...lines, endLine('end', rows)])
    verifier.step(await readLogLine(line, null));
  return verifier.verdict();
}

async function linesOf(bytes: Uint8Array | undefined): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of unpack(bytes ?? new Uint8Array())) lines.push(line);
  return lines;
}

async function settledOf(rpc: SessionRpc): Promise<number> {
  const answer = await rpc.describe();
  return answer.known ? answer.view.spend.settledMicroUsd : Number.NaN;
}

async function ledgerOf(rpc: SessionRpc): Promise<{ id: string; state: string; costMicroUsd: number }[]> {
  const entries = [];
  let cursor: string | null = null;
  do {
    const page: Awaited<ReturnType<SessionRpc['ledger']>> = await rpc.ledger({ cursor, limit: 2 });
    entries.push(...page.entries);
    cursor = page.nextCursor;
  } while (cursor !== null);
  return entries;
}

describe('a session after its end, its grace and its retention', { timeout: 20_000 }, () => {
  it('is kept whole until then', async () => {
    await over('kept', 1);
    await alarms('kept');
    expect((await headOf('kept')).archive).toBeNull();
    expect(await ARCHIVE.head(keyOf('kept'))).toBeNull();
    await ended('kept', SESSION_GRACE_MS + DAY_MS + 60_000);
    await alarms('kept');
    expect((await headOf('kept')).archive).toMatchObject({ where: 'r2', key: keyOf('kept') });
  });

  it('has its log signed to the end already before', async () => {
    const { rpc } = await over('signed-end', 1);
    await rpc.describe();
    for (let tries = 0; tries < 20 && (await headOf('signed-end')).trail?.signed.seq === 0; tries += 1) {
      await runDurableObjectAlarm(stubOf('signed-end'));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { trail } = await headOf('signed-end');
    expect(trail?.signed.seq).toBe(trail?.head.seq);
    expect(trail?.riding.at(-1)).toContain('checkpoint');
  });

  it('is an archive in the bucket and a tombstone of one row', async () => {
    await archived('buried');
    const keys = (await keysOf('buried')).filter((key) => !key.startsWith('_'));
    expect(keys).toEqual(['head']);
    const bytes = await (await ARCHIVE.get(keyOf('buried')))?.bytes();
    const lines = await linesOf(bytes);
    const verifier = new LogVerifier({ expected: {}, signed: true });
    for (const line of lines) verifier.step(await readLogLine(line, null));
    expect(verifier.verdict()).toMatchObject({ valid: true, unsignedRows: 0 });
    expect(lines.filter((line) => line.startsWith('{"ledger":'))).toHaveLength(4);
  });

  it('answers what it answered before: its view, its ledger, its log', async () => {
    const { rpc } = await over('answers', 1);
    const before = { view: await rpc.describe(), ledger: await ledgerOf(rpc), log: await logOf(rpc) };
    await ended('answers', SESSION_GRACE_MS + DAY_MS + 60_000);
    const { identity: _before, ...view } = (before.view as { view: SessionView }).view;
    await alarms('answers');
    const after = await rpc.describe();
    expect(after.known && after.view).toMatchObject(view);
    expect(await ledgerOf(rpc)).toEqual(before.ledger);
    const rows = before.log.filter((line) => line.includes('"seq":'));
    expect((await logOf(rpc)).slice(0, rows.length)).toEqual(rows);
    expect(await verdictOf(rpc)).toMatchObject({ valid: true, unsignedRows: 0 });
  });

  it('is never a fresh budget', async () => {
    const { rpc } = await archived('no-budget');
    const session = identity({}, { sid: 'no-budget', expiresAtMs: Date.now() + 3_600_000 });
    expect(await rpc.create({ session, rules: RULES, act: ACT })).toEqual({ created: false });
    const { asked } = await created('no-budget');
    expect(codeOf(await rpc.admit(asked(0.01)))).toBe('credential-expired');
    const renewed = await rpc.renew({ expiresAtMs: Date.now() + 3_600_000, act: ACT });
    expect(renewed.known && renewed.view.status).toBe('expired');
    expect(codeOf(await rpc.admit(asked(0.01)))).toBe('credential-expired');
  });

  it('that was revoked stays revoked', async () => {
    const { rpc } = await over('revoked', 1);
    await rpc.revoke(ACT);
    await ended('revoked', SESSION_GRACE_MS + DAY_MS + 60_000);
    await alarms('revoked');
    expect((await headOf('revoked')).archive).not.toBeNull();
    const { asked } = await created('revoked');
    expect(codeOf(await rpc.admit(asked(0.01)))).toBe('session-revoked');
  });

  it('takes a late settlement as a row of its own, and answers the same one again', async () => {
    const { rpc, lost } = await archived('late');
    const first = (await ledgerOf(rpc)).find(({ state }) => state === 'settled');
    expect(first).toMatchObject({ costMicroUsd: 100_000 });
    expect(await rpc.settle(settlement({ ...lost, id: first?.id ?? '' }, 0.05))).toMatchObject({
      costMicroUsd: 100_000,
    });
    const before = await settledOf(rpc);
    await rpc.settle(settlement(lost, 0.05));
    await rpc.settle(settlement(lost, 0.05));
    expect(await settledOf(rpc)).toBe(before - 200_000);
    const entries = await ledgerOf(rpc);
    expect(entries.at(-1)).toMatchObject({ id: `late-${lost.id}`, costMicroUsd: -200_000 });
    expect(entries.reduce((sum, { costMicroUsd }) => sum + costMicroUsd, 0)).toBe(before - 200_000);
    expect(await verdictOf(rpc)).toMatchObject({ valid: true, unsignedRows: 0 });
  });

  it('has its digest in the log of the deployment', async () => {
    await archived('noted');
    const { CONTROL } = env as { CONTROL: DurableObjectNamespace };
    const sha256 = (await headOf('noted')).archive?.sha256 ?? '';
    const noted = (): Promise<number> =>
      runInDurableObject(CONTROL.getByName('control'), (_object, state) => {
        const found = state.storage.sql.exec(
          "SELECT 1 FROM audit_rows WHERE instr(line, 'session.archived') AND instr(line, ?)",
          sha256,
        );
        return found.toArray().length;
      });
    for (let tries = 0; tries < 50 && (await noted()) === 0; tries += 1)
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await noted()).toBe(1);
  });
});

async function tampered(name: string, change: (lines: string[]) => string[]): Promise<SessionRpc> {
  const { rpc } = await archived(name);
  const bytes = await (await ARCHIVE.get(keyOf(name)))?.bytes();
  await ARCHIVE.put(keyOf(name), await pack(change(await linesOf(bytes)), { maxBytes: 1e6 }));
  return rpc;
}

describe('an archive that was tampered with', { timeout: 20_000 }, () => {
  it('is served as it is, says so, and its first bad row is found', async () => {
    const rpc = await tampered('tampered', (lines) => lines.with(2, (lines[2] ?? '').replace('250000', '250001')));
    expect((await rpc.audit({ cursor: null }))?.archive).toBe('changed');
    expect((await verdictOf(rpc)).firstBad).toMatchObject({ line: 3, seq: 2, problem: 'changed' });
  });

  it('in its ledger tells nothing any more', async () => {
    const rpc = await tampered('forged', (lines) =>
      lines.map((line) => line.replace('"costMicroUsd":100000', '"costMicroUsd":1')),
    );
    const { entries, damage } = await rpc.ledger({ cursor: null, limit: 10 });
    expect(entries).toEqual([]);
    expect(damage?.firstBad).toMatchObject({ problem: 'ledger-changed' });
    expect(await rpc.audit({ cursor: null })).toMatchObject({ archive: 'changed', damage });
    expect(damage?.firstBad?.detail).toMatch(
      /^The entry ".+" has costMicroUsd 1; row \d+ tells of cost_micro_usd 100000\.$/,
    );
  });

  it('so that it is no archive any more cannot be read', async () => {
    const { rpc } = await archived('spoiled');
    await ARCHIVE.put(keyOf('spoiled'), 'not a gzip file');
    expect(await rpc.audit({ cursor: null })).toMatchObject({
      archive: 'unreadable',
      damage: { firstBad: { line: 1 } },
    });
    await ARCHIVE.delete(keyOf('spoiled'));
    expect(await rpc.audit({ cursor: null })).toMatchObject({ archive: 'unreadable', damage: { firstBad: null } });
    expect(await rpc.ledger({ cursor: null, limit: 10 })).toMatchObject({ entries: [], damage: { firstBad: null } });
  });
});

/** Changes the first lines of a log where they lie. */
async function spoil(name: string, from: string, to: string): Promise<void> {
  await runInDurableObject(stubOf(name), async (_object, state) => {
    const [[key, segment] = ['', { log: '' }]] = state.storage.kv.list<{ log: string }>({ prefix: 'entries/' });
    state.storage.kv.put(key, { ...segment, log: segment.log.replace(from, to) });
    await state.storage.sync();
  });
}

/** As if the time until its next try had passed. */
async function nextTry(name: string): Promise<void> {
  await crash(name);
  await runInDurableObject(stubOf(name), async (_object, state) => {
    const head = state.storage.kv.get<SessionImage>('head');
    if (head === undefined) throw new Error('no such session');
    state.storage.kv.put('head', { ...head, archiving: { made: head.archiving?.made ?? 0, notBeforeMs: 0 } });
    await state.storage.sync();
  });
  await crash(name);
}

describe('archiving that fails', { timeout: 20_000 }, () => {
  it('loses nothing, and is done once the log is whole again', async () => {
    const { rpc } = await over('failing', 1);
    const before = await ledgerOf(rpc);
    await spoil('failing', '"agent-1"', '"agent-2"');
    await ended('failing', SESSION_GRACE_MS + DAY_MS + 60_000);
    await alarms('failing');
    expect((await headOf('failing')).archive).toBeNull();
    expect(await ledgerOf(rpc)).toEqual(before);
    await spoil('failing', '"agent-2"', '"agent-1"');
    await nextTry('failing');
    await alarms('failing');
    expect((await headOf('failing')).archive).not.toBeNull();
    expect(await ledgerOf(rpc)).toEqual(before);
    expect(await verdictOf(rpc)).toMatchObject({ valid: true });
  });

  it('is tried again after 10 minutes, then 20, whatever becomes of the object meanwhile', async () => {
    await over('again', 1);
    await spoil('again', '"agent-1"', '"agent-2"');
    await ended('again', SESSION_GRACE_MS + DAY_MS + 60_000);
    const waits = [];
    for (const made of [1, 2]) {
      const beganMs = Date.now();
      for (let tries = 0; tries < 20 && (await headOf('again')).archiving?.made !== made; tries += 1) {
        await runDurableObjectAlarm(stubOf('again'));
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      waits.push(Math.floor((((await headOf('again')).archiving?.notBeforeMs ?? 0) - beganMs) / ARCHIVE_RETRY_MS));
      await crash('again');
      await alarms('again');
      expect((await headOf('again')).archiving?.made).toBe(made);
      await nextTry('again');
    }
    expect(waits).toEqual([1, 2]);
  });
});
