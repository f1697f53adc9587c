// The head: one small value with everything that each isolate must know now, or the digests by which it finds it. Its
// shape and its bounds; pure. The signature is signed-head.ts's.
import * as z from 'zod';
import {
  MAX_DRILL_SWITCHES_BYTES,
  MAX_ID_CHARS,
  MAX_RECENT_REVOCATIONS,
  MAX_REVOCATION_BLOBS,
  MAX_REVOCATIONS,
  MAX_REVOKED_AGENTS,
  MAX_SWITCHES_BYTES,
} from '../limits.ts';
import { killSwitchSchema } from './kill-switch.ts';
import { BYTES_PER_DIGEST, digestListOf } from './revocation-list.ts';

/** The key under which KV keeps the head. */
export const HEAD_KEY = 'head';

const sha256Hex = z.string().regex(/^[0-9a-f]{64}$/);
const timeMs = z.int().nonnegative();

/** Unknown members are ignored, known ones must be right: for some minutes of a deploy one side is newer than the other. */
const headSchema = z.object({
  version: z.literal(2),
  deployment: z.string(),
  epoch: z.int().nonnegative(),
  asOfMs: timeMs,
  policy: sha256Hex.nullable(),
  deployed: sha256Hex.nullable().optional(),
  switches: z.array(killSwitchSchema),
  agents: z.array(z.tuple([z.string().regex(/^[0-9a-f]{16}$/), timeMs, timeMs])).max(MAX_REVOKED_AGENTS),
  revoked: z.object({
    blobs: z
      .array(z.object({ digest: sha256Hex, count: z.int().min(1).max(MAX_REVOCATIONS) }))
      .max(MAX_REVOCATION_BLOBS),
    recent: z.base64(),
  }),
  drill: z.object({ finishedMs: timeMs, passed: z.boolean(), dueMs: timeMs.nullable() }).nullable(),
});

/** The head as it travels; the members' meaning and units:
 *
 * - `deployment`: for which it speaks; a head of another one is not adopted;
 * - `epoch`: grows with every change, never goes back;
 * - `asOfMs`: when the control object said so;
 * - `policy`: hex SHA-256 of the run-time policy in force; null for the one deployed;
 * - `deployed`: hex SHA-256 of the policy file last deployed, so that a Worker of that file need not tell it;
 * - `agents`: revoked ones, as the agent's 64-bit digest in hex, the time at or before which a refused credential was
 *   issued, and the time until which this holds;
 * - `revoked.recent`: base64 of a digest list (see revocation-list.ts); `revoked.blobs`: more of them, by hex SHA-256;
 * - `drill`: the last kill drill, and when the next one is due.
 */
export type Head = z.output<typeof headSchema>;
export type DrillRecord = Head['drill'];

/** The name of a blob of revocations, in KV and in the RPC. */
export function revokedBlobName(digest: string): string {
  return `revoked/${digest}`;
}

/** The name of a run-time policy. */
export function policyBlobName(digest: string): string {
  return `policy/${digest}`;
}

/** The kind and the digest of a blob's name; null where it is none. */
export function readBlobName(name: string): { readonly kind: 'revoked' | 'policy'; readonly digest: string } | null {
  const match = /^(revoked|policy)\/([0-9a-f]{64})$/.exec(name);
  return match?.[2] === undefined ? null : { kind: match[1] === 'policy' ? 'policy' : 'revoked', digest: match[2] };
}

/** Reads a head from JSON; null when it is not one. */
export function parseHead(json: string): Head | null {
  try {
    const parsed = headSchema.safeParse(JSON.parse(json));
    return parsed.success && recentOf(parsed.data) !== null ? parsed.data : null;
  } catch {
    return null;
  }
}

/** The digests that the head carries itself; null when they are cut off or out of order. */
export function recentOf(head: Head): ReturnType<typeof digestListOf> {
  return digestListOf(new Uint8Array(Buffer.from(head.revoked.recent, 'base64')));
}

/** The JSON of a head. Throws when a part of it is past its bound: whoever fills that part has to refuse before. */
export function writeHead(head: Head): string {
  const { deployment, switches, agents, revoked } = head;
  const parts: readonly [string, number, number][] = [
    ['deployment', deployment.length, MAX_ID_CHARS],
    [
      'switches',
      JSON.stringify(switches).length,
      MAX_SWITCHES_BYTES + MAX_DRILL_SWITCHES_BYTES + GLOBAL_SWITCHES_BYTES,
    ],
    ['agents', agents.length, MAX_REVOKED_AGENTS],
    ['revoked.blobs', revoked.blobs.length, MAX_REVOCATION_BLOBS],
    ['revoked.recent', Buffer.byteLength(revoked.recent, 'base64'), MAX_RECENT_REVOCATIONS * BYTES_PER_DIGEST],
  ];
  for (const [part, size, most] of parts)
    if (size > most) throw new Error(`the head's ${part} is ${size}, and may be ${most}`);
  return JSON.stringify(head);
}

/** Those that stop everything are always let in, one for each namespace, on top of the bound. */
const GLOBAL_SWITCHES_BYTES = 256;
