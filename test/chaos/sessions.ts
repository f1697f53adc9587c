// The sessions that a chaos run loads: some with small caps at awkward values, some large. One that is spent is replaced.
import type { Random } from '../simulation/random.ts';
import type { SessionUnderTest } from './evidence.ts';
import { sleep, type World } from './world.ts';

const SMALL_CAPS_USD = ['0.100003', '0.333333', '0.070007', '0.777777', '0.049999'];
const LARGE_CAPS_USD = ['9.999999', '40', '123.456789'];
const TOKEN_CAPS = [null, null, 250_007, 1_999_999];
const LOADED_AT_ONCE = 8;
/** A ledger that is read whole again and again must not become long. */
const MAX_REQUESTS_EACH = 350;
const RETRY_MS = 40;
const LOOK_EVERY_MS = 100;

/** Keeps as many sessions under load as wanted until the world is over. `issued` is told of each. */
export async function keepSessions(world: World, issued: (session: SessionUnderTest) => void): Promise<void> {
  const random = world.randomOf(1);
  while (!world.over) {
    const loaded = loadedOf(world);
    for (const session of loaded) {
      const spent = session.requests.length + session.holds.length >= MAX_REQUESTS_EACH;
      if (session.revokedMs !== null || spent) session.retired = true;
    }
    if (loadedOf(world).length < LOADED_AT_ONCE) {
      const session = await issue(world, random);
      if (session !== null) {
        world.sessions.push(session);
        issued(session);
        continue;
      }
    }
    await sleep(LOOK_EVERY_MS);
  }
}

export function loadedOf(world: World): SessionUnderTest[] {
  return world.sessions.filter((session) => !session.retired);
}

/** A few more large sessions that only what is done to them on purpose touches. */
export async function issueQuiet(world: World, count: number): Promise<SessionUnderTest[]> {
  const random = world.randomOf(2);
  const quiet: SessionUnderTest[] = [];
  while (quiet.length < count) {
    const session = await issue(world, random, false);
    if (session !== null) quiet.push(session);
  }
  world.sessions.push(...quiet);
  return quiet;
}

/** Null when the gateway did not answer: a session that may exist, and that nobody knows of. */
async function issue(world: World, random: Random, small = random.chance(0.55)): Promise<SessionUnderTest | null> {
  const tokens = random.pick(TOKEN_CAPS);
  // After a crash a session with a request rate starts with none to spare, which would keep most of the load away.
  const requestsPerMinute = random.chance(0.1) ? 30_000 : null;
  const agent = `agent-${world.sessions.length}`;
  try {
    const { session, token } = await world.admin.issue({
      agent,
      scopes: ['chat', 'desk'],
      limits: {
        spend_usd: random.pick(small ? SMALL_CAPS_USD : LARGE_CAPS_USD),
        ...(requestsPerMinute === null ? {} : { requests_per_minute: requestsPerMinute }),
        ...(tokens === null ? {} : { tokens }),
      },
    });
    const spendMicroUsd = Math.round(Number(session.limits.spend_usd) * 1_000_000);
    return {
      id: session.id,
      name: `fusebox~${session.id}`,
      agent,
      token,
      expiresAtMs: Date.parse(session.expires_at),
      issuedMs: Date.now(),
      small,
      limits: { spendMicroUsd, tokens },
      largestCapMicroUsd: spendMicroUsd,
      boundMicroUsd: spendMicroUsd,
      revokedMs: null,
      revocation: null,
      retired: false,
      requests: [],
      holds: [],
      observed: new Map(),
      completedKeys: new Map(),
    };
  } catch {
    await sleep(RETRY_MS);
    return null;
  }
}
