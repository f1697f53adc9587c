// A gateway with a million revoked sessions: how they are put on its list, what that takes, and what the list costs in
// memory and time where it is searched.
import { readFile } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { randomBytes } from 'node:crypto';
import { MAX_IMPORT_LINES } from '../src/limits.ts';
import { type Digest64, digestOf } from '../src/snapshot/digest64.ts';
import type { Head } from '../src/snapshot/head.ts';
import { digestListOf } from '../src/snapshot/revocation-list.ts';
import { type ScreenedCaller, snapshotOf, verdictOf } from '../src/snapshot/snapshot.ts';

const REVOKED_ENTRIES = 1_000_000;
const LIFE_MS = 6 * 60 * 60 * 1_000;
const LOADED_TIMEOUT_MS = 120_000;

/** What it took to load the list, and what holding it takes. */
export interface LoadFigures {
  readonly entries: number;
  /** Through the control plane, in lots of MAX_IMPORT_LINES. */
  readonly import_seconds: number;
  /** From the last import until the isolate holds all of it. */
  readonly edge_seconds: number;
  /** Resident memory of the whole process (Worker, objects, KV), before and after. */
  readonly rss_before_mib: number;
  readonly rss_after_mib: number;
}

/** Fills the revocation list of a running gateway, and waits until its isolate holds it. */
export async function loadMillion(gateway: {
  readonly url: string;
  readonly workerdPid: number;
  readonly adminToken: string;
}): Promise<LoadFigures> {
  const rssBefore = await residentMib(gateway.workerdPid);
  const expiresAt = new Date(Date.now() + LIFE_MS).toISOString();
  const startedMs = performance.now();
  for (let from = 0; from < REVOKED_ENTRIES; from += MAX_IMPORT_LINES) {
    const lines = Array.from({ length: MAX_IMPORT_LINES }, (_, index) =>
      JSON.stringify({ session: `elsewhere~s-${from + index}`, expires_at: expiresAt }),
    );
    const answer = await fetch(`${gateway.url}/admin/revocations?reason=benchmark`, {
      method: 'POST',
      headers: { authorization: `Bearer ${gateway.adminToken}`, 'content-type': 'application/x-ndjson' },
      body: lines.join('\n'),
    });
    if (!answer.ok) throw new Error(`the import was answered ${answer.status}: ${await answer.text()}`);
    await answer.body?.cancel();
  }
  const importedMs = performance.now();
  await loaded(gateway.url);
  return {
    entries: REVOKED_ENTRIES,
    import_seconds: seconds(importedMs - startedMs),
    edge_seconds: seconds(performance.now() - importedMs),
    rss_before_mib: rssBefore,
    rss_after_mib: await residentMib(gateway.workerdPid),
  };
}

async function loaded(url: string): Promise<void> {
  const giveUpMs = performance.now() + LOADED_TIMEOUT_MS;
  while (performance.now() < giveUpMs) {
    const health = await fetch(`${url}/healthz`);
    const { revocations } = JSON.parse(await health.text()) as { revocations: { held: number; complete: boolean } };
    if (revocations.complete && revocations.held >= REVOKED_ENTRIES) return;
    await sleep(200);
  }
  throw new Error('the isolate has not loaded the whole list in time');
}

async function residentMib(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Math.round(Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? 0) / 1_024);
}

/** What one screening costs an allowed request, and a revoked one, in this process, on the code that the edge runs. */
export interface ScreenFigures {
  readonly entries: number;
  readonly blob_bytes: number;
  /** SHA-256 and the check of its order, once when a blob arrives. */
  readonly adopt_ms: number;
  readonly allowed_ns: number;
  readonly revoked_ns: number;
}

/** Screens against a full list in as many blobs as it can have, with 256 revoked agents and 50 kill switches. */
export async function timeScreening(): Promise<ScreenFigures> {
  const blobs = await Promise.all(
    BLOB_SIZES.map(async (count) => {
      const bytes = randomList(count);
      const startedMs = performance.now();
      await crypto.subtle.digest('SHA-256', bytes);
      const list = digestListOf(bytes);
      if (list === null) throw new Error('a list out of order');
      return { list, ms: performance.now() - startedMs };
    }),
  );
  const lists = blobs.map(({ list }) => list);
  const held = { snapshot: snapshotOf(fullHead()), blobs: lists };
  const allowed = Array.from({ length: 1_000 }, (_, index) => caller(`own~${index}`, digestOf(`own~${index}`)));
  const [largest] = lists;
  if (largest === undefined) throw new Error('no list');
  const revoked = allowed.map((one, index) => {
    const at = index * 4_000;
    return { ...one, digest: { high: largest.view.getUint32(at), low: largest.view.getUint32(at + 4) } };
  });
  const at = { feature: 'chat', namespace: 'live', nowMs: Date.now() } as const;
  const countRefused = (callers: typeof allowed): number =>
    callers.reduce((refusals, one) => refusals + (verdictOf(held, one, at) === null ? 0 : 1), 0);
  const allowedNs = timed(allowed.length, () => countRefused(allowed) === 0);
  const revokedNs = timed(revoked.length, () => countRefused(revoked) === revoked.length);
  return {
    entries: BLOB_SIZES.reduce((sum, count) => sum + count, 0),
    blob_bytes: lists.reduce((sum, { view }) => sum + view.byteLength, 0),
    adopt_ms: Math.round(Math.max(...blobs.map(({ ms }) => ms)) * 10) / 10,
    allowed_ns: allowedNs,
    revoked_ns: revokedNs,
  };
}

function caller(name: string, digest: Digest64): ScreenedCaller {
  return {
    name,
    digest,
    agentDigest: digestOf(`agent of ${name}`),
    agent: 'support-7',
    customer: 'nobody',
    segments: ['retail'],
    issuedAtMs: 1,
  };
}

/** Nanoseconds for each of the `calls` that one pass makes; a pass that says something wrong throws. */
function timed(calls: number, pass: () => boolean): number {
  const run = (rounds: number): void => {
    for (let round = 0; round < rounds; round += 1) if (!pass()) throw new Error('the screening said something else');
  };
  run(50);
  const rounds = 200;
  const startedMs = performance.now();
  run(rounds);
  return Math.round(((performance.now() - startedMs) * 1_000_000) / (rounds * calls));
}

/** A million, as merging leaves them in the worst case: one large blob, and others of each tier below it. */
const BLOB_SIZES = [
  770_048,
  ...Array.from({ length: 6 }, () => 32_768),
  ...Array.from({ length: 7 }, () => 4_096),
  ...Array.from({ length: 9 }, () => 512),
];

function randomList(count: number): Uint8Array<ArrayBuffer> {
  const numbers = new BigUint64Array(randomBytes(count * 8).buffer.slice(0)).slice(0, count).sort();
  const bytes = new Uint8Array(count * 8);
  const view = new DataView(bytes.buffer);
  for (const [index, number] of numbers.entries()) view.setBigUint64(index * 8, number);
  return bytes;
}

function fullHead(): Head {
  return {
    version: 2,
    deployment: 'bench',
    epoch: 1,
    asOfMs: Date.now(),
    policy: null,
    switches: Array.from({ length: 50 }, (_, index) => ({
      level: index % 2 === 0 ? 'agent' : 'feature',
      target: index % 2 === 0 ? `billing-${index}-*` : `refunds-${index}@billing-*`,
      namespace: 'live',
      untilMs: null,
    })),
    agents: Array.from({ length: 256 }, (_, index) => [index.toString(16).padStart(16, '0'), 1, Date.now() + LIFE_MS]),
    revoked: { blobs: [], recent: Buffer.from(randomList(512)).toString('base64') },
    drill: null,
  };
}

function seconds(ms: number): number {
  return Math.round(ms / 10) / 100;
}
