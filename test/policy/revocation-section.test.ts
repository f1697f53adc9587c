import { describe, expect, it } from 'vitest';
import { parsePolicy } from '../../src/policy/parse.ts';

const ROUTES = 'routes: { a: { upstream: "https://a.example.com", protocol: openai, scope: llm:openai } }';

function read(section: string) {
  const reading = parsePolicy(`version: 1\n${section}\n${ROUTES}\n`, { allowLoopback: false });
  return reading.ok ? reading.policy.revocation : reading.errors.map(({ path, reason }) => `${path}: ${reason}`);
}

describe("the policy's section on revocation", () => {
  it.each([
    ['', { refreshMs: 5_000, maxAgeMs: 60_000 }],
    ['revocation: {}', { refreshMs: 5_000, maxAgeMs: 60_000 }],
    ['revocation: { refresh_seconds: 1, max_age_seconds: 2 }', { refreshMs: 1_000, maxAgeMs: 2_000 }],
    ['revocation: { refresh_seconds: 60, max_age_seconds: 300 }', { refreshMs: 60_000, maxAgeMs: 300_000 }],
  ])('%j is read', (section, revocation) => {
    expect(read(section)).toEqual(revocation);
  });

  it.each([
    ['{ refresh_seconds: 0 }', 'revocation.refresh_seconds: is not a whole number from 1 to 60'],
    ['{ refresh_seconds: 61 }', 'revocation.refresh_seconds: is not a whole number from 1 to 60'],
    ['{ refresh_seconds: 2.5 }', 'revocation.refresh_seconds: is not a whole number from 1 to 60'],
    ['{ max_age_seconds: 301 }', 'revocation.max_age_seconds: is not a whole number from 2 to 300'],
    ['{ max_age_seconds: 5 }', 'revocation.refresh_seconds: is not less than max_age_seconds (5)'],
    ['{ refresh_second: 5 }', 'revocation.refresh_second: is not known; did you mean "refresh_seconds"?'],
  ])('%s is refused', (section, problem) => {
    expect(read(`revocation: ${section}`)).toEqual([problem]);
  });
});
