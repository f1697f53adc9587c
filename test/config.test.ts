import { beforeAll, describe, expect, it } from 'vitest';
import { type Config, configWarnings, describeConfigErrors, type Environment, parseConfig } from '../src/config.ts';
import { privateJwk } from './support/credentials.ts';

const POLICY = `version: 1
routes:
  openai:
    upstream: https://api.openai.com
    protocol: openai
    scope: llm:openai
    auth: { header: Authorization, value: "Bearer \${OPENAI_API_KEY}" }
  free:
    upstream: https://free.example.com
    protocol: http
    scope: free
    fees: [{ usd: "0" }]
`;
const LOCAL = POLICY.replace('openai:\n', 'local-openai:\n')
  .replace('free:\n', 'local-free:\n')
  .replace('https://api.openai.com', 'http://127.0.0.1:9901');
const ADMIN_TOKEN = 'a'.repeat(32);
let good: Environment;

beforeAll(async () => {
  good = { SESSION_SIGNING_KEYS: JSON.stringify([await privateJwk('k1')]), ADMIN_TOKEN };
});

async function configOf(env: Environment, policy = POLICY): Promise<Config> {
  const reading = await parseConfig(env, policy);
  if (!reading.ok) throw new Error(describeConfigErrors(reading.errors));
  return reading.config;
}

async function namesOf(env: Environment, policy = POLICY): Promise<readonly string[]> {
  const reading = await parseConfig(env, policy);
  return reading.ok ? [] : reading.errors.map((error) => error.name);
}

describe('the configuration', () => {
  it('needs a signing key and an admin, and nothing else', async () => {
    const config = await configOf(good);
    expect(config).toMatchObject({
      issuer: 'fusebox',
      audience: 'fusebox',
      deploymentId: 'fusebox',
      halted: false,
      localDevelopment: false,
      publicOrigins: [],
    });
    expect(config.keys.signer.kid).toBe('k1');
    expect(config.admins.map((admin) => admin.id)).toEqual(['admin']);
  });

  it('names each secret that is missing and the command that makes it', async () => {
    const reading = await parseConfig({}, POLICY);
    expect(reading).toMatchObject({ ok: false, errors: [{ name: 'SESSION_SIGNING_KEYS' }, { name: 'ADMIN_TOKENS' }] });
    expect(!reading.ok && describeConfigErrors(reading.errors)).toContain('npm run deploy');
  });

  it('never quotes a secret', async () => {
    const secrets = {
      SESSION_SIGNING_KEYS: '[{"d":"hush-hush"}]',
      ADMIN_TOKENS: '[{"token":"hush-hush"}]',
      ADMIN_TOKEN: 'hush-hush',
    };
    const reading = await parseConfig(secrets, POLICY);
    expect(JSON.stringify(reading)).not.toContain('hush-hush');
    expect(reading).toMatchObject({
      ok: false,
      errors: [{ name: 'SESSION_SIGNING_KEYS' }, { name: 'ADMIN_TOKENS' }, { name: 'ADMIN_TOKEN' }],
    });
  });

  it.each([
    ['ISSUER', 'a b', ['ISSUER']],
    ['AUDIENCE', 'https://x', ['AUDIENCE']],
    ['DEPLOYMENT_ID', '~', ['DEPLOYMENT_ID']],
    ['PUBLIC_ORIGINS', 'https://a.example/path', ['PUBLIC_ORIGINS']],
    ['ADMIN_ORIGINS', '*', ['ADMIN_ORIGINS']],
    ['ADMIN_TOKEN', 'short', ['ADMIN_TOKEN']],
    ['ADMIN_TOKEN', `${'a'.repeat(32)} b`, ['ADMIN_TOKEN']],
    ['ADMIN_TOKENS', '[]', ['ADMIN_TOKENS']],
    ['POLICY', 'version: 3', ['policy', 'policy']],
  ])('refuses %s=%s', async (name, value, expected) => {
    expect(await namesOf({ ...good, [name]: value })).toEqual(expected);
  });

  it('refuses secrets that are not texts', async () => {
    expect(await namesOf({ SESSION_SIGNING_KEYS: {}, ADMIN_TOKEN: 5 })).toEqual([
      'SESSION_SIGNING_KEYS',
      'ADMIN_TOKENS',
    ]);
  });

  it('takes origins separated by commas or spaces', async () => {
    const config = await configOf({ ...good, PUBLIC_ORIGINS: 'https://a.example, https://b.example:8443' });
    expect(config.publicOrigins).toEqual(['https://a.example', 'https://b.example:8443']);
  });

  it("takes a shorter admin token on a developer's machine", async () => {
    expect(await namesOf({ ...good, ADMIN_TOKEN: 'dev-token', LOCAL_DEVELOPMENT: '1' })).toEqual([]);
  });

  it.each([
    [undefined, false],
    ['', false],
    ['0', false],
    ['false', false],
    ['off', false],
    ['1', true],
    ['true', true],
    ['flase', true],
    [true, true],
  ])('is halted by HALT=%s: %s', async (HALT, halted) => {
    expect((await configOf({ ...good, HALT })).halted).toBe(halted);
  });
});

describe('what the configuration warns of', () => {
  const entry = {
    id: 'ann',
    owner: 'ann',
    sha256: 'ab'.repeat(32),
    roles: ['viewer'],
    expires_at: '2026-01-01T00:00:00Z',
  };

  it('is an admin token whose time is over; it is no reason not to start', async () => {
    const config = await configOf({ ...good, ADMIN_TOKENS: JSON.stringify([entry]) });
    expect(configWarnings(config, Date.UTC(2026, 0, 1) - 1)).toEqual([]);
    expect(configWarnings(config, Date.UTC(2026, 0, 1))).toEqual([
      'the admin token "ann" expired at 2026-01-01T00:00:00.000Z and is refused',
    ]);
  });
});

describe('when the Worker was deployed', () => {
  it.each([
    [
      'is what the platform says',
      { id: 'v1', tag: '', timestamp: '2026-01-01T00:00:00.123456Z' },
      Date.UTC(2026, 0, 1, 0, 0, 0, 123),
    ],
    ['is not known without the binding', undefined, null],
    ['is not known where the platform says something else', { timestamp: 'yesterday' }, null],
    ['is not known where the platform says nothing', {}, null],
  ])('%s', async (_what, metadata, atMs) => {
    expect((await configOf({ ...good, CF_VERSION_METADATA: metadata })).deployedAtMs).toBe(atMs);
  });
});

it('does without the keys of providers: their routes are disabled, not the gateway', async () => {
  expect((await configOf(good)).policy.routes.has('openai')).toBe(true);
});

describe('the policy of the configuration', () => {
  it('is kept as it was deployed, beside the local routes', async () => {
    const config = await configOf({ ...good, POLICY_LOCAL: LOCAL, LOCAL_DEVELOPMENT: '1' });
    expect(config.policyText).toBe(POLICY);
    expect([...config.policyGround.deployed.routes.keys()]).toEqual(['openai', 'free']);
    expect([...(config.policyGround.local?.routes.keys() ?? [])]).toEqual(['local-openai', 'local-free']);
  });

  it('is the one of the variable before the bundled one', async () => {
    const config = await configOf({ ...good, POLICY: POLICY.replace('free:', 'other:') });
    expect([...config.policy.routes.keys()]).toEqual(['openai', 'other']);
  });

  it('gets local routes in local development only', async () => {
    const config = await configOf({ ...good, POLICY_LOCAL: LOCAL, LOCAL_DEVELOPMENT: '1' });
    expect([...config.policy.routes.keys()]).toEqual(['openai', 'free', 'local-openai', 'local-free']);
    expect(await namesOf({ ...good, POLICY_LOCAL: LOCAL })).toEqual(['policy']);
    expect(await namesOf({ ...good, POLICY_LOCAL: POLICY, LOCAL_DEVELOPMENT: '1' })).toEqual(['policy']);
  });

  it('rules which tokens are accepted', async () => {
    const config = await configOf(good);
    expect(await config.verifierFor(config.policy).verify('nonsense', 0)).toMatchObject({
      ok: false,
      denial: { code: 'credential-invalid' },
    });
  });
});
