// Heads and callers for tests of the snapshot: empty ones, on which each test says what matters to it.
import { digestOf } from '../../src/snapshot/digest64.ts';
import type { Head } from '../../src/snapshot/head.ts';
import { packDigests } from '../../src/snapshot/revocation-list.ts';
import type { ScreenedCaller } from '../../src/snapshot/snapshot.ts';

export const START_MS = 1_800_000_000_000;

/** The head's own list with these sessions on it. */
export function recent(...names: readonly string[]): string {
  return Buffer.from(packDigests(names.map(digestOf))).toString('base64');
}

export function headOf(more: Partial<Head> = {}): Head {
  return {
    version: 2,
    deployment: 'fusebox',
    epoch: 1,
    asOfMs: START_MS,
    policy: null,
    switches: [],
    agents: [],
    revoked: { blobs: [], recent: '' },
    drill: null,
    ...more,
  };
}

/** A head that says of these sessions that they are revoked. */
export function revoking(names: readonly string[], more: Partial<Head> = {}): Head {
  return headOf({ revoked: { blobs: [], recent: recent(...names) }, ...more });
}

export function callerOf(name: string, more: Partial<ScreenedCaller> = {}): ScreenedCaller {
  const agent = more.agent ?? 'agent';
  return {
    name,
    digest: digestOf(name),
    agentDigest: digestOf(agent),
    agent,
    customer: null,
    segments: [],
    issuedAtMs: START_MS - 1_000,
    ...more,
  };
}
