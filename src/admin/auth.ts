// Who is asking the control plane, and whether their role allows it: an admin token, compared by digest in constant time,
// or an assertion of Cloudflare Access. Remembers failures per address, bounded; decides nothing about sessions.
import { timingSafeEqual } from 'node:crypto';
import QuickLRU from 'quick-lru';
import { type AccessKeyAnswer, verifyAccessAssertion } from '../credential/access-assertion.ts';
import { accessAdmin, accessId } from '../credential/access-roles.ts';
import { type Admin, type AdminEntry, isPastUse, tokenDigest } from '../credential/admin-token.ts';
import type { Problem } from '../http/problem.ts';
import type { AdminRole } from '../policy/admin-roles.ts';
import type { AccessPolicy } from '../policy/policy.ts';

/** Takes work that outlives the answer. */
type Background = (work: Promise<unknown>) => void;
/** The key of Cloudflare Access under a `kid`. */
export type AccessKeyOf = (kid: string, background: Background) => Promise<AccessKeyAnswer>;

interface RefusedAdmin {
  readonly ok: false;
  readonly problem: Problem;
  /** What exactly was wrong: for the log alone. */
  readonly logDetail: string;
  /** Whose credential it was, where that is known. */
  readonly id: string | null;
}

type AdminCheck = { readonly ok: true; readonly admin: Admin } | RefusedAdmin;

export interface AdminGate {
  /** Who makes the request. */
  identify(request: Pick<Request, 'headers'>, background: Background, nowMs: number): Promise<AdminCheck>;
}

interface AdminGateOptions {
  readonly admins: readonly AdminEntry[];
  /** Cloudflare Access, where the deployed policy names a team. */
  readonly access: AccessPolicy | null;
  readonly accessKeyOf: AccessKeyOf;
}

const ASSERTION_HEADER = 'cf-access-jwt-assertion';
const MINUTE_MS = 60_000;
/** Nobody mistypes this often; a script that guesses does. */
const MAX_FAILURES_PER_MINUTE = 120;
const MAX_ADDRESSES = 4_096;
/** Longer is no token of ours, and is not worth a digest. */
const MAX_ADMIN_TOKEN_CHARS = 512;

/**
 * The gate of a deployment's operators. Behind Cloudflare Access every request carries an assertion, also one with a token:
 * where there is an `Authorization` header it decides, and the assertion counts for nothing. Wrong credentials from one
 * address are answered 429 after 120 in a minute; a right one is let in even then, so that nobody can lock operators out of
 * the stop button.
 */
export function createAdminGate({ admins, access, accessKeyOf }: AdminGateOptions): AdminGate {
  const failures = new QuickLRU<string, { readonly sinceMs: number; count: number }>({ maxSize: MAX_ADDRESSES });
  return {
    async identify({ headers }, background, nowMs) {
      const authorization = headers.get('authorization');
      const assertion = headers.get(ASSERTION_HEADER);
      const check =
        authorization !== null
          ? byToken(authorization, admins, nowMs)
          : assertion !== null && access !== null
            ? await byAccess(assertion, { access, keyOf: (kid) => accessKeyOf(kid, background) }, nowMs)
            : refuse('credential-missing', assertion === null ? 'no credential' : 'the policy names no Access team');
      if (check.ok || !WRONG.has(check.problem.code)) return check;
      const retryAfterSeconds = countFailure(headers.get('cf-connecting-ip') ?? 'unknown', nowMs);
      if (retryAfterSeconds === null) return check;
      const detail = 'Too many wrong credentials from this address.';
      return { ...check, problem: { code: 'velocity-exceeded', detail, retryAfterSeconds } };
    },
  };

  /** Seconds to wait once there are too many; null until then. */
  function countFailure(address: string, nowMs: number): number | null {
    const known = failures.get(address);
    const current = known === undefined || nowMs - known.sinceMs >= MINUTE_MS ? { sinceMs: nowMs, count: 0 } : known;
    current.count += 1;
    failures.set(address, current);
    if (current.count <= MAX_FAILURES_PER_MINUTE) return null;
    return Math.max(1, Math.ceil((current.sinceMs + MINUTE_MS - nowMs) / 1_000));
  }
}

/** What counts as a failure: a guess, not a mistake of ours. */
const WRONG: ReadonlySet<Problem['code']> = new Set(['credential-invalid', 'credential-expired']);

interface CallRoles {
  readonly role: AdminRole;
  readonly orRole?: AdminRole;
}

/** The refusal of an admin who has none of the roles that a call takes, or null. */
export function roleProblem(admin: Pick<Admin, 'roles'>, { role, orRole }: CallRoles): Problem | null {
  if (admin.roles.includes(role) || (orRole !== undefined && admin.roles.includes(orRole))) return null;
  return {
    code: 'scope-denied',
    detail: `This call needs the role "${role}"${orRole === undefined ? '' : ` or "${orRole}"`}.`,
    evidence: { required_role: role, roles: admin.roles.join(' ') },
  };
}

function byToken(authorization: string, admins: readonly AdminEntry[], nowMs: number): AdminCheck {
  const entry = entryOf(authorization, admins);
  if (entry === null) return refuse('credential-invalid', 'not a known admin token');
  return isPastUse(entry, nowMs)
    ? refuse('credential-expired', 'the admin token has expired', entry.id)
    : { ok: true, admin: entry };
}

/** Looks at every entry, whichever matches, so that time tells nothing about which one did. */
function entryOf(authorization: string, admins: readonly AdminEntry[]): AdminEntry | null {
  if (authorization.slice(0, 7).toLowerCase() !== 'bearer ') return null;
  const token = authorization.slice(7).trim();
  if (token === '' || token.length > MAX_ADMIN_TOKEN_CHARS) return null;
  const digest = tokenDigest(token);
  let found: AdminEntry | null = null;
  for (const entry of admins) {
    if (timingSafeEqual(digest, entry.digest)) found = entry;
  }
  return found;
}

async function byAccess(
  assertion: string,
  { access, keyOf }: { readonly access: AccessPolicy; readonly keyOf: (kid: string) => Promise<AccessKeyAnswer> },
  nowMs: number,
): Promise<AdminCheck> {
  const { issuer, audience, roles } = access;
  const verification = await verifyAccessAssertion(assertion, { issuer, audience, keyOf }, nowMs);
  if (!verification.ok) return refuse(verification.code, `Access assertion: ${verification.reason}`);
  const admin = accessAdmin(verification.value, roles);
  if (admin !== null) return { ok: true, admin };
  return refuse('policy-denied', 'no row of the policy names the subject', accessId(verification.value));
}

const DETAILS = {
  'credential-missing': 'No admin credential.',
  'credential-invalid': 'Not a known admin credential.',
  'credential-expired': 'The admin credential has expired.',
  'enforcement-unavailable': 'Cloudflare Access could not be asked for its keys. An admin token works without it.',
  'policy-denied': 'The policy gives you no role in the control plane.',
} as const satisfies Partial<Record<Problem['code'], string>>;

function refuse(code: keyof typeof DETAILS, logDetail: string, id: string | null = null): RefusedAdmin {
  return { ok: false, problem: { code, detail: DETAILS[code] }, logDetail, id };
}
