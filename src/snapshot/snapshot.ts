// A head made ready for lookups, and what it says against a request. Pure; each request is screened here.
import type { Denial } from '../denial.ts';
import { compareDigests, type Digest64, digestFromHex } from './digest64.ts';
import { type Head, recentOf } from './head.ts';
import { type Bearing, NO_SWITCHES, pulledAgainst, type SwitchBoard, switchBoardOf } from './kill-switch.ts';
import { type DigestList, digestListOf, NO_DIGESTS, packDigests, positionOf } from './revocation-list.ts';

/** Who asks, as far as the snapshot tells callers apart: worked out once for each verified credential. */
export interface ScreenedCaller {
  /** Of the session's object: `issuer~sid`. */
  readonly name: string;
  /** Of that name. */
  readonly digest: Digest64;
  /** Of the agent's id. */
  readonly agentDigest: Digest64;
  readonly agent: string;
  readonly customer: string | null;
  readonly segments: readonly string[];
  /** When the credential was issued. */
  readonly issuedAtMs: number;
}

/** What is asked for, as far as kill switches look at it. */
export type ScreenedPlace = Pick<Bearing, 'feature' | 'namespace'>;

export interface Snapshot {
  readonly head: Head;
  readonly recent: DigestList;
  /** Revoked agents by their digests, and in the same order what is said of each. */
  readonly agents: DigestList;
  readonly agentTerms: readonly AgentTerms[];
  readonly switches: SwitchBoard;
}

interface AgentTerms {
  readonly beforeMs: number;
  readonly untilMs: number;
}

const SESSION_LISTED: Denial = { code: 'session-revoked', detail: 'This session was revoked.' };
const AGENT_LISTED: Denial = { code: 'session-revoked', detail: 'All sessions of this agent were revoked.' };

/** Makes a head that was verified ready for lookups. */
export function snapshotOf(head: Head): Snapshot {
  const recent = recentOf(head);
  if (recent === null) throw new Error('a head was let in whose list is out of order');
  const named = head.agents.map(([hex, beforeMs, untilMs]) => ({ digest: digestFromHex(hex), beforeMs, untilMs }));
  const sorted = named.toSorted((a, b) => compareDigests(a.digest, b.digest));
  // An agent that is named twice is a mistake of whoever wrote the head; the other revocations must hold all the same.
  const unique = sorted.filter(({ digest }, index) => {
    const next = sorted[index + 1];
    return next === undefined || compareDigests(digest, next.digest) !== 0;
  });
  return {
    head,
    recent,
    agents: digestListOf(packDigests(unique.map(({ digest }) => digest))) ?? NO_DIGESTS,
    agentTerms: unique,
    switches: head.switches.length === 0 ? NO_SWITCHES : switchBoardOf(head.switches),
  };
}

/** Whether a session is on the list, as far as it is loaded. */
function isListed({ recent }: Snapshot, blobs: readonly DigestList[], digest: Digest64): boolean {
  if (positionOf(recent, digest) >= 0) return true;
  for (const blob of blobs) if (positionOf(blob, digest) >= 0) return true;
  return false;
}

/** Why a request is refused by the snapshot alone; null when it says nothing against it. The session before the agent before a switch. */
export function verdictOf(
  held: { readonly snapshot: Snapshot; readonly blobs: readonly DigestList[] },
  caller: ScreenedCaller,
  at: ScreenedPlace & { readonly nowMs: number },
): Denial | null {
  const { snapshot, blobs } = held;
  if (isListed(snapshot, blobs, caller.digest)) return SESSION_LISTED;
  const position = positionOf(snapshot.agents, caller.agentDigest);
  const terms = position < 0 ? undefined : snapshot.agentTerms[position];
  if (terms !== undefined && caller.issuedAtMs <= terms.beforeMs && at.nowMs <= terms.untilMs) return AGENT_LISTED;
  if (snapshot.switches === NO_SWITCHES) return null;
  return pulled(snapshot.switches, caller, at);
}

/** Says which switch it is, and not why: operators' reasons are not for those who are stopped. */
function pulled(
  switches: SwitchBoard,
  { agent, customer, segments }: ScreenedCaller,
  { feature, namespace, nowMs }: ScreenedPlace & { readonly nowMs: number },
): Denial | null {
  const found = pulledAgainst(switches, { agent, customer, segments, feature, namespace }, nowMs);
  if (found === null) return null;
  const { level, target } = found;
  const what = level === 'global' ? 'Everything' : `The ${level} "${target}"`;
  return {
    code: 'kill-switch-active',
    detail: `${what} is stopped by an operator.`,
    evidence: { level, target },
  };
}
