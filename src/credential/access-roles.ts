// What a subject of Cloudflare Access may do here, by the rows of the policy. Pure; the caller has verified the assertion.
import { ADMIN_ROLES } from '../policy/admin-roles.ts';
import type { AccessRole } from '../policy/policy.ts';
import type { AccessSubject } from './access-assertion.ts';
import { type Admin, personOf } from './admin-token.ts';

/** The admin that a subject is, with the roles of every row that names it; null where none does. */
export function accessAdmin(subject: AccessSubject, rows: readonly AccessRole[]): Admin | null {
  const named = rows.filter((row) => isNamed(subject, row));
  const roles = ADMIN_ROLES.filter((role) => named.some((row) => row.roles.includes(role)));
  if (roles.length === 0) return null;
  const known = subject.kind === 'person' && subject.subject !== null ? { subject: subject.subject } : {};
  return { id: accessId(subject), person: personBehind(subject, named), ...known, roles, breakGlass: false };
}

/** What the record calls a subject. No token's id has a `@` in it, and none of them starts so. */
export function accessId(subject: AccessSubject): string {
  return subject.kind === 'person' ? `access:${personOf(subject.email)}` : `access-service:${subject.commonName}`;
}

function isNamed(subject: AccessSubject, row: AccessRole): boolean {
  if (subject.kind === 'service') return row.kind === 'service_token' && row.name === subject.commonName;
  if (row.kind === 'email') return personOf(row.name) === personOf(subject.email);
  return row.kind === 'group' && subject.groups.includes(row.name);
}

/** The person who answers for a service token, where the policy names one: otherwise it stands for itself. */
function personBehind(subject: AccessSubject, rows: readonly AccessRole[]): string {
  if (subject.kind === 'person') return personOf(subject.email);
  return personOf(rows.find((row) => row.owner !== null)?.owner ?? subject.commonName);
}
