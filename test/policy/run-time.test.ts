import { describe, expect, it } from 'vitest';
import { describePolicyError, parsePolicy } from '../../src/policy/parse.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { type PolicyGround, readOperatorsPolicy, readRunTimePolicy } from '../../src/policy/run-time.ts';
import { AUDIENCE } from '../support/access.ts';

const ADMIN = `admin:
  access: { team: acme, audience: ${AUDIENCE}, roles: [{ email: a@b.example, roles: [operator] }] }
`;

function yaml(route: string, more = '', upstream = `https://${route}.example.com`): string {
  return `version: 1\nroutes: { ${route}: { upstream: "${upstream}", protocol: openai, scope: a } }\n${more}`;
}

function policyOf(text: string): Policy {
  const reading = parsePolicy(text, { allowLoopback: true });
  if (!reading.ok) throw new Error(JSON.stringify(reading.errors));
  return reading.policy;
}

function ground(more: Partial<PolicyGround> = {}): PolicyGround {
  return { deployed: policyOf(yaml('old', ADMIN)), local: null, rules: { allowLoopback: false }, ...more };
}

function errorsOf(reading: ReturnType<typeof readRunTimePolicy>): string {
  return reading.ok ? '' : reading.errors.map((error) => describePolicyError('yaml', error)).join('\n');
}

describe('a run-time version of the policy', () => {
  it('gets the local routes as the deployed file does', () => {
    const local = policyOf(yaml('here', '', 'http://127.0.0.1:1'));
    const reading = readRunTimePolicy(yaml('new'), ground({ local }));
    expect(reading.ok && [...reading.policy.routes.keys()]).toEqual(['new', 'here']);
  });

  it('is refused where it has a route of the local one', () => {
    const local = policyOf(yaml('new', '', 'http://127.0.0.1:1'));
    expect(errorsOf(readRunTimePolicy(yaml('new'), ground({ local })))).toContain(
      'the route "new" is in both policies',
    );
  });

  it('may have upstreams on the own machine only where the deployed file may', () => {
    const text = yaml('new', '', 'http://127.0.0.1:1');
    expect(readRunTimePolicy(text, ground()).ok).toBe(false);
    expect(readRunTimePolicy(text, ground({ rules: { allowLoopback: true } })).ok).toBe(true);
  });

  it('never says who may use the control plane: the deployed file does', () => {
    const other = ADMIN.replace('a@b.example', 'mallory@b.example');
    const reading = readRunTimePolicy(yaml('new', other), ground());
    expect(reading.ok && reading.policy.admin.access?.roles.map(({ name }) => name)).toEqual(['a@b.example']);
  });
});

describe('a policy that an operator sends', () => {
  it('is taken with the section admin of the deployed file', () => {
    const reading = readOperatorsPolicy(yaml('new', ADMIN), ground());
    expect(reading.ok && [...reading.policy.routes.keys()]).toEqual(['new']);
  });

  it.each([
    ['with another row', ADMIN.replace('a@b.example', 'mallory@b.example'), 'yaml:3:1 admin: is not that'],
    ['with more roles', ADMIN.replace('[operator]', '[operator, approver]'), 'yaml:3:1 admin: is not that'],
    ['without the section', '', 'admin: is not that'],
    ['that cannot be read', 'nothing: 1\n', 'yaml:3:1 nothing: is not known'],
  ])('is refused %s, where it stands', (_what, more, error) => {
    expect(errorsOf(readOperatorsPolicy(yaml('new', more), ground()))).toContain(error);
  });
});
