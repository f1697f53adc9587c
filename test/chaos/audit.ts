// The books of one session at the end of a chaos run, against what its clients and the upstream saw: everything served is
// charged, nothing twice, and what was charged beyond that is explained by a crash.
import type { LedgerEntryJson, SessionJson } from '../../src/http/session-json.ts';
import { BLOCK_FRACTION_OF_LIMIT } from '../../src/limits.ts';
import type { AgentRequest, SessionUnderTest } from './evidence.ts';
import { micro } from './operator.ts';
import { outputPrice, type World } from './world.ts';

/** A settlement is on disk this long after its request has ended, on a busy machine. */
const SETTLED_WITHIN_MS = 2_500;

export interface Books {
  readonly settledMicroUsd: number;
  readonly servedMicroUsd: number;
  /** Charged for what a crash left in doubt. */
  readonly recoveredMicroUsd: number;
  readonly recoveredRows: number;
  readonly expiredMicroUsd: number;
  readonly expiredRows: number;
  readonly entries: number;
  readonly openMicroUsd: number;
  readonly overspentMicroUsd: number;
}

interface Audit {
  readonly world: World;
  readonly session: SessionUnderTest;
  readonly standing: SessionJson;
  readonly entries: readonly LedgerEntryJson[];
  readonly byId: ReadonlyMap<string, LedgerEntryJson>;
}

/** Checks the books of one session; says what is wrong to the world. */
export function audit(of: Omit<Audit, 'byId'>): Books {
  const audited = { ...of, byId: new Map(of.entries.map((entry) => [entry.id, entry])) };
  const { session, standing, entries } = audited;
  checkSums(audited);
  const served = checkServed(audited);
  checkRecovered(audited);
  checkRevoked(audited);
  checkKeys(audited);
  const recovered = entries.filter(isRecovered);
  const expired = entries.filter(({ state }) => state === 'expired');
  const settledMicroUsd = micro(standing.spend.settled_usd);
  return {
    settledMicroUsd,
    servedMicroUsd: served,
    recoveredMicroUsd: costOf(recovered),
    recoveredRows: recovered.length,
    expiredMicroUsd: costOf(expired),
    expiredRows: expired.length,
    entries: entries.length,
    openMicroUsd: micro(standing.spend.held_usd),
    overspentMicroUsd: Math.max(0, settledMicroUsd - session.boundMicroUsd),
  };
}

const isRecovered = ({ id }: LedgerEntryJson): boolean => id.startsWith('recovered-');
const costOf = (entries: readonly LedgerEntryJson[]): number =>
  entries.reduce((sum, entry) => sum + micro(entry.cost_usd), 0);

function checkSums({ world, session, standing, entries }: Audit): void {
  const { spend, tokens } = standing;
  const micros = costOf(entries);
  const counted = entries.reduce((sum, entry) => sum + entry.cost_tokens, 0);
  if (micros !== micro(spend.settled_usd) || counted !== tokens.settled) {
    const what = `entries add up to ${micros} micro-USD and ${counted} tokens; settled ${spend.settled_usd} and ${tokens.settled}`;
    world.violation('does-not-add-up', session, what);
  }
  const open = entries.filter(({ state }) => state === 'open').length;
  if (micro(spend.held_usd) !== 0 || tokens.held !== 0 || open > 0) {
    const what = `${spend.held_usd} USD, ${tokens.held} tokens and ${open} entries are open`;
    world.violation('open-after-expiry', session, what);
  }
}

/** What was served has its charge: an entry of its own, or a part of what was recovered. Answers what was served in all. */
function checkServed(of: Audit): number {
  const { world, session, entries, byId } = of;
  const named = new Set<string>();
  let servedMicroUsd = 0;
  let servedTokens = 0;
  let unnamedMicroUsd = 0;
  let unknown = 0;
  for (const request of session.requests) {
    if (request.requestId !== null) named.add(request.requestId);
    if (request.requestId === null) unknown += 1;
    const due = dueFor(world, request);
    servedMicroUsd += due.microUsd;
    servedTokens += due.tokens;
    if (world.servedTwice.has(request.tag)) world.violation('charged-twice', session, `${request.tag} was sent twice`);
    const entry = request.requestId === null ? undefined : byId.get(request.requestId);
    // A crash may lose an extension, or the whole hold: what was granted of it was charged as recovered.
    if (entry === undefined) unnamedMicroUsd += due.microUsd;
    else if (entry.state === 'expired') unnamedMicroUsd += Math.max(0, due.microUsd - micro(entry.cost_usd));
    if (entry !== undefined) checkEntry(of, request, entry, due.microUsd);
    if (entry === undefined && request.requestId !== null && due.microUsd > 0 && !maybeLost(world, request)) {
      world.violation('not-charged', session, `no entry for ${JSON.stringify(request)}, and no crash`);
    }
  }
  for (const hold of session.holds) {
    named.add(hold.id);
    servedMicroUsd += hold.servedMicroUsd;
    servedTokens += hold.servedTokens;
  }
  const unnamed = entries.filter((entry) => isRecovered(entry) || !named.has(entry.id.replace(/^late-/, '')));
  if (unnamedMicroUsd > costOf(unnamed)) {
    const what = `${unnamedMicroUsd} micro-USD were served beyond the entries of their requests; ${costOf(unnamed)} were recovered or charged to unknown ones`;
    world.violation('not-charged', session, what);
  }
  const strangers = unnamed.filter((entry) => !isRecovered(entry)).length;
  if (strangers > unknown) {
    const what = `${strangers} entries are of requests that nobody knows, and ${unknown} requests had no answer`;
    world.violation('charged-twice', session, what);
  }
  const charged = costOf(entries);
  const chargedTokens = entries.reduce((sum, entry) => sum + entry.cost_tokens, 0);
  if (charged < servedMicroUsd || chargedTokens < servedTokens) {
    const what = `${servedMicroUsd} micro-USD and ${servedTokens} tokens were served, ${charged} and ${chargedTokens} charged`;
    world.violation('not-charged', session, what);
  }
  return servedMicroUsd;
}

/** The least that a request has to be charged: all of it where the upstream answered whole, else what is known of it. */
function dueFor(world: World, request: AgentRequest): { readonly microUsd: number; readonly tokens: number } {
  const bill = world.served.get(request.tag);
  if (bill === undefined) return { microUsd: 0, tokens: 0 };
  if (request.kind !== 'stream' || request.whole) return { microUsd: bill.wholeMicroUsd, tokens: bill.wholeTokens };
  return {
    microUsd: bill.inputMicroUsd + outputPrice(request.seenTokens),
    tokens: bill.inputTokens + request.seenTokens,
  };
}

function maybeLost(world: World, request: AgentRequest): boolean {
  return world.killedBetween(request.startedMs, request.endedMs + SETTLED_WITHIN_MS);
}

function checkEntry(
  { world, session }: Audit,
  request: AgentRequest,
  entry: LedgerEntryJson,
  dueMicroUsd: number,
): void {
  const cost = micro(entry.cost_usd);
  const seen = `${JSON.stringify(request)}: due ${dueMicroUsd} micro-USD, entry ${JSON.stringify(entry)}`;
  const extensionLost = entry.state === 'expired' && request.kind === 'stream';
  if (cost < dueMicroUsd && !extensionLost) world.violation('not-charged', session, seen);
  if (cost > micro(entry.hold_usd)) world.violation('overcharged', session, seen);
  if (request.whole && !entry.estimated && cost !== dueMicroUsd) world.violation('overcharged', session, seen);
  // The whole hold is charged where a crash, or its own client, ended a request; never where it simply ended.
  if (request.whole && entry.estimated && !maybeLost(world, request)) world.violation('overcharged', session, seen);
}

/** A crash costs at most one block, once. */
function checkRecovered({ world, session, entries }: Audit): void {
  const recovered = entries.filter(isRecovered);
  const kills = world.kills.filter((atMs) => atMs >= session.issuedMs).length;
  if (recovered.length > kills) {
    world.violation('overcharged', session, `${recovered.length} recovered rows after ${kills} kills`);
  }
  const blockMicroUsd = Math.ceil(session.largestCapMicroUsd * BLOCK_FRACTION_OF_LIMIT);
  const { tokens } = session.limits;
  const blockTokens = tokens === null ? Number.POSITIVE_INFINITY : Math.ceil(tokens * BLOCK_FRACTION_OF_LIMIT);
  for (const row of recovered) {
    if (micro(row.cost_usd) <= blockMicroUsd && row.cost_tokens <= blockTokens) continue;
    const what = `${JSON.stringify(row)} is more than a block of ${blockMicroUsd} micro-USD and ${blockTokens} tokens`;
    world.violation('overcharged', session, what);
  }
}

/** Nothing that began after a revocation was acknowledged was served. */
function checkRevoked({ world, session }: Audit): void {
  const { revokedMs } = session;
  if (revokedMs === null) return;
  for (const request of session.requests) {
    if (request.startedMs <= revokedMs) continue;
    const wasServed = world.served.has(request.tag) || (request.status !== null && request.status < 400);
    if (wasServed) world.violation('act-undone', session, `served after the revocation: ${JSON.stringify(request)}`);
  }
}

/** One key is served once, and not at all once it was said to be completed. */
function checkKeys({ world, session }: Audit): void {
  const servedBy = new Map<string, AgentRequest>();
  for (const request of session.requests) {
    const { idempotencyKey: key, tag } = request;
    if (key === null || !world.served.has(tag)) continue;
    const first = servedBy.get(key);
    if (first !== undefined) {
      const what = `key ${key} was served twice: ${JSON.stringify(first)} and ${JSON.stringify(request)}`;
      world.violation('charged-twice', session, what);
    }
    servedBy.set(key, request);
    const completedMs = session.completedKeys.get(key);
    if (completedMs !== undefined && request.startedMs > completedMs) {
      world.violation('act-undone', session, `key ${key} was completed, then served: ${JSON.stringify(request)}`);
    }
  }
}
