import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { AccessKeysClient } from '../../src/credential/access-keys-client.ts';
import {
  ACCESS_KEYS_MAX_AGE_MS,
  ACCESS_KEYS_REFRESH_AFTER_MS,
  ACCESS_KEYS_RETRY_MS,
  MAX_ACCESS_KEY_FETCHES,
  MAX_ACCESS_KEYS_BYTES,
} from '../../src/limits.ts';
import {
  type AccessKeyPair,
  accessKey,
  type CertsEndpoint,
  certsAnswer,
  startCertsEndpoint,
} from '../support/access.ts';

let first: AccessKeyPair;
let second: AccessKeyPair;
let endpoint: CertsEndpoint;
let client: AccessKeysClient;
let nowMs = 0;
let inBackground: Promise<unknown>[] = [];
let logged: Readonly<Record<string, unknown>>[] = [];

beforeAll(async () => {
  [first, second] = await Promise.all([accessKey('k1'), accessKey('k2')]);
});

beforeEach(async () => {
  nowMs = Date.UTC(2026, 10, 20);
  inBackground = [];
  logged = [];
  endpoint = await startCertsEndpoint(first);
  client = new AccessKeysClient({
    url: endpoint.url,
    now: () => nowMs,
    log: (entry) => logged.push(entry),
    timeoutMs: 250,
  });
});

afterEach(() => endpoint.close());

async function stateOf(kid: string): Promise<string> {
  return (await client.keyOf(kid, (work) => inBackground.push(work))).state;
}

describe('the keys of Cloudflare Access', () => {
  it('are fetched once and kept', async () => {
    expect([await stateOf('k1'), await stateOf('k1')]).toEqual(['known', 'known']);
    expect(endpoint.count).toBe(1);
    expect(inBackground).toEqual([]);
  });

  it('are refreshed in the background after an hour, once for all who ask', async () => {
    await stateOf('k1');
    endpoint.answer = certsAnswer(second);
    nowMs += ACCESS_KEYS_REFRESH_AFTER_MS + 1;
    expect([await stateOf('k1'), await stateOf('k1')]).toEqual(['known', 'known']);
    expect(inBackground.length).toBe(1);
    await Promise.all(inBackground);
    expect(await stateOf('k2')).toBe('known');
    expect(await stateOf('k1')).toBe('unknown');
    expect(endpoint.count).toBe(2);
  });

  it('are fetched anew for one that is unknown, at most once a minute', async () => {
    await stateOf('k1');
    expect([await stateOf('k2'), await stateOf('k3')]).toEqual(['unknown', 'unknown']);
    expect(endpoint.count).toBe(1);
    nowMs += ACCESS_KEYS_RETRY_MS;
    endpoint.answer = certsAnswer(first, second);
    expect([await stateOf('k2'), await stateOf('k3'), await stateOf('k1')]).toEqual(['known', 'unknown', 'known']);
    expect(endpoint.count).toBe(2);
  });

  it('are each asked for by itself where several requests find none', async () => {
    expect(await Promise.all([stateOf('k1'), stateOf('k1'), stateOf('k1')])).toEqual(['known', 'known', 'known']);
    expect(endpoint.count).toBe(3);
  });

  it('serve for a day while the endpoint is down, and no longer', async () => {
    await stateOf('k1');
    endpoint.answer = { status: 500, body: '' };
    nowMs += ACCESS_KEYS_MAX_AGE_MS;
    expect(await stateOf('k1')).toBe('known');
    await Promise.all(inBackground);
    nowMs += ACCESS_KEYS_RETRY_MS;
    expect(await stateOf('k1')).toBe('unavailable');
  });

  it('do not flood an endpoint that is down, and are there again once it is up', async () => {
    endpoint.answer = { status: 500, body: '' };
    for (let count = 0; count < MAX_ACCESS_KEY_FETCHES + 5; count += 1) expect(await stateOf('k1')).toBe('unavailable');
    expect(endpoint.count).toBe(MAX_ACCESS_KEY_FETCHES);
    endpoint.answer = certsAnswer(first);
    nowMs += ACCESS_KEYS_RETRY_MS;
    expect(await stateOf('k1')).toBe('known');
  });

  it.each<[string, () => CertsEndpoint['answer']]>([
    ['answers with an error', () => ({ status: 503, body: '' })],
    ['never answers', () => 'never'],
    ['redirects', () => ({ status: 302, body: '', headers: { location: `${endpoint.url}?again` } })],
    [
      'answers with too much',
      () => ({ ...certsAnswer(first), body: certsAnswer(first).body.padEnd(MAX_ACCESS_KEYS_BYTES + 1) }),
    ],
    ['answers with no JSON', () => ({ status: 200, body: '<html>' })],
    ['answers with no keys', () => ({ status: 200, body: '{"keys":[]}' })],
    ['answers with one kid twice', () => certsAnswer(first, { ...second, jwk: { ...second.jwk, kid: 'k1' } })],
    ['answers with short keys', () => certsAnswer({ ...first, jwk: { ...first.jwk, n: 'AQAB' } })],
    ['answers with keys for something else', () => certsAnswer({ ...first, jwk: { ...first.jwk, use: 'enc' } })],
    ['answers with symmetric keys', () => certsAnswer({ ...first, jwk: { kty: 'oct', k: 'AAAA', kid: 'k1' } })],
  ])('are not to be had from an endpoint that %s, and the log says so', async (_how, answer) => {
    endpoint.answer = answer();
    expect(await stateOf('k1')).toBe('unavailable');
    expect(endpoint.count).toBe(1);
    expect(logged).toMatchObject([{ event: 'access-keys.unavailable', url: endpoint.url }]);
  });

  it('stay as they were when a refresh fails', async () => {
    await stateOf('k1');
    nowMs += ACCESS_KEYS_REFRESH_AFTER_MS + 1;
    endpoint.answer = { status: 200, body: '{"keys":[]}' };
    await stateOf('k1');
    await Promise.all(inBackground);
    expect(await stateOf('k1')).toBe('known');
  });

  it('leave out keys that are of no use here', async () => {
    endpoint.answer = certsAnswer(first, { ...second, jwk: { ...second.jwk, alg: 'RS512' } });
    expect([await stateOf('k1'), await stateOf('k2')]).toEqual(['known', 'unknown']);
  });
});
