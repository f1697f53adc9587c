import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { checkPolicyFile } from '../../scripts/policy-check.ts';
import { policyJsonSchema } from '../../scripts/policy-schema.ts';
import { KNOWN_KEYS } from '../../src/policy/schema.ts';

describe('policy.schema.json', () => {
  it('is what the schema that validates generates (npm run policy:schema writes it)', () => {
    expect(readFileSync('policy.schema.json', 'utf8')).toBe(policyJsonSchema());
  });

  it('is named by both policies, for editors', () => {
    for (const file of ['policy.yaml', 'policy.local.yaml']) {
      expect(readFileSync(file, 'utf8')).toMatch(/^# yaml-language-server: \$schema=\.\/policy\.schema\.json\n/);
    }
  });

  it('describes every key', () => {
    const schema = policyJsonSchema();
    for (const keys of KNOWN_KEYS.values()) for (const key of keys) expect(schema).toContain(`"${key}"`);
  });
});

describe('policy:check', () => {
  it('finds nothing wrong with the shipped files', () => {
    expect(checkPolicyFile('policy.yaml')).toEqual([]);
    expect(checkPolicyFile('policy.local.yaml')).toEqual([]);
  });

  it('says that a file is not there', () => {
    expect(checkPolicyFile('nothing.yaml')).toEqual(['nothing.yaml: cannot be read (ENOENT)']);
  });
});
