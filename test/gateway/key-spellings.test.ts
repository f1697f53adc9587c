// A key that an upstream echoes does not reach the client, in whatever pieces and whichever spelling it comes.
import { describe, expect, it } from 'vitest';
import { redact, RedactingPassage, redactHeaders } from '../../src/gateway/redaction.ts';

const KEY = 'sk-pro/vider"key.0123';
const unicode = (text: string): string =>
  Array.from(text, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`).join('');

const SPELLINGS: readonly (readonly [string, string])[] = [
  ['plain', KEY],
  ['as JSON', JSON.stringify(KEY).slice(1, -1)],
  [
    'as JSON of programs that escape slashes',
    JSON.stringify(KEY)
      .slice(1, -1)
      .replaceAll('/', String.raw`\/`),
  ],
  ['as escapes alone', unicode(KEY)],
  [
    'as escapes in capitals',
    unicode(KEY)
      .toUpperCase()
      .replaceAll('\\U', String.raw`\u`),
  ],
  ['with one escape', KEY.replace('-', String.raw`\u002d`)],
];

function passed(
  text: string,
  pieceBytes: number,
  secrets: readonly string[] = [KEY],
): { readonly text: string; readonly found: boolean; readonly pieces: readonly string[] } {
  const passage = new RedactingPassage(secrets);
  const bytes = new TextEncoder().encode(text);
  const pieces: string[] = [];
  for (let at = 0; at < bytes.length; at += pieceBytes)
    pieces.push(new TextDecoder().decode(passage.push(bytes.subarray(at, at + pieceBytes))));
  pieces.push(new TextDecoder().decode(passage.end()));
  return { text: pieces.join(''), found: passage.found, pieces };
}

describe('the key of a provider', () => {
  it.each(SPELLINGS)('is found in whole text, %s', (_how, spelled) => {
    expect(redact(`a ${spelled} b ${spelled}`, [KEY])).toEqual({ text: 'a [redacted] b [redacted]', found: true });
  });

  it.each(SPELLINGS)('is found in pieces of any size, %s', (_how, spelled) => {
    const text = `{"a":"${spelled}","b":"\\\\${spelled}"}`;
    const masked = `{"a":"${'*'.repeat(spelled.length)}","b":"\\\\${'*'.repeat(spelled.length)}"}`;
    for (let pieceBytes = 1; pieceBytes <= text.length; pieceBytes += 1)
      expect(passed(text, pieceBytes)).toMatchObject({ text: masked, found: true });
  });

  it('holds nothing back that no key begins in', () => {
    expect(passed('data: one\n\n', 64).pieces).toEqual(['data: one\n\n', '']);
    expect(passed(`data: one ${KEY.slice(0, 3)}`, 64).pieces).toEqual(['data: one ', KEY.slice(0, 3)]);
    expect(passed('an s, a \\', 64).text).toBe('an s, a \\');
  });

  it('leaves other text as it is, and passes everything where there is no key', () => {
    const text = `sk-pro sk-pro/vider${unicode('sk-pro')} \\u00zz \\q`;
    for (let pieceBytes = 1; pieceBytes < 9; pieceBytes += 1)
      expect(passed(text, pieceBytes)).toMatchObject({ text, found: false });
    expect(redact(text, [KEY])).toEqual({ text, found: false });
    expect(redact('short', ['short'])).toEqual({ text: 'short', found: false });
    expect(passed(KEY, 3, []).text).toBe(KEY);
  });

  it('is found when another key has a piece of it, and in headers', () => {
    expect(passed(`x${KEY}y`, 2, ['sk-pro/vider', KEY]).text).not.toContain('vider');
    const headers = new Headers({ a: `x ${KEY}`, b: 'fine' });
    redactHeaders(headers, [KEY]);
    expect([...headers.keys()]).toEqual(['b']);
  });
});
