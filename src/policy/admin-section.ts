// The section `admin` of the policy: which people and services of Cloudflare Access may use the control plane. Its shape,
// and the rules that span its keys. Tokens are no part of it: they are secrets.
import type * as z from 'zod';
import { ADMIN_ROLES } from './admin-roles.ts';
import { choice, group, list, text } from './fields.ts';
import type { AccessPolicy, AccessRole } from './policy.ts';
import { readUpstream, type UpstreamRules } from './upstream-url.ts';
import type { Report } from './yaml-source.ts';

const TEAM = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
const AUDIENCE = /^[A-Za-z0-9_-]{16,128}$/;
const EMAIL = /^[\x21-\x3f\x41-\x7e]{1,64}@[A-Za-z0-9.-]{1,189}$/;
const PRINTABLE = /^[\x20-\x7e]{1,128}$/;
const CERTS_PATH = '/cdn-cgi/access/certs';

const accessRole = group({
  email: text(
    (written) => EMAIL.test(written),
    'is not an address',
    'The address of a person, in any case.',
  ).optional(),
  group: text(
    (written) => PRINTABLE.test(written),
    'is not a name in printable ASCII',
    'A member of the claim `groups` or `custom.groups`.',
  ).optional(),
  service_token: text(
    (written) => PRINTABLE.test(written),
    'is not a name in printable ASCII',
    'The client id of a service token: the claim `common_name`.',
  ).optional(),
  owner: text(
    (written) => PRINTABLE.test(written) && written.trim() !== '',
    'is not a name in printable ASCII',
    'With service_token: the person who answers for it, as `owner` of an admin token.',
  ).optional(),
  roles: list(choice(ADMIN_ROLES, 'A role of the control plane.'), 'What they may do.'),
});

const access = group({
  team: text(
    (written) => TEAM.test(written),
    'is not the name of a team: small letters, digits and "-"',
    'TEAM of https://TEAM.cloudflareaccess.com.',
  ),
  audience: text(
    (written) => AUDIENCE.test(written),
    'is not the audience tag of an Access application',
    'The audience (AUD) tag of the Access application in front of /admin.',
  ),
  certs_url: text(
    (written) => written.length > 0,
    'is not a URL',
    'Where the keys are fetched: on the own machine only, for local development.',
  ).optional(),
  roles: list(accessRole, 'Who may do what. Whoever is in no row may do nothing.'),
});

export const adminSection = group({
  access: access.meta({ description: 'Cloudflare Access in front of the control plane.' }).optional(),
});

export const ADMIN_KNOWN_KEYS: readonly (readonly [string, readonly string[]])[] = [
  ['admin', Object.keys(adminSection.shape)],
  ['admin.access', Object.keys(access.shape)],
  ['admin.access.roles.*', Object.keys(accessRole.shape)],
];

/** Reads the section; what spans its keys and is wrong goes to `report`. */
export function readAdminSection(
  section: z.output<typeof adminSection> | undefined,
  rules: UpstreamRules,
  report: Report,
): { readonly access: AccessPolicy | null } {
  if (section?.access === undefined) return { access: null };
  const { team, audience, certs_url: certsUrl, roles } = section.access;
  if (roles.length === 0) report(['admin', 'access', 'roles'], 'has no row, so that nobody may do anything');
  const issuer = `https://${team}.cloudflareaccess.com`;
  if (certsUrl !== undefined) {
    const reading = readUpstream(certsUrl, rules);
    const problem = reading.ok
      ? 'is not on the own machine; keys come from https://TEAM.cloudflareaccess.com otherwise'
      : reading.reason;
    if (!reading.ok || !reading.upstream.startsWith('http://')) report(['admin', 'access', 'certs_url'], problem);
  }
  return {
    access: {
      issuer,
      audience,
      certsUrl: certsUrl ?? issuer + CERTS_PATH,
      roles: roles.map((row, index) => readRow(row, (reason) => report(['admin', 'access', 'roles', index], reason))),
    },
  };
}

function readRow(row: z.output<typeof accessRole>, report: (reason: string) => void): AccessRole {
  const named = (['email', 'group', 'service_token'] as const).flatMap((kind) => {
    const name = row[kind];
    return name === undefined ? [] : [{ kind, name }];
  });
  const [first = { kind: 'email' as const, name: '' }] = named;
  if (named.length !== 1) report('names not exactly one of email, group and service_token');
  if (row.owner !== undefined && row.service_token === undefined)
    report('has an owner, which is for service_token only');
  if (row.roles.length === 0) report('has no role');
  // Whoever has the service token would be its own second person.
  if (row.service_token !== undefined && row.roles.includes('approver'))
    report('makes a service token an approver: a second person has to be one');
  if (row.service_token !== undefined && row.owner === undefined && row.roles.includes('operator'))
    report('makes a service token an operator, and names no owner: whoever holds it would count as two people');
  return { ...first, owner: row.owner ?? null, roles: ADMIN_ROLES.filter((role) => row.roles.includes(role)) };
}
