import { describe, expect, it } from 'vitest';
import { admit, expireDue, extend, settle, voidHold, watch } from '../../src/session/admission.ts';
import { availableOf } from '../../src/session/ledger.ts';
import { type Session, changeLimits, reset, revoke, statusOf, viewOf } from '../../src/session/session.ts';
import type { Admitted, AdmitRequest, Receipt } from '../../src/rpc/session-rpc.ts';
import { NOW_MS, RULES, codeOf, fee, givenSession, identity, request, usd } from './given.ts';

const ACT = { by: 'op', reason: 'r' };

function admitted(session: Session, asked: AdmitRequest, nowMs = NOW_MS): Admitted {
  const { answer } = admit(session, asked, nowMs);
  if (!answer.admitted) throw new Error(`refused: ${answer.denial.code}`);
  return answer;
}

const charge = (receipt: Receipt, dollars: number) => ({
  receipt,
  costMicroUsd: usd(dollars),
  tokens: 0,
  usage: null,
  estimated: false,
  reason: 'completed',
});

describe('an admission', () => {
  it('holds the worst case, and gives back what was not used', () => {
    const session = givenSession();
    const { receipt, standing } = admitted(session, request(fee(0.4)));
    expect(receipt).toMatchObject({ microUsd: 400_000, generation: 1 });
    expect(standing.spend.availableMicroUsd).toBe(600_000);
    settle(session, charge(receipt, 0.1), NOW_MS);
    expect(viewOf(session, NOW_MS).spend).toEqual({
      settledMicroUsd: 100_000,
      heldMicroUsd: 0,
      availableMicroUsd: 900_000,
    });
  });

  it('that is repeated gets the same receipt and no second hold', () => {
    const session = givenSession();
    const asked = request(fee(0.4));
    const first = admitted(session, asked);
    expect(admitted(session, asked).receipt).toEqual(first.receipt);
    expect(availableOf(session.ledger).microUsd).toBe(600_000);
  });

  it('is refused for the first reason that applies', () => {
    const asked = request(fee(5), { idempotency: { key: 'k', digest: 'd' } });
    const session = givenSession({ requestsPerMinute: 0 });
    const reasons: string[] = [];
    const note = (nowMs = NOW_MS, one = asked): void => void reasons.push(codeOf(admit(session, one, nowMs).answer));
    session.keys.set('k', { state: 'completed', digest: 'd' });
    revoke(session, { by: 'op', reason: 'r' }, NOW_MS);
    note();
    session.revocation = null;
    note(NOW_MS + 3_605_000);
    session.breaker = { state: 'open', sinceMs: NOW_MS, reason: 'by hand' };
    note();
    reset(session, ACT, NOW_MS);
    note(NOW_MS, { ...asked, session: identity({}, { agent: 'somebody-else' }) });
    note();
    note(NOW_MS, { ...asked, idempotency: null });
    session.limits = { ...session.limits, requestsPerMinute: null };
    note(NOW_MS, { ...asked, idempotency: null });
    expect(reasons).toEqual([
      'session-revoked',
      'credential-expired',
      'breaker-open',
      'credential-invalid',
      'idempotency-completed',
      'velocity-exceeded',
      'spend-limit-exceeded',
    ]);
  });

  it.each([
    ['agent', { agent: 'other' }],
    ['customer', { customer: null }],
    ['segment', { segments: ['eu', 'vulnerable'] }],
    ['issuer', { issuer: 'other' }],
  ])('pins the %s', (_what, more) => {
    expect(codeOf(admit(givenSession(), request(fee(0.1), { session: identity({}, more) }), NOW_MS).answer)).toBe(
      'credential-invalid',
    );
  });

  it('of an idempotency key is written before it is answered', () => {
    const session = givenSession({ spendMicroUsd: usd(1_000) });
    const first = admit(session, request(fee(0.1), { idempotency: { key: 'k', digest: 'd' } }), NOW_MS);
    expect(first.write).toBe(true);
    expect([...session.changedKeys]).toEqual(['k']);
  });

  it.each(['void', 'zero charge'])('frees its idempotency key by a %s', (how) => {
    const session = givenSession();
    const idempotency = { key: 'k', digest: 'd' };
    const { receipt } = admitted(session, request(fee(0.1), { idempotency }));
    expect(codeOf(admit(session, request(fee(0.1), { idempotency }), NOW_MS).answer)).toBe('idempotency-in-flight');
    expect(codeOf(admit(session, request(fee(0.1), { idempotency: { key: 'k', digest: 'x' } }), NOW_MS).answer)).toBe(
      'idempotency-mismatch',
    );
    if (how === 'void') voidHold(session, receipt, 'unreachable', NOW_MS);
    else settle(session, charge(receipt, 0), NOW_MS);
    expect(codeOf(admit(session, request(fee(0.1), { idempotency }), NOW_MS).answer)).toBe('admitted');
  });
});

describe('the warning', () => {
  it('is given once when 90 % are settled, and again only after the limit was raised', () => {
    const session = givenSession();
    const spend = (dollars: number): string[] => {
      const { receipt } = admitted(session, request(fee(dollars)));
      return settle(session, charge(receipt, dollars), NOW_MS).events.map(({ event }) => event);
    };
    expect(spend(0.89)).toEqual([]);
    expect(spend(0.01)).toEqual(['warned']);
    expect(admitted(session, request(fee(0.01))).warnings).toEqual(['spend-90']);
    expect(statusOf(session, NOW_MS)).toBe('warned');
    changeLimits(session, { spendMicroUsd: usd(10) }, ACT, NOW_MS);
    expect(statusOf(session, NOW_MS)).toBe('active');
    expect(spend(8.2)).toEqual(['warned']);
    expect(viewOf(session, NOW_MS).warnings).toHaveLength(2);
  });

  it('comes from what streams have metered, not from what is merely held', () => {
    const session = givenSession();
    const { receipt } = admitted(session, request(fee(0.95)));
    expect(admit(session, request(fee(0.01)), NOW_MS).events).toEqual([]);
    expect(watch(session, { receipt, meteredMicroUsd: 900_000, meteredTokens: 0 }, NOW_MS).events).toEqual([
      { event: 'warned', warning: 'spend-90' },
    ]);
  });
});

describe('the limit', () => {
  it('is reached when the least useful request no longer fits, and then revokes, durably', () => {
    const session = givenSession();
    settle(session, charge(admitted(session, request(fee(0.995))).receipt, 0.995), NOW_MS);
    const { answer, write, events } = admit(session, request(fee(0.001)), NOW_MS);
    expect(codeOf(answer)).toBe('spend-limit-exceeded');
    expect(answer).toMatchObject({ revocation: { code: 'session-revoked' } });
    expect(write).toBe(true);
    expect(events.map(({ event }) => event)).toContain('tripped');
    expect(session.trip).toMatchObject({ reason: 'spend-limit', evidence: { settled_usd: '0.995000' } });
  });

  it('pauses instead where the policy says so, until the cap is raised; a reset does not spend more', () => {
    const session = givenSession({ spendMicroUsd: usd(0.1) }, { onLimit: 'pause' });
    const pausing = { rules: { ...RULES, onLimit: 'pause' as const } };
    settle(session, charge(admitted(session, request(fee(0.1), pausing)).receipt, 0.1), NOW_MS);
    expect(codeOf(admit(session, request(fee(0.01), pausing), NOW_MS).answer)).toBe('spend-limit-exceeded');
    expect(codeOf(admit(session, request(fee(0.01), pausing), NOW_MS).answer)).toBe('breaker-open');
    reset(session, ACT, NOW_MS);
    expect(codeOf(admit(session, request(fee(0.01), pausing), NOW_MS).answer)).toBe('spend-limit-exceeded');
    changeLimits(session, { spendMicroUsd: usd(1) }, ACT, NOW_MS);
    expect(codeOf(admit(session, request(fee(0.01), pausing), NOW_MS).answer)).toBe('admitted');
  });

  it('of tokens counts those that cost tokens only', () => {
    const session = givenSession({ tokens: 100 });
    settle(session, { ...charge(admitted(session, request(fee(0, 100))).receipt, 0), tokens: 100 }, NOW_MS);
    expect(codeOf(admit(session, request(fee(0.01)), NOW_MS).answer)).toBe('admitted');
    expect(codeOf(admit(session, request(fee(0, 1)), NOW_MS).answer)).toBe('token-limit-exceeded');
  });

  it('a flood of refusals writes nothing once everything is on disk', () => {
    const session = givenSession({ spendMicroUsd: usd(0.015) });
    admitted(session, request(fee(0.01)));
    session.ledger.dirty = false;
    for (let call = 0; call < 50; call += 1) {
      const { answer, write } = admit(session, request(fee(0.01)), NOW_MS);
      expect(codeOf(answer)).toBe('spend-held');
      expect(write).toBe(false);
    }
  });
});

describe('a stream', () => {
  const streaming = request(fee(0.1));

  it('is extended as far as the session can pay', () => {
    const session = givenSession();
    const { receipt } = admitted(session, { ...streaming, id: 's1' });
    expect(extend(session, { receipt, microUsd: usd(0.9), tokens: 0 }, NOW_MS).answer).toMatchObject({
      extended: true,
      receipt: { microUsd: 900_000 },
    });
    expect(extend(session, { receipt, microUsd: usd(1.1), tokens: 0 }, NOW_MS).answer).toMatchObject({
      extended: false,
      denial: { code: 'spend-limit-exceeded' },
    });
  });

  it('is cut by revocation, by a limit that no longer covers it, and at the end of the session; older ones go on', () => {
    const session = givenSession();
    const first = admitted(session, { ...streaming, id: 's2' }).receipt;
    const second = admitted(session, { ...streaming, id: 's3' }).receipt;
    const cut = (receipt: Receipt, nowMs = NOW_MS) => {
      const { answer } = watch(session, { receipt, meteredMicroUsd: 0, meteredTokens: 0 }, nowMs);
      return answer.cut ? answer.denial.code : 'goes on';
    };
    expect([cut(first), cut(second)]).toEqual(['goes on', 'goes on']);
    changeLimits(session, { spendMicroUsd: usd(0.15) }, ACT, NOW_MS);
    expect([cut(first), cut(second)]).toEqual(['goes on', 'spend-limit-exceeded']);
    revoke(session, { by: 'op', reason: 'r' }, NOW_MS);
    expect(cut(first)).toBe('session-revoked');
  });

  it('keeps its hold for 30 s after its last watch, then it expires in full and a late settlement corrects it once', () => {
    const session = givenSession();
    const { receipt } = admitted(session, { ...streaming, id: 's4' });
    watch(session, { receipt, meteredMicroUsd: 0, meteredTokens: 0 }, NOW_MS + 20_000);
    expect(expireDue(session, NOW_MS + 49_999).answer).toBe(0);
    expect(expireDue(session, NOW_MS + 50_000).answer).toBe(1);
    expect(session.ledger.settled.microUsd).toBe(100_000);
    settle(session, charge(receipt, 0.03), NOW_MS + 60_000);
    settle(session, charge(receipt, 0.01), NOW_MS + 70_000);
    expect(session.ledger.settled.microUsd).toBe(30_000);
  });
});

describe('a settlement', () => {
  it.each([
    ['more than the hold', 5, 100_000],
    ['less than nothing', -1, 0],
  ])('of %s is clamped and marked', (_what, dollars, cost) => {
    const session = givenSession();
    const { receipt } = admitted(session, request(fee(0.1)));
    settle(session, charge(receipt, dollars), NOW_MS);
    expect(session.ledger.settled.microUsd).toBe(cost);
    expect(session.ledger.resolved.get(receipt.id)?.flags).toEqual(['charge-clamped']);
  });

  it('that nothing explains freezes the session and moves no money', () => {
    const session = givenSession();
    const { receipt } = admitted(session, request(fee(0.1)));
    const { answer, events } = settle(session, charge({ ...receipt, id: 'never-admitted' }, 0.1), NOW_MS);
    expect(answer.state).toBe('frozen');
    expect(events).toEqual([{ event: 'ledger-frozen', receiptId: 'never-admitted' }]);
    expect(session.ledger.settled.microUsd).toBe(0);
    expect(codeOf(admit(session, request(fee(0.1)), NOW_MS).answer)).toBe('breaker-open');
    reset(session, ACT, NOW_MS);
    expect(codeOf(admit(session, request(fee(0.1)), NOW_MS).answer)).toBe('admitted');
  });
});
