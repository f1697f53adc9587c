// The object on its platform: what is durable when, what survives eviction, and what happens by itself.
import { env } from 'cloudflare:workers';
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { describe, it } from 'vitest';
import type { SessionRpc } from '../../src/rpc/session-rpc.ts';
import type { SessionImage } from '../../src/session/session.ts';
import type { SessionObject } from '../../src/session/session-object.ts';
import { ACT, RULES, codeOf, fee, identity, request, usd } from './given.ts';
import { admit, clientOf, crash, created, keysOf, settlement, stubOf } from './objects.ts';

declare module 'cloudflare:workers' {
  interface ProvidedEnv {
    readonly SESSION: DurableObjectNamespace<SessionObject>;
  }
}

// Eviction waits for the object's timers, the seal's 5 s among them: so each test has its own object, and they run together.
describe.concurrent('a session object', { timeout: 30_000 }, () => {
  it('that was never created refuses, and writes nothing', async ({ expect }) => {
    const rpc = clientOf('unknown');
    expect(codeOf(await rpc.admit(request(fee(0.1))))).toBe('credential-invalid');
    expect(await rpc.describe()).toEqual({ known: false });
    expect(await keysOf('unknown')).toEqual([]);
  });

  it('is created once', async ({ expect }) => {
    const { rpc } = await created('once');
    expect(await rpc.create({ session: identity(), rules: RULES, act: ACT })).toEqual({ created: false });
  });

  it('has a settlement on disk when it acknowledges it', async ({ expect }) => {
    const { rpc, asked } = await created('settled');
    const { receipt } = await admit(rpc, asked(0.25));
    expect(await rpc.settle(settlement(receipt, 0.1))).toEqual({ state: 'settled', costMicroUsd: 100_000 });
    await evictDurableObject(stubOf('settled'));
    const after = await rpc.describe();
    expect(after.known && after.view.spend.settledMicroUsd).toBe(100_000);
    const page = await rpc.ledger({ cursor: null, limit: 100 });
    expect(page.entries).toMatchObject([{ id: receipt.id, state: 'settled', costMicroUsd: 100_000 }]);
  });

  it('answers a redelivered admission from disk after an eviction (rule 11)', async ({ expect }) => {
    const { rpc, asked } = await created('redelivered');
    const one = asked(0.25);
    const first = await admit(rpc, one);
    await evictDurableObject(stubOf('redelivered'));
    expect((await admit(rpc, one)).receipt.microUsd).toBe(first.receipt.microUsd);
    const view = await rpc.describe();
    expect(view.known && view.view.spend.heldMicroUsd).toBe(250_000);
  });

  it('settles a hold that an earlier incarnation admitted, and the same settlement again, once', async ({ expect }) => {
    const { rpc, asked } = await created('later');
    const { receipt } = await admit(rpc, asked(0.25));
    await evictDurableObject(stubOf('later'));
    await rpc.settle(settlement(receipt, 0.2));
    await evictDurableObject(stubOf('later'));
    expect(await rpc.settle(settlement(receipt, 0.05))).toEqual({ state: 'settled', costMicroUsd: 200_000 });
  });

  it('forgets what it could not write, and goes on from what is on disk', async ({ expect }) => {
    const { rpc, asked } = await created('unwritable');
    // More than one row can hold.
    const purpose = { route: 'r', protocol: 'openai', model: 'm'.repeat(5_000_000), action: 'a' };
    await expect(rpc.admit(asked(0.25, { purpose }))).rejects.toThrow();
    await admit(rpc, asked(0.1));
    const after = await rpc.describe();
    expect(after.known && after.view.spend.heldMicroUsd).toBe(100_000);
  });

  it('puts what memory granted in doubt when it dies unsealed, and lets nothing be spent twice', async ({ expect }) => {
    const { rpc, asked } = await created('doubt', { spendMicroUsd: usd(100) });
    // The first hold is written, with a block on top of it; the second is answered from memory.
    await admit(rpc, asked(0.5));
    const second = await admit(rpc, asked(0.3));
    await crash('doubt');
    const after = await rpc.describe();
    if (!after.known) throw new Error('the session is gone');
    expect(after.view.spend.heldMicroUsd).toBeGreaterThanOrEqual(800_000);
    expect(after.view.spend.heldMicroUsd).toBeLessThanOrEqual(500_000 + 1_000_000);
    expect(await rpc.settle(settlement(second.receipt, 0.3))).toEqual({ state: 'settled', costMicroUsd: 300_000 });
  });

  it('writes down what a crash put in doubt, with its end and the alarm for it, so that no eviction puts it off', async ({
    expect,
  }) => {
    const { rpc, asked } = await created('doubt-ends', { spendMicroUsd: usd(100) });
    const { receipt } = await admit(rpc, asked(0.5));
    await rpc.settle(settlement(receipt, 0.5));
    await crash('doubt-ends');
    await rpc.describe();
    const { doubt, alarmMs } = await runInDurableObject(stubOf('doubt-ends'), async (_instance, state) => ({
      doubt: state.storage.kv.get<SessionImage>('head')?.ledger.doubt ?? [],
      alarmMs: await state.storage.getAlarm(),
    }));
    const [[, { amounts, untilMs }] = [0, { amounts: { microUsd: 0 }, untilMs: 0 }]] = doubt;
    expect(amounts.microUsd).toBeGreaterThan(0);
    expect(alarmMs).not.toBeNull();
    expect(alarmMs).toBeLessThanOrEqual(untilMs);
  });

  it('a sealed one leaves nothing in doubt', async ({ expect }) => {
    const { rpc, asked } = await created('sealed', { spendMicroUsd: usd(100) });
    const { receipt } = await admit(rpc, asked(0.5));
    await rpc.settle(settlement(receipt, 0.5));
    await new Promise((resolve) => setTimeout(resolve, 5_600));
    await evictDurableObject(stubOf('sealed'));
    const after = await rpc.describe();
    expect(after.known && after.view.spend).toEqual({
      settledMicroUsd: 500_000,
      heldMicroUsd: 0,
      availableMicroUsd: 99_500_000,
    });
  });

  it('has a revocation and a changed limit on disk before it answers (rule 8)', async ({ expect }) => {
    const { rpc, asked } = await created('stopped');
    await rpc.changeLimits({ patch: { spendMicroUsd: usd(0.3) }, act: ACT });
    await rpc.revoke(ACT);
    await crash('stopped');
    expect(codeOf(await rpc.admit(asked(0.01)))).toBe('session-revoked');
    const view = await rpc.describe();
    expect(view.known && view.view.limits.spendMicroUsd).toBe(300_000);
  });

  it('tells the control object of a revocation, which lists it', async ({ expect }) => {
    const { rpc } = await created('listed');
    await rpc.revoke(ACT);
    const { CONTROL } = env as { CONTROL: DurableObjectNamespace };
    const count = (): Promise<number> =>
      runInDurableObject(
        CONTROL.getByName('control'),
        (_instance, state) =>
          state.storage.sql
            .exec("SELECT 1 FROM audit_rows WHERE line LIKE '%session.revoked%' AND line LIKE '%~listed\"%'")
            .toArray().length,
      );
    for (let tries = 0; tries < 50 && (await count()) === 0; tries += 1)
      await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await count()).toBe(1);
  });

  it('arms its alarm with the write of a hold, and charges what nobody settled', async ({ expect }) => {
    const { rpc, asked } = await created('alarm');
    await admit(rpc, asked(0.25, { leaseMs: 1 }));
    await new Promise((resolve) => setTimeout(resolve, 10));
    expect(await runDurableObjectAlarm(stubOf('alarm'))).toBe(true);
    const view = await rpc.describe();
    expect(view.known && view.view.spend.settledMicroUsd).toBe(250_000);
    const { entries } = await rpc.ledger({ cursor: null, limit: 10 });
    expect(entries).toMatchObject([{ state: 'expired', reason: 'lease-expired', estimated: true }]);
  });

  it('answers a watch at once when its session is revoked, and after its time otherwise', async ({ expect }) => {
    const { rpc, asked } = await created('watched');
    const { receipt } = await admit(rpc, asked(0.25));
    const watching = rpc.watch({ receipt, meteredMicroUsd: 0, meteredTokens: 0 });
    await new Promise((resolve) => setTimeout(resolve, 50));
    await rpc.revoke(ACT);
    expect(await watching).toMatchObject({ cut: true, denial: { code: 'session-revoked' } });
  });

  it('pages its ledger without losing or repeating an entry', async ({ expect }) => {
    const { rpc, asked } = await created('pages');
    const ids: string[] = [];
    for (let batch = 0; batch < 5; batch += 1) {
      const receipts = await Promise.all(
        Array.from({ length: 3 }, async () => (await admit(rpc, asked(0.01))).receipt),
      );
      await Promise.all(receipts.map((receipt) => rpc.settle(settlement(receipt, 0.01))));
      ids.push(...receipts.map(({ id }) => id));
    }
    const open = await admit(rpc, asked(0.01));
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page: Awaited<ReturnType<SessionRpc['ledger']>> = await rpc.ledger({ cursor, limit: 4 });
      expect(page.entries.length).toBeLessThanOrEqual(4);
      seen.push(...page.entries.map(({ id }) => id));
      cursor = page.nextCursor;
    } while (cursor !== null);
    expect(seen.toSorted()).toEqual([...ids, open.receipt.id].toSorted());
    expect(seen.at(-1)).toBe(open.receipt.id);
  });
});
