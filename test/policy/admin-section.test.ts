import { describe, expect, it } from 'vitest';
import { describePolicyError, parsePolicy } from '../../src/policy/parse.ts';
import { AUDIENCE } from '../support/access.ts';

const ROUTES = 'version: 1\nroutes: { r: { upstream: "https://a.example.com", protocol: openai, scope: a } }\n';

function read(section: string, allowLoopback = false) {
  return parsePolicy(`${ROUTES}admin:\n${section}`, { allowLoopback });
}

function access(more: string): string {
  return `  access:\n    team: acme\n    audience: ${AUDIENCE}\n${more}`;
}

function withCerts(url: string): string {
  return access(`    certs_url: ${url}\n    roles: [{ group: ops, roles: [viewer] }]\n`);
}

function withRow(row: string): string {
  return access(`    roles:\n      - ${row}\n`);
}

describe('the section admin of the policy', () => {
  it('names who may do what behind Cloudflare Access', () => {
    const section = access(`    roles:
      - { email: Alice@acme.example, roles: [approver, viewer] }
      - { group: ops, roles: [operator] }
      - { service_token: ci.access, owner: Bob, roles: [issuer] }
`);
    const reading = read(section);
    expect(reading.ok && reading.policy.admin.access).toEqual({
      issuer: 'https://acme.cloudflareaccess.com',
      audience: AUDIENCE,
      certsUrl: 'https://acme.cloudflareaccess.com/cdn-cgi/access/certs',
      roles: [
        { kind: 'email', name: 'Alice@acme.example', owner: null, roles: ['viewer', 'approver'] },
        { kind: 'group', name: 'ops', owner: null, roles: ['operator'] },
        { kind: 'service_token', name: 'ci.access', owner: 'Bob', roles: ['issuer'] },
      ],
    });
  });

  it('may be absent, or empty', () => {
    const absent = parsePolicy(ROUTES, { allowLoopback: false });
    expect(absent.ok && absent.policy.admin).toEqual({ access: null });
    const empty = read('  {}\n');
    expect(empty.ok && empty.policy.admin).toEqual({ access: null });
  });

  it('takes keys from the own machine in local development, and from nowhere else but the team', () => {
    const local = 'http://127.0.0.1:9902/cdn-cgi/access/certs';
    const reading = read(withCerts(local), true);
    expect(reading.ok && reading.policy.admin.access?.certsUrl).toBe(local);
    expect(read(withCerts(local)).ok).toBe(false);
    expect(read(withCerts('https://evil.example/certs'), true).ok).toBe(false);
  });

  it.each([
    ['an unknown key', '  acess: {}\n', '4:3 admin.acess: is not known; did you mean "access"?'],
    ['a team with a dot', access('').replace('team: acme', 'team: evil.example/'), '5:11 admin.access.team'],
    ['no row', access('    roles: []\n'), '7:12 admin.access.roles: has no row'],
    ['a short audience', access('').replace(AUDIENCE, 'aud'), '6:15 admin.access.audience'],
    ['a row that names nobody', withRow('{ roles: [viewer] }'), '8:9 admin.access.roles[0]: names not exactly one'],
    [
      'a row that names two',
      withRow('{ email: a@b.example, group: ops, roles: [viewer] }'),
      '8:9 admin.access.roles[0]: names not exactly one',
    ],
    ['a row with a wrong key', withRow('{ mail: a@b.example, roles: [viewer] }'), '8:11 admin.access.roles[0].mail'],
    ['an address that is none', withRow('{ email: ops, roles: [viewer] }'), '8:18 admin.access.roles[0].email'],
    ['an unknown role', withRow('{ group: ops, roles: [root] }'), '8:31 admin.access.roles[0].roles[0]'],
    ['a row without a role', withRow('{ group: ops, roles: [] }'), '8:9 admin.access.roles[0]: has no role'],
    [
      'a service token that approves',
      withRow('{ service_token: ci.access, roles: [approver] }'),
      '8:9 admin.access.roles[0]: makes a service token an approver',
    ],
    [
      'a service token that operates for nobody',
      withRow('{ service_token: ci.access, roles: [operator] }'),
      '8:9 admin.access.roles[0]: makes a service token an operator, and names no owner',
    ],
    [
      'an owner of a person',
      withRow('{ email: a@b.example, owner: a, roles: [viewer] }'),
      '8:9 admin.access.roles[0]: has an owner',
    ],
  ])('is refused with %s, where it stands', (_what, section, error) => {
    const reading = read(section);
    const errors = reading.ok ? [] : reading.errors.map((found) => describePolicyError('policy.yaml', found));
    expect(errors.join('\n')).toContain(`policy.yaml:${error}`);
  });
});
