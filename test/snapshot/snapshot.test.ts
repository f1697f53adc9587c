import { describe, expect, it } from 'vitest';
import { digestHex, digestOf } from '../../src/snapshot/digest64.ts';
import type { Head } from '../../src/snapshot/head.ts';
import { digestListOf, packDigests } from '../../src/snapshot/revocation-list.ts';
import { snapshotOf, verdictOf } from '../../src/snapshot/snapshot.ts';
import { callerOf, headOf, recent, START_MS } from '../support/heads.ts';

const AT = { feature: 'refunds', namespace: 'live' as const, nowMs: START_MS };
const agentDigest = (agent: string) => digestHex(digestOf(agent));

function verdict(head: Partial<Head>, caller = callerOf('fusebox~a'), at: Partial<typeof AT> = {}) {
  return verdictOf({ snapshot: snapshotOf(headOf(head)), blobs: [] }, caller, { ...AT, ...at });
}

describe('the snapshot', () => {
  it('has nothing against anybody while it is empty', () => {
    expect(verdict({})).toBeNull();
  });

  it('refuses a session that the head names, and one that a blob names', () => {
    const blob = digestListOf(packDigests([digestOf('fusebox~b')]));
    const snapshot = snapshotOf(headOf({ revoked: { blobs: [], recent: recent('fusebox~a') } }));
    const codes = ['fusebox~a', 'fusebox~b', 'fusebox~c'].map(
      (name) => verdictOf({ snapshot, blobs: blob === null ? [] : [blob] }, callerOf(name), AT)?.code,
    );
    expect(codes).toEqual(['session-revoked', 'session-revoked', undefined]);
  });

  const UNTIL_MS = START_MS + 60_000;
  it.each<[string, { issuedAtMs?: number; nowMs?: number; agent?: string }, boolean]>([
    ['issued before', { issuedAtMs: START_MS - 1 }, true],
    ['issued in the same millisecond', { issuedAtMs: START_MS }, true],
    ['issued after', { issuedAtMs: START_MS + 1 }, false],
    ['issued before, in the last moment of the revocation', { nowMs: UNTIL_MS }, true],
    ['issued before, when the revocation has ended', { nowMs: UNTIL_MS + 1 }, false],
    ['of another agent', { agent: 'other' }, false],
  ])("treats a revoked agent's credential as it should that was %s", (_what, { nowMs, ...caller }, isRefused) => {
    const agents: Head['agents'] = [
      [agentDigest('zz'), 1, 1],
      [agentDigest('agent'), START_MS, UNTIL_MS],
      [agentDigest('aa'), 1, 1],
    ];
    const denial = verdict({ agents }, callerOf('fusebox~a', { issuedAtMs: START_MS - 1, ...caller }), {
      nowMs: nowMs ?? START_MS,
    });
    expect(denial?.code).toBe(isRefused ? 'session-revoked' : undefined);
  });

  it('names the switch that stops a request, and gives no reason for it', () => {
    const switches: Head['switches'] = [{ level: 'feature', target: 'refunds', namespace: 'live', untilMs: null }];
    expect(verdict({ switches })).toEqual({
      code: 'kill-switch-active',
      detail: 'The feature "refunds" is stopped by an operator.',
      evidence: { level: 'feature', target: 'refunds' },
    });
    expect(verdict({ switches }, callerOf('fusebox~a'), { feature: 'other' })).toBeNull();
  });

  it('stops everything by the one switch that does', () => {
    const switches: Head['switches'] = [{ level: 'global', target: 'all', namespace: 'live', untilMs: START_MS + 1 }];
    expect(verdict({ switches })?.detail).toBe('Everything is stopped by an operator.');
    expect(verdict({ switches }, callerOf('fusebox~a'), { nowMs: START_MS + 1 })).toBeNull();
  });

  it('says first that the session is revoked, then its agent, then a switch', () => {
    const parts: Partial<Head>[] = [
      { revoked: { blobs: [], recent: recent('fusebox~a') } },
      { agents: [[agentDigest('agent'), START_MS, UNTIL_MS]] },
      { switches: [{ level: 'global', target: 'all', namespace: 'live', untilMs: null }] },
    ];
    const details = parts.map((_, index) => verdict(Object.assign({}, ...parts.slice(index)))?.detail);
    expect(details).toEqual([
      'This session was revoked.',
      'All sessions of this agent were revoked.',
      'Everything is stopped by an operator.',
    ]);
  });
});
