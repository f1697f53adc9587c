// Who may use the control plane: operators' tokens, known here by their digests only. Reads the secrets; the check of a
// request is in admin/auth.ts.
import { createHash } from 'node:crypto';
import { readTimestamp, timestamp } from '../http/timestamp.ts';
import { isJsonObject, type JsonObject, readStrictJson } from '../json/small-json.ts';
import { ADMIN_ROLES, type AdminRole } from '../policy/admin-roles.ts';
import { isId } from '../policy/grammar.ts';

/** Who makes a call of the control plane, however that was proven. */
export interface Admin {
  /** What the record calls them: the id of the token, or `access:` and the subject of the Access assertion. */
  readonly id: string;
  /** The person behind it, in one spelling (see `personOf`): two credentials of one person are not four eyes. */
  readonly person: string;
  /** What the identity provider calls the person, besides; absent for tokens. Equal ones are one person, whatever the address. */
  readonly subject?: string;
  readonly roles: readonly AdminRole[];
  /** Each use of it is an alert. */
  readonly breakGlass: boolean;
}

export interface AdminEntry extends Admin {
  /** SHA-256 of the token: 32 octets. */
  readonly digest: Uint8Array;
  /** From then on it is refused; null for never. */
  readonly expiresAtMs: number | null;
}

export type AdminReading =
  | { readonly ok: true; readonly admins: readonly AdminEntry[] }
  | { readonly ok: false; readonly reason: string };

const MAX_ADMINS = 256;
const SHA256_HEX = /^[0-9a-f]{64}$/;
const MEMBERS = new Set(['id', 'owner', 'sha256', 'roles', 'break_glass', 'expires_at']);

/**
 * Reads the secret ADMIN_TOKENS: JSON `[{ id, owner, sha256, roles, break_glass?, expires_at? }]`, where `sha256` is the
 * digest of the token in hex and `expires_at` an RFC 3339 time. One owner may have several entries: that is how a token
 * is replaced without a moment in which none works.
 */
export function readAdminTokens(text: string): AdminReading {
  const reading = readStrictJson(text.trim());
  if (!reading.ok) return { ok: false, reason: `not JSON: ${reading.reason}` };
  if (!Array.isArray(reading.value) || reading.value.length === 0)
    return { ok: false, reason: 'not a list of at least one { id, owner, sha256, roles }' };
  if (reading.value.length > MAX_ADMINS) return { ok: false, reason: `more than ${MAX_ADMINS} entries` };
  const admins: AdminEntry[] = [];
  for (const [index, value] of reading.value.entries()) {
    const admin = isJsonObject(value) ? readAdmin(value) : 'not an object';
    if (typeof admin === 'string') return { ok: false, reason: `entry ${index + 1}: ${admin}` };
    if (admins.some((other) => other.id === admin.id))
      return { ok: false, reason: `entry ${index + 1}: the id "${admin.id}" is used twice` };
    if (admins.some((other) => Buffer.from(other.digest).equals(admin.digest)))
      return { ok: false, reason: `entry ${index + 1}: the token of "${admin.id}" is that of another entry` };
    admins.push(admin);
  }
  return { ok: true, admins };
}

/** An entry with all roles for the one token of the secret ADMIN_TOKEN. */
export function soleAdmin(token: string): AdminEntry {
  const digest = tokenDigest(token);
  return { id: 'admin', person: 'admin', roles: ADMIN_ROLES, breakGlass: false, digest, expiresAtMs: null };
}

/** SHA-256 of an operator's token. */
export function tokenDigest(token: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(token).digest());
}

/** One spelling of a person's name or address: `Alice@Acme.example` and ` alice@acme.example` are one person. */
export function personOf(name: string): string {
  return name.trim().toLowerCase();
}

/** Whether a token's time is over. */
export function isPastUse({ expiresAtMs }: AdminEntry, nowMs: number): boolean {
  return expiresAtMs !== null && nowMs >= expiresAtMs;
}

/** One sentence for each token whose time is over: worth a warning, and never a reason not to start. */
export function expiredTokens(admins: readonly AdminEntry[], nowMs: number): readonly string[] {
  return admins
    .filter((entry) => isPastUse(entry, nowMs))
    .map(({ id, expiresAtMs }) => `the admin token "${id}" expired at ${timestamp(expiresAtMs ?? 0)} and is refused`);
}

function readAdmin(entry: JsonObject): AdminEntry | string {
  const { id, owner, sha256, roles, break_glass: breakGlass = false, expires_at: expiresAt } = entry;
  const unknown = Object.keys(entry).find((key) => !MEMBERS.has(key));
  if (unknown !== undefined) return `the key "${unknown}" is not known`;
  if (!isId(id)) return '"id" is not an id';
  if (typeof owner !== 'string' || !/^[\x20-\x7e]{1,128}$/.test(owner) || personOf(owner) === '')
    return '"owner" is not a name in printable ASCII';
  if (typeof sha256 !== 'string' || !SHA256_HEX.test(sha256)) return '"sha256" is not a SHA-256 in small hex digits';
  if (!Array.isArray(roles) || roles.length === 0) return '"roles" is not a list of at least one role';
  const known = ADMIN_ROLES.filter((role) => roles.includes(role));
  if (known.length !== roles.length) return `"roles" may have, once each: ${ADMIN_ROLES.join(', ')}`;
  if (typeof breakGlass !== 'boolean') return '"break_glass" is neither true nor false';
  const expiresAtMs = typeof expiresAt === 'string' ? readTimestamp(expiresAt) : null;
  if (expiresAt !== undefined && expiresAtMs === null)
    return '"expires_at" is not a time such as "2026-12-31T12:00:00Z"';
  const digest = new Uint8Array(Buffer.from(sha256, 'hex'));
  return { id, person: personOf(owner), roles: known, breakGlass, digest, expiresAtMs };
}
