import { describe, expect, it } from 'vitest';
import { accessAdmin } from '../../src/credential/access-roles.ts';
import type { AccessRole } from '../../src/policy/policy.ts';

const ROWS: readonly AccessRole[] = [
  { kind: 'email', name: 'Alice@acme.example', owner: null, roles: ['operator'] },
  { kind: 'group', name: 'ops', owner: null, roles: ['viewer', 'approver'] },
  { kind: 'service_token', name: 'ci.access', owner: 'Bob@acme.example', roles: ['issuer'] },
  { kind: 'service_token', name: 'cron.access', owner: null, roles: ['viewer'] },
];
const person = (email: string, ...groups: string[]) =>
  ({ kind: 'person', email, groups, subject: `sub of ${email}` }) as const;

describe('a subject of Cloudflare Access', () => {
  it.each([
    ['by address, in any case', person('alice@ACME.example'), 'access:alice@acme.example', ['operator']],
    ['by group', person('carol@acme.example', 'staff', 'ops'), 'access:carol@acme.example', ['viewer', 'approver']],
    [
      'by both, with the roles of all rows',
      person('alice@acme.example', 'ops'),
      'access:alice@acme.example',
      ['viewer', 'operator', 'approver'],
    ],
    ['by client id', { kind: 'service', commonName: 'ci.access' } as const, 'access-service:ci.access', ['issuer']],
  ])('has its roles %s', (_how, subject, id, roles) => {
    expect(accessAdmin(subject, ROWS)).toMatchObject({ id, roles, breakGlass: false });
  });

  it.each([
    ['a person in no row', person('mallory@acme.example', 'Ops')],
    ['a person with the name of a group as address', person('ops')],
    ['a service token in no row', { kind: 'service', commonName: 'other.access' } as const],
    ['a service token with the name of a person', { kind: 'service', commonName: 'Alice@acme.example' } as const],
    ['a service token with the name of a group', { kind: 'service', commonName: 'ops' } as const],
    ['a person in a group with the name of a service token', person('x@acme.example', 'ci.access')],
  ])('has none for %s', (_who, subject) => {
    expect(accessAdmin(subject, ROWS)).toBeNull();
  });

  it.each([
    [person(' Alice@Acme.example '), 'alice@acme.example'],
    [{ kind: 'service', commonName: 'ci.access' } as const, 'bob@acme.example'],
    [{ kind: 'service', commonName: 'cron.access' } as const, 'cron.access'],
  ])('is one person, however it comes in', (subject, behind) => {
    expect(accessAdmin(subject, ROWS)?.person).toBe(behind);
  });
});
