// The operator of each session: looks at its standing and its ledger while the gateway is being killed, changes its limit,
// revokes it, and says at once when something that was acknowledged is no longer so.
import type { LedgerEntryJson, SessionJson } from '../../src/http/session-json.ts';
import type { SessionUnderTest } from './evidence.ts';
import { sleep, type World } from './world.ts';

const PATIENCE_MS = 20_000;
const RETRY_MS = 50;
const LOOK_EVERY_MS = 900;
/** Retired sessions are looked at this many times less often. */
const RETIRED_FACTOR = 8;

export const micro = (usd: string): number => Math.round(Number(usd) * 1_000_000);

/** Looks after one session until the world is over. */
export async function operate(world: World, session: SessionUnderTest, number: number): Promise<void> {
  const random = world.randomOf(1_000 + number);
  const often = random.chance(0.3);
  while (!world.over) {
    await nap(world, (100 + random.below(LOOK_EVERY_MS)) * (session.retired ? RETIRED_FACTOR : 1));
    if (world.over) return;
    if (!session.retired && random.chance(often ? 0.3 : 0.05)) {
      const factor = random.chance(0.5) ? 0.4 + random.below(60) / 100 : 1 + random.below(40) / 100;
      await changeLimit(world, session, Math.max(10_007, Math.floor(session.limits.spendMicroUsd * factor)));
    } else if (!session.retired && random.chance(0.02)) {
      await revoke(world, session);
    } else {
      await look(world, session);
    }
  }
}

/** Sleeps, but wakes when the world is over. */
async function nap(world: World, ms: number): Promise<void> {
  const untilMs = Date.now() + ms;
  while (!world.over && Date.now() < untilMs) await sleep(Math.max(1, Math.min(200, untilMs - Date.now())));
}

async function changeLimit(world: World, session: SessionUnderTest, capMicroUsd: number): Promise<void> {
  session.largestCapMicroUsd = Math.max(session.largestCapMicroUsd, capMicroUsd);
  session.boundMicroUsd = Math.max(session.boundMicroUsd, capMicroUsd);
  const spend_usd = (capMicroUsd / 1_000_000).toFixed(6);
  const after = await insist(world, session, () => world.admin.changeLimits(session.id, { spend_usd }));
  if (after === null) return;
  world.counts.limitsChanged += 1;
  session.limits.spendMicroUsd = capMicroUsd;
  // What was used when the limit came down stays used; nothing may come on top of it.
  session.boundMicroUsd = Math.max(capMicroUsd, usedOf(after));
  checkStanding(world, session, after);
}

async function revoke(world: World, session: SessionUnderTest): Promise<void> {
  const after = await insist(world, session, () => world.admin.revoke(session.id, 'enough'));
  if (after === null) return;
  world.counts.revocations += 1;
  checkStanding(world, session, after);
}

/** One look at standing and ledger; what it shows must agree with all that was shown before. */
export async function look(
  world: World,
  session: SessionUnderTest,
): Promise<{ standing: SessionJson; entries: LedgerEntryJson[] } | null> {
  const acknowledged = session.holds.filter((hold) => hold.acknowledged !== null);
  const standing = await insist(world, session, () => world.admin.session(session.id));
  if (standing === null) return null;
  checkStanding(world, session, standing);
  const entries = await insist(world, session, () => world.admin.ledger(session.id));
  if (entries === null) return null;
  world.counts.polls += 1;
  checkEntries(world, session, entries);

  const byId = new Map(entries.map((entry) => [entry.id, entry]));
  for (const hold of acknowledged) {
    const entry = byId.get(`late-${hold.id}`) ?? byId.get(hold.id);
    if (entry === undefined || entry.state === 'open' || micro(entry.cost_usd) !== hold.acknowledged?.costMicroUsd) {
      const what = `${hold.id} was acknowledged as ${JSON.stringify(hold.acknowledged)}, and is ${JSON.stringify(entry ?? null)}`;
      world.violation('settlement-lost', session, what);
    }
  }
  return { standing, entries };
}

function checkStanding(world: World, session: SessionUnderTest, standing: SessionJson): void {
  const used = usedOf(standing);
  if (used > session.boundMicroUsd) {
    const what = `${used} micro-USD are used where ${session.boundMicroUsd} may be; cap ${standing.limits.spend_usd}`;
    world.violation('overspent', session, what);
  }
  const { tokens } = session.limits;
  if (tokens !== null && standing.tokens.settled + standing.tokens.held > tokens) {
    world.violation('overspent', session, `${JSON.stringify(standing.tokens)} where ${tokens} tokens may be used`);
  }
  if (micro(standing.limits.spend_usd) !== session.limits.spendMicroUsd) {
    const what = `the limit was set to ${session.limits.spendMicroUsd} micro-USD, and is ${standing.limits.spend_usd}`;
    world.violation('act-undone', session, what);
  }
  const revocation = standing.revocation === null ? null : JSON.stringify(standing.revocation);
  if (session.revocation !== null && revocation !== session.revocation) {
    world.violation('act-undone', session, `revoked by ${session.revocation}, now ${revocation ?? 'not at all'}`);
  }
  if (revocation !== null && session.revocation === null) {
    session.revocation = revocation;
    session.revokedMs = Date.now();
  }
  if (standing.trip?.reason === 'ledger-frozen') world.violation('frozen', session, JSON.stringify(standing.trip));
}

function checkEntries(world: World, session: SessionUnderTest, entries: readonly LedgerEntryJson[]): void {
  const now = new Map<string, string>();
  for (const entry of entries) {
    if (now.has(entry.id)) world.violation('charged-twice', session, `two entries ${entry.id}`);
    now.set(entry.id, entry.state === 'open' ? '' : JSON.stringify(entry));
  }
  for (const [id, written] of session.observed) {
    if (now.get(id) === written) continue;
    const what = `${written} was listed, and now ${now.get(id) ?? 'nothing'}`;
    world.violation('settlement-lost', session, what);
  }
  for (const [id, written] of now) if (written !== '') session.observed.set(id, written);
}

function usedOf({ spend }: SessionJson): number {
  return micro(spend.settled_usd) + micro(spend.held_usd);
}

/** Asks until the gateway answers; when it does not for long, that is a finding, and the answer is null. */
async function insist<T>(world: World, session: SessionUnderTest, ask: () => Promise<T>): Promise<T | null> {
  const deadlineMs = Date.now() + PATIENCE_MS;
  let said = '';
  while (Date.now() < deadlineMs) {
    try {
      return await ask();
    } catch (error) {
      said = String(error);
      await sleep(RETRY_MS);
    }
  }
  world.violation('unanswered', session, said);
  return null;
}
