import { describe, expect, it } from 'vitest';
import bundled from '../../policy.yaml';
import local from '../../policy.local.yaml';
import { MAX_POLICY_BYTES } from '../../src/limits.ts';
import { mergePolicies } from '../../src/policy/merge.ts';
import { describePolicyError, parsePolicy } from '../../src/policy/parse.ts';
import type { Policy } from '../../src/policy/policy.ts';

const HEAD = 'version: 1\n';
const ROUTE = `routes:
  tickets:
    upstream: https://tickets.example.com
    protocol: http
    scope: ticket:read
    fees: [{ usd: "0.01" }]
`;

function policyOf(text: string, allowLoopback = false): Policy {
  const reading = parsePolicy(text, { allowLoopback });
  if (!reading.ok) throw new Error(reading.errors.map((error) => describePolicyError('policy.yaml', error)).join('\n'));
  return reading.policy;
}

function errorsOf(text: string, allowLoopback = false): readonly string[] {
  const reading = parsePolicy(text, { allowLoopback });
  return reading.ok ? [] : reading.errors.map((error) => describePolicyError('policy.yaml', error));
}

/** A route with one of its lines replaced, or with lines added. */
function routeWith(more: string, protocol = 'openai'): string {
  return `${HEAD}routes:\n  r:\n    upstream: https://api.example.com\n    protocol: ${protocol}\n    scope: a:b\n    ${more}\n`;
}

describe('the policy that is shipped', () => {
  it('names the three providers, with their keys as secrets', () => {
    const policy = policyOf(bundled);
    expect([...policy.routes.keys()]).toEqual(['openai', 'anthropic', 'gemini']);
    expect(policy.routes.get('gemini')).toEqual({
      name: 'gemini',
      upstream: 'https://generativelanguage.googleapis.com',
      protocol: 'gemini',
      auth: { header: 'x-goog-api-key', value: '${GEMINI_API_KEY}' },
      scope: 'llm:gemini',
      feature: 'chat',
      fees: [],
      forwardHeaders: [],
      timeoutMs: 600_000,
    });
    expect(policy.digest).toMatch(/^[0-9a-f]{64}$/);
    expect(policy.sessions.limits).toEqual({
      spendMicroUsd: 10_000_000,
      tokens: 2_000_000,
      tokensPerRequest: null,
      requestsPerMinute: 120,
    });
  });

  it('gets local routes only from the local one, and only for development', () => {
    expect(errorsOf(local).every((error) => error.includes('local development only'))).toBe(true);
    const merged = mergePolicies(policyOf(bundled), policyOf(local, true));
    expect(merged.ok && [...merged.policy.routes.keys()]).toEqual([
      'openai',
      'anthropic',
      'gemini',
      'local-openai',
      'local-anthropic',
      'local-gemini',
      'tickets',
    ]);
    expect(merged.ok && merged.policy.routes.get('openai')?.upstream).toBe('https://api.openai.com');
    expect(merged.ok && merged.policy.routes.get('tickets')?.fees).toEqual([
      { method: 'POST', path: '/tickets/*', microUsd: 50_000, scope: 'ticket:write' },
      { method: null, path: null, microUsd: 10_000, scope: null },
    ]);
    expect(merged.ok && merged.policy.digest).not.toBe(policyOf(bundled).digest);
  });

  it('cannot have a route replaced by the local one', () => {
    expect(mergePolicies(policyOf(bundled), policyOf(bundled))).toMatchObject({ ok: false });
  });
});

describe('what a policy leaves out', () => {
  it('is as documented', () => {
    const policy = policyOf(HEAD + ROUTE);
    expect(policy.sessions).toEqual({
      ttlSeconds: 3_600,
      ttlSecondsMax: 86_400,
      limits: { spendMicroUsd: 10_000_000, tokens: null, tokensPerRequest: null, requestsPerMinute: null },
      warnAt: 0.9,
      onLimit: 'revoke',
      leastUsefulMicroUsd: null,
      defaultOutputTokens: 8_192,
      retentionDays: 30,
      requiredClaims: [],
    });
    expect(policy.prices).toEqual([]);
    expect(policy.bounds.hostedTools.size).toBe(0);
  });

  it('is filled in key by key', () => {
    const policy =
      policyOf(`${HEAD}${ROUTE}sessions: { limits: { tokens: 5 }, on_limit: pause, least_useful_usd: 0.001 }
bounds: { image_tokens: 9, hosted_tools: { web_search: { uses_max: 2, input_tokens_per_use: 100, usd_per_use: "0.01" } } }
prices: [{ match: my-*, input_usd_per_million: 3, output_usd_per_million: "15", cached_input_usd_per_million: "0.3", context_tokens: 128000, max_output_tokens: 16384 }]
`);
    expect(policy.sessions).toMatchObject({
      limits: { spendMicroUsd: 10_000_000, tokens: 5 },
      onLimit: 'pause',
      leastUsefulMicroUsd: 1_000,
    });
    expect(policy.bounds.imageTokens).toBe(9);
    expect(policy.bounds.hostedTools.get('web_search')).toEqual({
      usesMax: 2,
      inputTokensPerUse: 100,
      microUsdPerUse: 10_000,
    });
    expect(policy.prices).toEqual([
      {
        match: 'my-*',
        inputMicroUsdPerMillion: 3_000_000,
        outputMicroUsdPerMillion: 15_000_000,
        cachedInputMicroUsdPerMillion: 300_000,
        cacheWriteMicroUsdPerMillion: null,
        contextTokens: 128_000,
        maxOutputTokens: 16_384,
      },
    ]);
  });

  it('changes the digest with every octet', () => {
    expect(policyOf(HEAD + ROUTE).digest).not.toBe(policyOf(`${HEAD}${ROUTE}# a comment\n`).digest);
  });
});

describe('an error in a policy', () => {
  it.each([
    [
      'an unknown key, with the one that was meant',
      `${HEAD}${ROUTE}sesions: {}\n`,
      'policy.yaml:8:1 sesions: is not known; did you mean "sessions"?',
    ],
    [
      'an unknown key deeper',
      routeWith('upstreem: x'),
      'policy.yaml:7:5 routes.r.upstreem: is not known; did you mean "upstream"?',
    ],
    [
      'an unknown limit',
      `${HEAD}${ROUTE}sessions:\n  limits:\n    spend: 1\n`,
      'policy.yaml:10:5 sessions.limits.spend: is not known; known here: spend_usd, tokens, tokens_per_request, requests_per_minute',
    ],
    [
      'a missing key',
      `${HEAD}routes:\n  r:\n    protocol: openai\n    scope: a\n`,
      'policy.yaml:3:3 routes.r.upstream: is missing',
    ],
    ['a missing version', ROUTE, 'policy.yaml:1:1 version: is missing'],
    [
      'another version',
      `version: 2\n${ROUTE}`,
      'policy.yaml:1:10 version: is not 1: this program reads version 1 of the policy',
    ],
    [
      'a protocol of a later version',
      routeWith('feature: x', 'mcp'),
      'policy.yaml:5:15 routes.r.protocol: "mcp" is not supported by this version',
    ],
    [
      'a protocol that is none',
      routeWith('feature: x', 'soap'),
      'policy.yaml:5:15 routes.r.protocol: is not one of openai, anthropic, gemini, http',
    ],
    [
      'a section of a later version',
      `${HEAD}${ROUTE}issuers: []\n`,
      'policy.yaml:8:1 issuers: is not supported by this version',
    ],
    [
      'a key of a later version',
      routeWith('tools: []'),
      'policy.yaml:7:5 routes.r.tools: is not supported by this version',
    ],
    [
      'money that is none',
      routeWith('fees: [{ usd: "1e3" }]', 'http'),
      'policy.yaml:7:19 routes.r.fees[0].usd: is not an amount in USD such as "12.34" (at most six decimals, not negative)',
    ],
    [
      'negative money',
      routeWith('fees: [{ usd: -1 }]', 'http'),
      'policy.yaml:7:19 routes.r.fees[0].usd: is not an amount in USD such as "12.34" (at most six decimals, not negative)',
    ],
    [
      'money that is not a number',
      routeWith('fees: [{ usd: .nan }]', 'http'),
      'policy.yaml:7:19 routes.r.fees[0].usd: is not an amount in USD such as "12.34" (at most six decimals, not negative)',
    ],
    [
      'a fee that is never reached',
      routeWith('fees: [{ usd: 1 }, { method: GET, usd: 2 }]', 'http'),
      'policy.yaml:7:12 routes.r.fees[0]: is the default (no method, no path), and the fees after it are never reached',
    ],
    [
      'an http route without fees',
      routeWith('feature: x', 'http'),
      'policy.yaml:3:3 routes.r: has no fees, so that every request would be refused; `fees: [{ usd: "0" }]` makes it free',
    ],
    [
      'fees on a model',
      routeWith('fees: [{ usd: 1 }]'),
      'policy.yaml:7:11 routes.r.fees: is for protocol http only; models are priced by their tokens',
    ],
    [
      'a key in the clear',
      routeWith('auth: { header: authorization, value: Bearer sk-123 }'),
      'policy.yaml:7:43 routes.r.auth.value: holds no ${NAME}: the key itself must be a Worker secret',
    ],
    [
      'our own secret as a key',
      routeWith('auth: { header: authorization, value: "${ADMIN_TOKEN}" }'),
      'policy.yaml:7:43 routes.r.auth.value: names ADMIN_TOKEN, a secret of the gateway itself',
    ],
    ['a secret outside auth.value', routeWith('feature: ${NAME}'), 'policy.yaml:7:14 routes.r.feature: is not an id'],
    [
      'a header that routes',
      routeWith('auth: { header: Host, value: "${A}" }'),
      'policy.yaml:7:21 routes.r.auth.header: "host" is not a header for keys',
    ],
    [
      'a credential that would be forwarded',
      routeWith('forward_headers: [x-a, Authorization]'),
      'policy.yaml:7:28 routes.r.forward_headers[1]: "Authorization" may not be forwarded',
    ],
    [
      'a private upstream',
      `${HEAD}routes: { r: { upstream: "https://10.0.0.1", protocol: openai, scope: a } }\n`,
      'policy.yaml:2:26 routes.r.upstream: is at a private or reserved address',
    ],
    [
      'a longer session than the longest',
      `${HEAD}${ROUTE}sessions: { ttl_seconds: 10, ttl_seconds_max: 5 }\n`,
      'policy.yaml:8:26 sessions.ttl_seconds: is more than ttl_seconds_max (5)',
    ],
    [
      'a least useful request for nothing',
      `${HEAD}${ROUTE}sessions: { least_useful_usd: 0 }\n`,
      'policy.yaml:8:31 sessions.least_useful_usd: is less than 0.000001',
    ],
    ['no routes', `${HEAD}routes: {}\n`, 'policy.yaml:2:9 routes: has no route'],
    ['routes that are a list', `${HEAD}routes: []\n`, 'policy.yaml:2:9 routes: is not a mapping of names to routes'],
  ])('is told with its place: %s', (_name, text, expected) => {
    expect(errorsOf(text)).toEqual([expected]);
  });

  it('is told with all others, in order', () => {
    const errors = errorsOf(`${HEAD}routes:\n  r:\n    upstream: 1\n    protocol: 2\n    scope: "a b"\nextra: 1\n`);
    expect(errors.map((error) => error.split(' ', 1)[0])).toEqual([
      'policy.yaml:4:15',
      'policy.yaml:5:15',
      'policy.yaml:6:12',
      'policy.yaml:7:1',
    ]);
  });

  it.each(['admin', 'session', 'decide', 'console', 'problems', 'healthz', '.well-known'])(
    'is a route that is called %s',
    (name) => {
      expect(errorsOf(HEAD + ROUTE.replace('tickets:\n', `${name}:\n`))).toEqual([
        `policy.yaml:3:3 routes.${name}: "${name}" is reserved`,
      ]);
    },
  );

  it.each(['Upper', 'a b', 'a/b', '-a', 'ä', '"a\\nb"', 'a'.repeat(64)])('is a route that is called %s', (name) => {
    expect(errorsOf(HEAD + ROUTE.replace('tickets:\n', `${name}:\n`))).toHaveLength(1);
  });
});

describe('YAML that is not a plain file', () => {
  it.each([
    ['nothing', ''],
    ['a text', 'hello'],
    ['a list', '- 1'],
    ['a syntax error', `${HEAD}routes: [`],
    ['a tab as indentation', `${HEAD}routes:\n\tr: 1\n`],
    ['a key twice', `${HEAD}version: 1\n${ROUTE}`],
    ['a key twice deeper', `${HEAD}${ROUTE}    scope: b\n`],
    ['two documents', `${HEAD}${ROUTE}---\n${HEAD}`],
    ['a tag', `${HEAD}${ROUTE}prices: !!js/function "x"\n`],
    [
      '__proto__ as a route',
      `${HEAD}routes:\n  __proto__: { upstream: "https://a.example.com", protocol: openai, scope: a }\n`,
    ],
    ['a mapping as a key', `${HEAD}${ROUTE}? { a: 1 }\n: 1\n`],
    ['null as a key', `${HEAD}${ROUTE}~: 1\n`],
    ['depth', `${HEAD}prices: ${'['.repeat(5_000)}${']'.repeat(5_000)}\n`],
    ['size', `${HEAD}${ROUTE}${'# comment\n'.repeat(MAX_POLICY_BYTES / 10)}`],
    [
      'a bomb',
      `a: &a [x,x,x,x,x,x,x,x,x]\n${'bcdefghi'
        .split('')
        .map((name, index) => `${name}: &${name} [${Array(9).fill(`*${'abcdefghi'[index]}`).join(',')}]`)
        .join('\n')}\n`,
    ],
    ['an alias of itself', `${HEAD}${ROUTE}prices: &a [*a]\n`],
    ['an alias of nothing', `${HEAD}${ROUTE}prices: *a\n`],
  ])('is refused: %s', (_name, text) => {
    expect(errorsOf(text).length).toBeGreaterThan(0);
  });

  it('may use an alias', () => {
    const text = `${HEAD}routes:\n  a: &route { upstream: "https://a.example.com", protocol: openai, scope: a }\n  b: *route\n`;
    expect([...policyOf(text).routes.keys()]).toEqual(['a', 'b']);
  });

  it('points at the place behind an alias', () => {
    const text = `${HEAD}routes:\n  a: &route { upstream: "https://a.example.com", protocol: soap, scope: a }\n  b: *route\n`;
    expect(errorsOf(text).map((error) => error.split(' ', 1)[0])).toEqual(['policy.yaml:3:60', 'policy.yaml:3:60']);
  });
});
