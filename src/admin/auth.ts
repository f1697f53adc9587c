// Who is asking the control plane, and whether their role allows it. Compares digests in constant time; remembers
// failures per address, bounded; decides nothing about sessions.
import { timingSafeEqual } from 'node:crypto';
import QuickLRU from 'quick-lru';
import { type Admin, type AdminEntry, tokenDigest } from '../credential/admin-token.ts';
import type { Problem } from '../http/problem.ts';
import type { AdminRole } from '../policy/admin-roles.ts';

type AdminCheck = { readonly ok: true; readonly admin: Admin } | { readonly ok: false; readonly problem: Problem };

export interface AdminGate {
  /** Who the request's bearer token belongs to. */
  identify(headers: Headers, nowMs: number): AdminCheck;
}

const MINUTE_MS = 60_000;
/** Nobody mistypes this often; a script that guesses does. */
const MAX_FAILURES_PER_MINUTE = 120;
const MAX_ADDRESSES = 4_096;
/** Longer is no token of ours, and is not worth a digest. */
const MAX_ADMIN_TOKEN_CHARS = 512;

const MISSING: Problem = { code: 'credential-missing', detail: 'No admin token.' };
const INVALID: Problem = { code: 'credential-invalid', detail: 'Not a known admin token.' };

/**
 * The gate of a deployment's operators. Wrong tokens from one address are answered 429 after 120 in a minute; a right one
 * is let in even then, so that nobody can lock operators out of the stop button.
 */
export function createAdminGate(admins: readonly AdminEntry[]): AdminGate {
  const failures = new QuickLRU<string, { readonly sinceMs: number; count: number }>({ maxSize: MAX_ADDRESSES });
  return {
    identify(headers, nowMs) {
      const authorization = headers.get('authorization');
      if (authorization === null) return { ok: false, problem: MISSING };
      const admin = adminOf(authorization, admins);
      if (admin !== null) return { ok: true, admin };
      return { ok: false, problem: countFailure(headers.get('cf-connecting-ip') ?? 'unknown', nowMs) };
    },
  };

  function countFailure(address: string, nowMs: number): Problem {
    const known = failures.get(address);
    const current = known === undefined || nowMs - known.sinceMs >= MINUTE_MS ? { sinceMs: nowMs, count: 0 } : known;
    current.count += 1;
    failures.set(address, current);
    if (current.count <= MAX_FAILURES_PER_MINUTE) return INVALID;
    const retryAfterSeconds = Math.max(1, Math.ceil((current.sinceMs + MINUTE_MS - nowMs) / 1_000));
    return { code: 'velocity-exceeded', detail: 'Too many wrong admin tokens from this address.', retryAfterSeconds };
  }
}

interface CallRoles {
  readonly role: AdminRole;
  readonly orRole?: AdminRole;
}

/** The refusal of an admin who has none of the roles that a call takes, or null. */
export function roleProblem(admin: Admin, { role, orRole }: CallRoles): Problem | null {
  if (admin.roles.includes(role) || (orRole !== undefined && admin.roles.includes(orRole))) return null;
  return {
    code: 'scope-denied',
    detail: `This call needs the role "${role}"${orRole === undefined ? '' : ` or "${orRole}"`}.`,
    evidence: { required_role: role, roles: admin.roles.join(' ') },
  };
}

/** Looks at every entry, whichever matches, so that time tells nothing about which one did. */
function adminOf(authorization: string, admins: readonly AdminEntry[]): Admin | null {
  if (authorization.slice(0, 7).toLowerCase() !== 'bearer ') return null;
  const token = authorization.slice(7).trim();
  if (token === '' || token.length > MAX_ADMIN_TOKEN_CHARS) return null;
  const digest = tokenDigest(token);
  let found: Admin | null = null;
  for (const entry of admins) {
    if (timingSafeEqual(digest, entry.digest)) found = entry;
  }
  return found;
}
