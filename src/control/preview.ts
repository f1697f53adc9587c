// What a kill switch would stop, were it pulled now: counted in the index of sessions, their spend asked of themselves.
import { MAX_SESSIONS_PREVIEWED } from '../limits.ts';
import { scopeCovers } from '../policy/grammar.ts';
import type { IndexedSession } from '../rpc/control-rpc.ts';
import type { Preview, PreviewRequest } from '../rpc/kill-switch.ts';
import { matches } from '../snapshot/kill-switch.ts';

/** Sessions asked at once. */
const ASKED_AT_ONCE = 32;

export interface PreviewParts {
  /** Newest first. */
  readonly live: AsyncIterable<IndexedSession>;
  /**
   * Whole micro-USD that a session was charged within the last minute, on those routes or, with null, on all. Null, or
   * rejects, where it does not answer.
   */
  readonly spent: (session: IndexedSession, routes: readonly string[] | null) => Promise<number | null>;
}

/** Counts exactly, as far as the index knows; asks the newest `MAX_SESSIONS_PREVIEWED` what they have spent. */
export async function preview(request: PreviewRequest, { live, spent }: PreviewParts): Promise<Preview> {
  const asked: IndexedSession[] = [];
  let liveSessions = 0;
  for await (const session of live) {
    if (!wouldStop(request, session)) continue;
    liveSessions += 1;
    if (asked.length < MAX_SESSIONS_PREVIEWED) asked.push(session);
  }
  const routes = request.level === 'feature' ? request.routes.map(({ name }) => name) : null;
  const answers: number[] = [];
  for (let at = 0; at < asked.length; at += ASKED_AT_ONCE) {
    const some = await Promise.allSettled(asked.slice(at, at + ASKED_AT_ONCE).map((session) => spent(session, routes)));
    for (const answer of some) if (answer.status === 'fulfilled' && answer.value !== null) answers.push(answer.value);
  }
  const spentLastMinuteMicroUsd = answers.reduce((sum, microUsd) => sum + microUsd, 0);
  return { liveSessions, spentLastMinuteMicroUsd, sessionsAsked: answers.length };
}

/** A feature is used by whoever is granted one of its routes. */
function wouldStop({ level, target, namespace, routes }: PreviewRequest, session: IndexedSession): boolean {
  const { agent, customer, segments, scopes } = session;
  const feature = level === 'feature' ? (target.split('@')[0] ?? null) : null;
  if (!matches({ level, target, namespace }, { agent, customer, segments, feature, namespace })) return false;
  return level !== 'feature' || routes.some(({ scope }) => scopeCovers(scopes, scope));
}
