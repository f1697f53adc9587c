import { describe, expect, it } from 'vitest';
import { mayForward, requestHeaderFilter, responseHeaderFilter } from '../../src/http/headers.ts';

const NEVER_SENT = {
  authorization: 'Bearer x',
  'x-api-key': 'x',
  'x-goog-api-key': 'x',
  'api-key': 'x',
  'x-agent-certificate': 'x',
  signature: 'x',
  'signature-input': 'x',
  dpop: 'x',
  cookie: 'a=b',
  'proxy-authorization': 'x',
  connection: 'close',
  'keep-alive': '1',
  te: 'trailers',
  trailer: 'x',
  'transfer-encoding': 'chunked',
  upgrade: 'h2c',
  'proxy-connection': 'x',
  forwarded: 'for=1.2.3.4',
  via: 'x',
  'x-forwarded-for': '1.2.3.4',
  'x-forwarded-host': 'evil.example',
  'x-real-ip': '1.2.3.4',
  'cf-connecting-ip': '1.2.3.4',
  'cf-access-jwt-assertion': 'x',
  'x-fusebox-session': 'x',
  'x-http-method-override': 'DELETE',
  'x-method-override': 'DELETE',
  'x-original-url': '/admin',
  'x-rewrite-url': '/admin',
  'x-request-id': 'forged',
  'x-unknown': 'x',
};

describe('headers to the upstream', () => {
  it('are those of the lists and no others', () => {
    const filter = requestHeaderFilter({ names: ['openai-beta', 'x-stainless-*', 'Accept-Language'] });
    const from = new Headers({
      ...NEVER_SENT,
      accept: 'a',
      'content-type': 'b',
      'user-agent': 'c',
      'openai-beta': 'd',
      'x-stainless-os': 'e',
      'accept-language': 'f',
      'accept-encoding': 'gzip',
    });
    expect(Object.fromEntries(filter(from))).toEqual({
      accept: 'a',
      'accept-encoding': 'identity',
      'accept-language': 'f',
      'content-type': 'b',
      'openai-beta': 'd',
      'user-agent': 'c',
      'x-stainless-os': 'e',
    });
  });

  it('never include credentials or routing, whatever a list says', () => {
    const filter = requestHeaderFilter({
      names: [...Object.keys(NEVER_SENT).filter((name) => name !== 'x-unknown'), '*', 'x-*', 'cf-*'],
    });
    expect([...filter(new Headers(NEVER_SENT)).keys()]).toEqual(['accept-encoding', 'x-unknown']);
    for (const name of Object.keys(NEVER_SENT)) expect(mayForward(name), name).toBe(name === 'x-unknown');
  });

  it('leave out what Connection names', () => {
    const filter = requestHeaderFilter({ names: ['openai-beta'] });
    const to = filter(new Headers({ connection: 'close, OpenAI-Beta', 'openai-beta': 'x', accept: 'a' }));
    expect([...to.keys()]).toEqual(['accept', 'accept-encoding']);
  });
});

describe('headers from the upstream', () => {
  it('are those of the lists and no others', () => {
    const filter = responseHeaderFilter({ names: ['anthropic-organization-id', 'x-tool-*'] });
    const from = new Headers({
      'content-type': 'a',
      'cache-control': 'b',
      'retry-after': '1',
      'x-ratelimit-remaining-tokens': '2',
      'anthropic-ratelimit-tokens-limit': '3',
      'x-tool-cost': '4',
      'x-request-id': 'theirs',
      'content-encoding': 'gzip',
      'content-length': '5',
      'transfer-encoding': 'chunked',
      connection: 'close',
      'x-fusebox-warning': 'forged',
      'cf-ray': 'x',
      'access-control-allow-origin': '*',
      'www-authenticate': 'Basic',
      'strict-transport-security': 'x',
      server: 'x',
      ratelimit: '"spend";r=9',
    });
    from.append('set-cookie', 'a=b');
    expect(Object.fromEntries(filter(from))).toEqual({
      'cache-control': 'b',
      'content-type': 'a',
      'retry-after': '1',
      'anthropic-ratelimit-tokens-limit': '3',
      'x-ratelimit-remaining-tokens': '2',
      'x-tool-cost': '4',
      'x-upstream-request-id': 'theirs',
    });
  });

  it('never set a cookie, whatever a list says', () => {
    const from = new Headers();
    from.append('set-cookie', 'a=b');
    expect([...responseHeaderFilter({ names: ['set-cookie', '*', 's*'] })(from).keys()]).toEqual([]);
  });
});
