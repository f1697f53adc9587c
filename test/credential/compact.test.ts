import * as fc from 'fast-check';
import { base64url } from 'jose';
import { describe, expect, it } from 'vitest';
import { readCompact } from '../../src/credential/compact.ts';
import { MAX_TOKEN_CHARS } from '../../src/limits.ts';

const SIGNATURE = 'A'.repeat(86);
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_';
const compact = (header: string, claims: string, signature = SIGNATURE): string =>
  `${base64url.encode(header)}.${base64url.encode(claims)}.${signature}`;
const GOOD = compact('{"a":1}', '{"b":22}');

describe('the compact form', () => {
  it('is read when there is exactly one spelling of it', () => {
    expect(readCompact(GOOD)).toMatchObject({ ok: true, token: { header: { a: 1 }, claims: { b: 22 } } });
  });

  it.each([
    ['nothing', ''],
    ['one part', 'abcd'],
    ['two parts', GOOD.slice(0, GOOD.lastIndexOf('.'))],
    ['four parts', `${GOOD}.AAAA`],
    ['an empty header', GOOD.slice(GOOD.indexOf('.'))],
    ['empty claims', `${GOOD.split('.')[0]}..${SIGNATURE}`],
    ['an empty signature', `${GOOD.slice(0, GOOD.lastIndexOf('.'))}.`],
    ['a trailing dot', `${GOOD}.`],
    ['padding', GOOD.replace('.', '=.')],
    ['padding at the end', `${GOOD}==`],
    ['a space before', ` ${GOOD}`],
    ['a space after', `${GOOD} `],
    ['a line break after', `${GOOD}\n`],
    ['a line break inside', GOOD.replace('.', '.\n')],
    ['plain base64 characters', GOOD.replace(/A$/, '+')],
    ['a signature of 63 octets', compact('{"a":1}', '{"b":2}', 'A'.repeat(84))],
    ['a signature of 65 octets', compact('{"a":1}', '{"b":2}', 'A'.repeat(87))],
    ['unused bits in the signature', compact('{"a":1}', '{"b":2}', `${'A'.repeat(85)}B`)],
    ['a NUL', `${GOOD.slice(0, 4)}\0${GOOD.slice(5)}`],
    ['a character that folds to ASCII', GOOD.replace('e', '\u212f')],
    ['a byte order mark', compact('\ufeff{"a":1}', '{"b":2}')],
    ['claims that are a list', compact('{"a":1}', '[]')],
    ['claims that are a text', compact('{"a":1}', '"x"')],
    ['duplicate keys in the header', compact('{"a":1,"a":1}', '{"b":2}')],
    ['a JWE', `${GOOD}.AAAA.AAAA`],
    ['JSON serialisation', '{"payload":"e30","protected":"e30","signature":"AA"}'],
  ])('refuses %s', (_name, text) => {
    expect(readCompact(text)).toMatchObject({ ok: false });
  });

  it('refuses octets that are not UTF-8', () => {
    const bad = base64url.encode(new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]));
    expect(readCompact(`${base64url.encode('{"a":1}')}.${bad}.${SIGNATURE}`)).toEqual({
      ok: false,
      reason: 'claims: not UTF-8',
    });
  });

  it('refuses a token over its bound before it looks at it', () => {
    const long = compact('{"a":1}', `{"b":"${'x'.repeat(MAX_TOKEN_CHARS)}"}`);
    expect(readCompact(long)).toEqual({ ok: false, reason: `longer than ${MAX_TOKEN_CHARS} characters` });
  });

  it('accepts no second spelling of any part', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.integer()), fc.nat(63), (claims, replacement) => {
        const text = compact(
          '{"a":1}',
          JSON.stringify(Object.fromEntries(Object.entries(claims).filter(([key]) => key !== '__proto__'))),
        );
        const end = text.lastIndexOf('.') - 1;
        const other = text.slice(0, end) + ALPHABET[replacement] + text.slice(end + 1);
        const [a, b] = [readCompact(text), readCompact(other)];
        expect(a.ok).toBe(true);
        // Another last character is another text, or refused; never the same claims again.
        if (other !== text && b.ok && a.ok)
          expect(JSON.stringify(b.token.claims)).not.toBe(JSON.stringify(a.token.claims));
      }),
    );
  });
});
