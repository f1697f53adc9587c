import { beforeEach, describe, expect, it } from 'vitest';
import { createTokenVerifier } from '../../src/credential/session-token.ts';
import { RulesInForce } from '../../src/gateway/rules-in-force.ts';
import { digestOf } from '../../src/policy/digest.ts';
import { mergePolicies } from '../../src/policy/merge.ts';
import { parsePolicy } from '../../src/policy/parse.ts';
import type { Policy } from '../../src/policy/policy.ts';
import { keyRing, NOW_MS, privateJwk, goodClaims, signToken, verifierOptions } from '../support/credentials.ts';

const route = (name: string, upstream = `https://${name}.example.com`): string =>
  `routes: { ${name}: { upstream: "${upstream}", protocol: openai, scope: a, auth: { header: x-api-key, value: "\${KEY}" } } }\n`;
const DEPLOYED = `version: 1\n${route('old')}`;
const NEW = `version: 1\nsessions: { ttl_seconds: 60, ttl_seconds_max: 60 }\n${route('new')}`;

function policyOf(text: string): Policy {
  const reading = parsePolicy(text, { allowLoopback: true });
  if (!reading.ok) throw new Error(JSON.stringify(reading.errors));
  return reading.policy;
}

const keys = await keyRing(await privateJwk('k1'));
const deployed = policyOf(DEPLOYED);
const local = policyOf(`version: 1\n${route('here', 'http://127.0.0.1:1')}`);
let rules: RulesInForce;

beforeEach(() => {
  const merged = mergePolicies(deployed, local);
  if (!merged.ok) throw new Error(merged.reason);
  rules = new RulesInForce({
    policy: merged.policy,
    ground: { deployed, local, rules: { allowLoopback: false } },
    env: { KEY: 'k' },
    verifierFor: ({ sessions: { ttlSecondsMax } }) => createTokenVerifier(verifierOptions(keys, { ttlSecondsMax })),
  });
});

function routes(): readonly string[] {
  return [...rules.current().routes.keys()];
}

describe('the rules in force', () => {
  it('are those of the deployed policy at first', () => {
    expect(routes()).toEqual(['old', 'here']);
    expect(rules.inForce()).toBeNull();
  });

  it('are those of a version once it is adopted, local routes included, and of the deployed policy again', async () => {
    const before = rules.current();
    expect(await rules.adopt(NEW, digestOf(NEW))).toBe(true);
    expect(routes()).toEqual(['new', 'here']);
    expect(rules.inForce()).toBe(digestOf(NEW));
    expect(rules.current().policy.sessions.ttlSecondsMax).toBe(60);
    expect(await rules.adopt(null, null)).toBe(true);
    expect(rules.current()).toBe(before);
    expect(rules.inForce()).toBeNull();
  });

  it('judge credentials anew: what the old policy allowed is not remembered', async () => {
    const token = await signToken(keys, goodClaims());
    expect((await rules.current().tokens.verify(token, NOW_MS)).ok).toBe(true);
    await rules.adopt(NEW, digestOf(NEW));
    expect((await rules.current().tokens.verify(token, NOW_MS)).ok).toBe(false);
  });

  it('stay as they were for whoever took them', async () => {
    const taken = rules.current();
    await rules.adopt(NEW, digestOf(NEW));
    expect([...taken.routes.keys()]).toEqual(['old', 'here']);
  });

  it('know the secrets of a version, or disable its route alone', async () => {
    const text = NEW.replace('${KEY}', '${OTHER}');
    expect(await rules.adopt(text, digestOf(text))).toBe(true);
    expect(rules.current().routes.get('new')?.auth).toEqual({ ready: false, missing: ['OTHER'] });
    expect(rules.current().routes.get('here')?.auth.ready).toBe(true);
  });

  it.each<[string, string | null, string]>([
    ['a text of another digest', NEW, digestOf(DEPLOYED)],
    ['no text', null, digestOf(NEW)],
    ['a text that is no policy', 'version: 3', digestOf('version: 3')],
    ['a text with a local route', DEPLOYED.replace('old', 'here'), digestOf(DEPLOYED.replace('old', 'here'))],
  ])('are not moved by %s', async (_what, text, digest) => {
    await rules.adopt(NEW, digestOf(NEW));
    const before = rules.current();
    expect(await rules.adopt(text, digest)).toBe(false);
    expect(rules.current()).toBe(before);
    expect(rules.inForce()).toBe(digestOf(NEW));
  });
});
