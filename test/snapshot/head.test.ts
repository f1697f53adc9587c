import { beforeAll, describe, expect, it } from 'vitest';
import {
  MAX_HEAD_BYTES,
  MAX_ID_CHARS,
  MAX_RECENT_REVOCATIONS,
  MAX_REVOCATION_BLOBS,
  MAX_REVOCATIONS,
  MAX_REVOKED_AGENTS,
  MAX_DRILL_SWITCHES_BYTES,
  MAX_SWITCHES_BYTES,
} from '../../src/limits.ts';
import type { KeyRing } from '../../src/signing/signing-keys.ts';
import { digestHex, digestOf } from '../../src/snapshot/digest64.ts';
import { type Head, parseHead, readBlobName, revokedBlobName, writeHead } from '../../src/snapshot/head.ts';
import { packDigests } from '../../src/snapshot/revocation-list.ts';
import { signHead, verifyHead } from '../../src/snapshot/signed-head.ts';
import { keyRing, privateJwk } from '../support/credentials.ts';
import { headOf, recent } from '../support/heads.ts';

const FAR_MS = Number.MAX_SAFE_INTEGER;
const DIGEST = 'f'.repeat(64);
let keys: KeyRing;

beforeAll(async () => {
  keys = await keyRing(await privateJwk('k'.repeat(MAX_ID_CHARS), 'ES256'));
});

const digests = (count: number) => Array.from({ length: count }, (_, index) => digestOf(`fusebox~${index}`));

const one = (target: string) => ({
  level: 'customer' as const,
  target,
  namespace: 'drill' as const,
  untilMs: FAR_MS,
});

const everything = (namespace: 'live' | 'drill') => ({
  level: 'global' as const,
  target: 'all',
  namespace,
  untilMs: FAR_MS,
});

/** Switches whose JSON has exactly so many bytes. */
function switchesOf(bytes: number): Head['switches'] {
  const switches: Head['switches'] = [];
  while (JSON.stringify([...switches, one('x'.repeat(MAX_ID_CHARS))]).length <= bytes - 200)
    switches.push(one('x'.repeat(MAX_ID_CHARS)));
  const rest = bytes - JSON.stringify([...switches, one('')]).length;
  return [...switches, one('y'.repeat(rest))];
}

/** Every part at its most. */
const fullest = (): Head =>
  headOf({
    deployment: 'd'.repeat(MAX_ID_CHARS),
    epoch: FAR_MS,
    asOfMs: FAR_MS,
    policy: DIGEST,
    switches: switchesOf(MAX_SWITCHES_BYTES + MAX_DRILL_SWITCHES_BYTES),
    agents: digests(MAX_REVOKED_AGENTS).map((digest) => [digestHex(digest), FAR_MS, FAR_MS]),
    revoked: {
      blobs: Array.from({ length: MAX_REVOCATION_BLOBS }, () => ({ digest: DIGEST, count: MAX_REVOCATIONS })),
      recent: Buffer.from(packDigests(digests(MAX_RECENT_REVOCATIONS))).toString('base64'),
    },
    drill: { finishedMs: FAR_MS, passed: false, dueMs: FAR_MS },
  });

describe('the head', () => {
  it('comes out as it went in, also with every part at its most, and fits', async () => {
    const head = fullest();
    const signed = await signHead(head, keys);
    expect(signed.length).toBeLessThanOrEqual(MAX_HEAD_BYTES);
    expect(await verifyHead(signed, keys, head.deployment)).toEqual({ ok: true, head });
  });

  it('still fits with a switch that stops everything on top, in both namespaces', async () => {
    const full = fullest();
    const head = { ...full, switches: [...full.switches, everything('live'), everything('drill')] };
    expect((await signHead(head, keys)).length).toBeLessThanOrEqual(MAX_HEAD_BYTES);
  });

  it.each<[string, (full: Head) => Partial<Head>]>([
    ['deployment', (full) => ({ deployment: `${full.deployment}d` })],
    ['switches', () => ({ switches: switchesOf(MAX_SWITCHES_BYTES + MAX_DRILL_SWITCHES_BYTES + 300) })],
    ['agents', (full) => ({ agents: [...full.agents, ['0'.repeat(16), 1, 1]] })],
    [
      'revoked.blobs',
      (full) => ({ revoked: { ...full.revoked, blobs: [...full.revoked.blobs, { digest: DIGEST, count: 1 }] } }),
    ],
    [
      'revoked.recent',
      (full) => ({
        revoked: {
          ...full.revoked,
          recent: Buffer.from(packDigests(digests(MAX_RECENT_REVOCATIONS + 1))).toString('base64'),
        },
      }),
    ],
  ])('is not made with more of %s than fits', (part, more) => {
    const full = fullest();
    expect(() => writeHead({ ...full, ...more(full) })).toThrow(`the head's ${part}`);
  });

  it('ignores members that a later version knows, in each part', () => {
    const head = headOf({
      switches: [{ level: 'agent', target: 'a', namespace: 'live', untilMs: null }],
      revoked: { blobs: [{ digest: DIGEST, count: 1 }], recent: '' },
      drill: { finishedMs: 1, passed: true, dueMs: 2 },
    });
    const { switches, revoked, drill } = head;
    const later = {
      ...head,
      more: 1,
      switches: [{ ...switches[0], more: 1 }],
      revoked: { ...revoked, blobs: [{ ...revoked.blobs[0], more: 1 }], more: 1 },
      drill: { ...drill, more: 1 },
    };
    expect(parseHead(JSON.stringify(later))).toEqual(head);
  });

  it.each<[string, string]>([
    ['no JSON', '{'],
    ['version 1', JSON.stringify({ ...headOf(), version: 1 })],
    ['a negative epoch', JSON.stringify({ ...headOf(), epoch: -1 })],
    ['an epoch that is no whole number', JSON.stringify({ ...headOf(), epoch: 1.5 })],
    ['no list', JSON.stringify({ ...headOf(), revoked: null })],
    ['no switches', JSON.stringify({ ...headOf(), switches: undefined })],
    ['a switch of an unknown level', JSON.stringify({ ...headOf(), switches: [{ level: 'planet', target: 'earth' }] })],
    ['an agent that is no digest', JSON.stringify({ ...headOf(), agents: [['agent-1', 1, 1]] })],
    ['a policy that is no digest', JSON.stringify({ ...headOf(), policy: 'policy.yaml' })],
    [
      'a blob that is no digest',
      JSON.stringify({ ...headOf(), revoked: { blobs: [{ digest: '../head', count: 1 }], recent: '' } }),
    ],
    [
      'a list that is cut off',
      JSON.stringify({ ...headOf(), revoked: { blobs: [], recent: recent('a').slice(0, 8) } }),
    ],
    ['a list that is not base64', JSON.stringify({ ...headOf(), revoked: { blobs: [], recent: '%' } })],
  ])('is not read from %s', (_what, json) => {
    expect(parseHead(json)).toBeNull();
  });
});

describe("a blob's name", () => {
  it('says its kind and its digest', () => {
    expect(readBlobName(revokedBlobName(DIGEST))).toEqual({ kind: 'revoked', digest: DIGEST });
  });

  it.each(['head', `other/${DIGEST}`, `revoked/${DIGEST}0`, `revoked/${DIGEST.toUpperCase()}`, 'revoked/../head', ''])(
    'is not %j',
    (name) => {
      expect(readBlobName(name)).toBeNull();
    },
  );
});
