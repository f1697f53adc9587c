// Who may use the control plane: operators' tokens, known here by their digests only. Reads the secrets; the check of a
// request is in admin/auth.ts.
import { createHash } from 'node:crypto';
import { isJsonObject, type JsonObject, readStrictJson } from '../json/small-json.ts';
import { isId } from '../policy/grammar.ts';

/** viewer reads, issuer issues, operator revokes, resets and kills, approver confirms what needs two people. None includes another. */
export const ADMIN_ROLES = ['viewer', 'issuer', 'operator', 'approver'] as const;
export type AdminRole = (typeof ADMIN_ROLES)[number];

export interface Admin {
  readonly id: string;
  /** The person behind the token: two tokens of one owner are not four eyes. */
  readonly owner: string;
  readonly roles: readonly AdminRole[];
}

export interface AdminEntry extends Admin {
  /** SHA-256 of the token: 32 octets. */
  readonly digest: Uint8Array;
}

export type AdminReading =
  | { readonly ok: true; readonly admins: readonly AdminEntry[] }
  | { readonly ok: false; readonly reason: string };

const MAX_ADMINS = 256;
const SHA256_HEX = /^[0-9a-f]{64}$/;
const MEMBERS = new Set(['id', 'owner', 'sha256', 'roles']);

/** Reads the secret ADMIN_TOKENS: JSON `[{ id, owner, sha256, roles }]`, where `sha256` is the digest of the token in hex. */
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
    admins.push(admin);
  }
  return { ok: true, admins };
}

/** An entry with all roles for the one token of the secret ADMIN_TOKEN. */
export function soleAdmin(token: string): AdminEntry {
  return { id: 'admin', owner: 'admin', roles: ADMIN_ROLES, digest: tokenDigest(token) };
}

/** SHA-256 of an operator's token. */
export function tokenDigest(token: string): Uint8Array {
  return new Uint8Array(createHash('sha256').update(token).digest());
}

function readAdmin(entry: JsonObject): AdminEntry | string {
  const { id, owner, sha256, roles } = entry;
  const unknown = Object.keys(entry).find((key) => !MEMBERS.has(key));
  if (unknown !== undefined) return `the key "${unknown}" is not known`;
  if (!isId(id)) return '"id" is not an id';
  if (typeof owner !== 'string' || !/^[\x20-\x7e]{1,128}$/.test(owner))
    return '"owner" is not a name in printable ASCII';
  if (typeof sha256 !== 'string' || !SHA256_HEX.test(sha256)) return '"sha256" is not a SHA-256 in small hex digits';
  if (!Array.isArray(roles) || roles.length === 0) return '"roles" is not a list of at least one role';
  const known = ADMIN_ROLES.filter((role) => roles.includes(role));
  if (known.length !== roles.length) return `"roles" may have, once each: ${ADMIN_ROLES.join(', ')}`;
  return { id, owner, roles: known, digest: new Uint8Array(Buffer.from(sha256, 'hex')) };
}
