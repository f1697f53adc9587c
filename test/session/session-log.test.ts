// What a session's log tells, and that it tells it on the platform: with every crash, in one chain.
import { evictDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import type { AuditEntry } from '../../src/audit/chain.ts';
import { endLine, headerLine } from '../../src/audit/log-format.ts';
import { readLogLine } from '../../src/audit/log-line.ts';
import { takeLines } from '../../src/audit/trail.ts';
import { LogVerifier } from '../../src/audit/verifier.ts';
import { MAX_AUDIT_TEXT_CHARS } from '../../src/limits.ts';
import type { SessionRpc } from '../../src/rpc/session-rpc.ts';
import { admit as decideAdmit, settle } from '../../src/session/admission.ts';
import { type Session, changeLimits, renewEnd, reset, revoke } from '../../src/session/session.ts';
import { NOW_MS, fee, givenSession, request, usd } from './given.ts';
import { admit, clientOf, crash, created, keysOf, logOf, settlement, stubOf } from './objects.ts';

type Row = AuditEntry & { readonly seq: number };

const rowsOf = (lines: readonly string[]): Row[] =>
  lines.filter((line) => line.includes('"seq":')).map((line) => JSON.parse(line) as Row);

/** The rows of a session that was only decided on, its first one (created) aside. */
const told = (session: Session): Row[] => rowsOf(takeLines(session.trail, { withOthers: true }, NOW_MS)).slice(1);

async function expectWhole(rpc: SessionRpc): Promise<Row[]> {
  const page = await rpc.audit({ cursor: null });
  if (page === null) throw new Error('no such session');
  const rows = rowsOf(page.lines);
  const verifier = new LogVerifier({ expected: page.name, signed: true });
  expect(page.signed?.seq).toBe(rows.length);
  for (const line of [headerLine(page.name), ...page.lines, page.signed?.line ?? '', endLine('end', rows.length)])
    verifier.step(await readLogLine(line, null));
  expect(verifier.verdict()).toMatchObject({ valid: true, unsignedRows: 0, rows: rows.length });
  return rows;
}

describe('the log of a session tells', () => {
  it('who created it, with what', () => {
    const [row] = rowsOf(takeLines(givenSession().trail, { withOthers: true }, NOW_MS));
    expect(row).toMatchObject({
      seq: 1,
      event: 'created',
      at: new Date(NOW_MS).toISOString(),
      agent: 'agent-1',
      customer: 'customer-1',
      limits: { spend_micro_usd: 1_000_000, tokens: null },
      by: 'test',
      reason: 'test',
    });
  });

  it('each admission with its hold, and each end with its charge, once', () => {
    const session = givenSession();
    const asked = request(fee(0.25, 100));
    const { answer } = decideAdmit(session, asked, NOW_MS);
    if (!answer.admitted) throw new Error('refused');
    decideAdmit(session, asked, NOW_MS);
    settle(session, settlement(answer.receipt, 0.1), NOW_MS);
    settle(session, settlement(answer.receipt, 0.1), NOW_MS);
    expect(told(session)).toMatchObject([
      { event: 'admitted', id: asked.id, route: 'tickets', hold_micro_usd: 250_000, hold_tokens: 100 },
      { event: 'settled', id: asked.id, cost_micro_usd: 100_000, cost_tokens: 0, reason: 'completed' },
    ]);
  });

  it('a ceiling that it lowered', () => {
    const session = givenSession({ tokensPerRequest: 500 });
    const output = { microUsdPerMillion: 1, askedTokens: 1_000, floorTokens: 1, firstTokens: 1_000, choices: 1 };
    const asked = request({ ...fee(0.01, 100), output });
    decideAdmit(session, asked, NOW_MS);
    expect(told(session)).toMatchObject([
      { event: 'admitted' },
      { event: 'clamped', id: asked.id, asked_tokens: 1_000, granted_tokens: 400 },
    ]);
  });

  it('each denial for want of money by itself, with its evidence', () => {
    const session = givenSession();
    decideAdmit(session, request(fee(0.9)), NOW_MS);
    for (let times = 0; times < 3; times += 1) decideAdmit(session, request(fee(0.2)), NOW_MS);
    const denied = told(session).filter(({ event }) => event === 'denied');
    expect(denied).toHaveLength(3);
    expect(denied[0]).toMatchObject({ code: 'spend-held', evidence: { hold_usd: '0.200000' } });
  });

  it('a flood of 10,000 identical denials in few rows, with the exact count', () => {
    const session = givenSession({ requestsPerMinute: 0 });
    for (let times = 0; times < 10_000; times += 1) decideAdmit(session, request(fee(0.01)), NOW_MS + times * 10);
    const rows = [...told(session), ...rowsOf(takeLines(session.trail, { withOthers: true }, NOW_MS + 200_000))];
    expect(rows.length).toBeLessThanOrEqual(4);
    const counted = rows.reduce((sum, { event, count }) => sum + (event === 'denied' ? 1 : Number(count)), 0);
    expect(counted).toBe(10_000);
    expect(new Set(rows.map(({ code }) => code))).toEqual(new Set(['velocity-exceeded']));
  });

  it('a warning, a trip and the revocation that it means, before the denial', () => {
    const session = givenSession();
    const { answer } = decideAdmit(session, request(fee(0.995)), NOW_MS);
    if (!answer.admitted) throw new Error('refused');
    settle(session, settlement(answer.receipt, 0.995), NOW_MS);
    decideAdmit(session, request(fee(0.1)), NOW_MS);
    expect(told(session).map(({ event }) => event)).toEqual([
      'admitted',
      'settled',
      'warned',
      'tripped',
      'revoked',
      'denied',
    ]);
  });

  it('who did what to it, and why', () => {
    const session = givenSession({}, { onLimit: 'pause' });
    const act = { by: 'token-7', owner: 'ada@example.com', reason: 'because' };
    changeLimits(session, { spendMicroUsd: usd(2) }, act, NOW_MS);
    renewEnd(session, NOW_MS + 1_000, act, NOW_MS);
    renewEnd(session, NOW_MS + 7_200_000, act, NOW_MS);
    settle(session, settlement({ ...RECEIPT, id: 'never-admitted' }, 0.1), NOW_MS);
    for (let times = 0; times < 2; times += 1) reset(session, act, NOW_MS);
    for (let times = 0; times < 2; times += 1) revoke(session, act, NOW_MS);
    expect(told(session)).toMatchObject([
      { event: 'limits-changed', limits: { spend_micro_usd: 2_000_000 }, ...act },
      { event: 'credential-issued', until: new Date(NOW_MS + 1_000).toISOString(), ...act },
      { event: 'renewed', expires_at: new Date(NOW_MS + 7_200_000).toISOString(), ...act },
      { event: 'ledger-frozen', receipt: 'never-admitted' },
      { event: 'reset', was: 'ledger-frozen', ...act },
      { event: 'reset', was: null, ...act },
      { event: 'revoked', ...act },
      { event: 'revoked-again', ...act },
    ]);
  });

  it('no text at length, and none that has no canonical form: requests choose them', () => {
    const session = givenSession();
    const purpose = { route: 'r', protocol: 'openai', model: 'm'.repeat(100_000), action: 'lone \ud800' };
    decideAdmit(session, request(fee(0.01), { purpose }), NOW_MS);
    const [row] = told(session);
    expect(row?.['model']).toBe(`${'m'.repeat(MAX_AUDIT_TEXT_CHARS)}…`);
    expect(row?.['action']).toBe('lone \ufffd');
  });
});

const RECEIPT = {
  generation: 1,
  id: 'request',
  microUsd: usd(0.1),
  tokens: 0,
  admittedAtMs: NOW_MS,
  purpose: { route: 'tickets', protocol: 'http', model: null, action: 'GET *' },
};

describe.concurrent('the log on disk', { timeout: 30_000 }, () => {
  it('is in one segment with the entries, so that it adds no row', async ({ expect }) => {
    const { rpc, asked } = await created('rows');
    const { receipt } = await admit(rpc, asked(0.25));
    await rpc.settle(settlement(receipt, 0.1));
    expect(await keysOf('rows')).toEqual(['entries/0000000000', 'head']);
    const rows = await expectWhole(rpc);
    expect(rows.map(({ event }) => event)).toEqual(['created', 'admitted', 'settled']);
  });

  it('is whole after a crash with rows in memory, which are gone with what they told of', async ({ expect }) => {
    const { rpc, asked } = await created('crashed', { spendMicroUsd: usd(100) });
    await admit(rpc, asked(0.5));
    const lost = await admit(rpc, asked(0.3));
    await crash('crashed');
    await rpc.settle(settlement(lost.receipt, 0.3));
    const rows = await expectWhole(rpc);
    expect(rows.map(({ event }) => event)).toEqual(['created', 'admitted', 'claimed', 'settled']);
    expect(rows[2]).toMatchObject({ id: lost.receipt.id, generation: 1, hold_micro_usd: 300_000 });
  });

  it('goes on in one chain through evictions, with what was counted', async ({ expect }) => {
    const { rpc, asked } = await created('evicted', { requestsPerMinute: 0 });
    for (let times = 0; times < 5; times += 1) await rpc.admit(asked(0.01));
    await evictDurableObject(stubOf('evicted'));
    for (let times = 0; times < 5; times += 1) await rpc.admit(asked(0.01));
    const rows = await expectWhole(rpc);
    expect(rows.map(({ event, count }) => [event, count])).toEqual([
      ['created', undefined],
      ['denied', undefined],
      ['denied-again', 9],
    ]);
  });

  it('is signed when the session is sealed, over what is on disk', async ({ expect }) => {
    const { rpc, asked } = await created('signed', { spendMicroUsd: usd(100) });
    const { receipt } = await admit(rpc, asked(0.5));
    await rpc.settle(settlement(receipt, 0.5));
    await new Promise((resolve) => setTimeout(resolve, 5_600));
    await crash('signed');
    const checkpoints = (await logOf(clientOf('signed'))).filter((line) => line.startsWith('{"checkpoint":'));
    // One of the seal, over all there was: the export had nothing left to sign.
    expect(checkpoints).toHaveLength(1);
    // Of an earlier incarnation; whoever exports gets one that says the same.
    await expectWhole(clientOf('signed'));
  });

  it('that was never begun is no log', async ({ expect }) => {
    expect(await clientOf('nobody').audit({ cursor: null })).toBeNull();
  });
});
