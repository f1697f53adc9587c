import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readRequestPath } from '../../src/http/request-path.ts';
import { MAX_URL_CHARS } from '../../src/limits.ts';

function read(pathAndQuery: string): unknown {
  const reading = readRequestPath(`https://gateway.example${pathAndQuery}`);
  return reading.ok ? reading.value : reading.denial.code;
}

describe('a path that can be read in one way', () => {
  it.each([
    ['/openai/v1/chat/completions', { segment: 'openai', path: '/v1/chat/completions', query: '' }],
    [
      '/gemini/v1beta/models/gemini-2.5-pro:streamGenerateContent?alt=sse',
      { segment: 'gemini', path: '/v1beta/models/gemini-2.5-pro:streamGenerateContent', query: '?alt=sse' },
    ],
    ['/tickets', { segment: 'tickets', path: '/', query: '' }],
    ['/tickets/', { segment: 'tickets', path: '/', query: '' }],
    ['/tickets/tickets/', { segment: 'tickets', path: '/tickets/', query: '' }],
    ['/tickets?a=/b/../c;d', { segment: 'tickets', path: '/', query: '?a=/b/../c;d' }],
    ['/tickets/a?q=%2e%2e%2f', { segment: 'tickets', path: '/a', query: '?q=%2e%2e%2f' }],
    ['/', { segment: '', path: '/', query: '' }],
    ['', { segment: '', path: '/', query: '' }],
    ['?a=b', { segment: '', path: '/', query: '?a=b' }],
    ['/.well-known/jwks.json', { segment: '.well-known', path: '/jwks.json', query: '' }],
    ['/tickets/caf%C3%A9', { segment: 'tickets', path: '/caf%C3%A9', query: '' }],
    ['/tickets/a%20b%3Ac%40d', { segment: 'tickets', path: '/a%20b%3Ac%40d', query: '' }],
    ['/tickets/50%25', { segment: 'tickets', path: '/50%25', query: '' }],
    ["/tickets/~a_b-c!$&'()*+,=:@", { segment: 'tickets', path: "/~a_b-c!$&'()*+,=:@", query: '' }],
  ])('%s', (text, expected) => {
    expect(read(text)).toEqual(expected);
  });
});

describe('a path that can be read in more than one way', () => {
  it.each([
    '/tickets/%2e%2e/admin',
    '/tickets/%2E%2E/admin',
    '/tickets/.%2e/admin',
    '/tickets/a%2fb',
    '/tickets/a%2Fb',
    '/tickets/a%5cb',
    '/tickets/a%5Cb',
    '/tickets/a\\b',
    '/tickets//a',
    '//tickets/a',
    '/tickets/a//',
    '/tickets/a;b',
    '/tickets;a=b/c',
    '/tickets/a%3bb',
    '/tickets/a%3Fb',
    '/tickets/a%23b',
    '/tickets/a#b',
    '/tickets/..',
    '/tickets/../admin',
    '/tickets/.',
    '/tickets/a.',
    '/tickets/a./b',
    '/tickets/a../b',
    '/tickets./a',
    '/tickets/%252e%252e/a',
    '/tickets/%25252e/a',
    '/tickets/a%252fb',
    '/tickets/a%255cb',
    '/tickets/a%2525',
    '/tickets/%61',
    '/tickets/%7E',
    '/%6fpenai/v1',
    '/tickets/%25%32%65',
    '/tickets/%EF%BC%8E%EF%BC%8E/a',
    '/tickets/a%EF%BC%8Fb',
    '/tickets/a%E2%80%A6b',
  ])('is refused: %s', (text) => {
    expect(read(text)).toBe('ambiguous-path');
  });

  it('is refused for a fragment in the query', () => {
    expect(read('/tickets/a?b#c')).toBe('ambiguous-path');
  });
});

describe('a path that cannot be read', () => {
  it.each([
    ['a malformed escape', '/tickets/%zz'],
    ['an escape cut short', '/tickets/a%2'],
    ['a lone percent', '/tickets/a%'],
    ['a space', '/tickets/a b'],
    ['a tab', '/tickets/a\tb'],
    ['a line break', '/tickets/a\r\nb'],
    ['a NUL', '/tickets/a\0b'],
    ['an encoded NUL', '/tickets/a%00b'],
    ['an encoded line break', '/tickets/a%0d%0ab'],
    ['an encoded DEL', '/tickets/a%7fb'],
    ['raw non-ASCII', '/tickets/ä'],
    ['an overlong dot', '/tickets/%c0%ae'],
    ['an overlong slash', '/tickets/%c0%af'],
    ['a lone continuation', '/tickets/%80'],
    ['an encoded surrogate', '/tickets/%ed%a0%80'],
    ['a line break in the query', '/tickets/a?b\nc'],
    ['raw non-ASCII in the query', '/tickets/a?ä'],
    ['too many characters', `/tickets/${'a'.repeat(MAX_URL_CHARS)}`],
  ])('is refused: %s', (_name, text) => {
    expect(read(text)).toBe('bad-request');
  });

  it('is refused where there is no URL', () => {
    expect(readRequestPath('/tickets')).toMatchObject({ ok: false, denial: { code: 'bad-request' } });
  });
});

describe('what is read', () => {
  it('is exactly what was sent, and a URL parser changes nothing in it', () => {
    const piece = fc.constantFrom(
      'a',
      'B',
      '.',
      '/',
      '%2e',
      '%25',
      '%20',
      '%C3%A9',
      ';',
      '\\',
      ':',
      '-',
      '?',
      '#',
      ' ',
      'x.y',
      '%',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
        const text = `/r/${pieces.join('')}`;
        const reading = readRequestPath(`https://gateway.example${text}`);
        if (!reading.ok) return;
        const { segment, path, query } = reading.value;
        expect([`/${segment}${path}${query}`, `/${segment}${path}${query}/`]).toContain(text === '/r' ? '/r/' : text);
        const parsed = new URL(`https://gateway.example/${segment}${path}${query}`);
        expect(parsed.pathname + (query === '?' ? '?' : parsed.search)).toBe(`/${segment}${path}${query}`);
        expect(decodeURIComponent(path).split('/')).not.toContain('..');
      }),
      { numRuns: 2_000 },
    );
  });
});
