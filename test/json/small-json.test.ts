import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readStrictJson } from '../../src/json/small-json.ts';

describe('strict JSON', () => {
  it('reads what JSON.parse reads, where no key is odd', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 8 }), (text) => {
        fc.pre(!text.includes('__proto__'));
        const reading = readStrictJson(text);
        expect(reading.ok && JSON.stringify(reading.value)).toBe(JSON.stringify(JSON.parse(text)));
      }),
    );
  });

  it('accepts nothing that JSON.parse refuses', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.constantFrom(
            '{',
            '}',
            '[',
            ']',
            ':',
            ',',
            '"a"',
            '"',
            '1',
            '-',
            '0',
            '.5',
            'e9',
            'true',
            'null',
            ' ',
            '\\u00',
          ),
        ),
        (parts) => {
          const text = parts.join('');
          if (readStrictJson(text).ok) expect(() => JSON.parse(text) as unknown).not.toThrow();
        },
      ),
    );
  });

  it.each([
    ['duplicate keys', '{"a":1,"a":2}'],
    ['duplicate keys that agree', '{"a":1,"a":1}'],
    ['duplicate keys deeper', '{"a":{"b":1,"b":1}}'],
    ['duplicate keys in a list', '[{"b":1,"b":1}]'],
    ['duplicate keys in other spellings', '{"a":1,"\\u0061":2}'],
    ['__proto__', '{"__proto__":{}}'],
    ['__proto__ in another spelling', '{"\\u005f_proto__":{}}'],
    ['__proto__ deeper', '{"a":[{"__proto__":1}]}'],
    ['a number that overflows', '{"a":1e999}'],
    ['NaN', '{"a":NaN}'],
    ['Infinity', '{"a":Infinity}'],
    ['a leading zero', '{"a":01}'],
    ['a plus', '{"a":+1}'],
    ['hexadecimal', '{"a":0x10}'],
    ['a trailing comma', '{"a":1,}'],
    ['a trailing comma in a list', '[1,]'],
    ['a comment', '{"a":1/**/}'],
    ['single quotes', "{'a':1}"],
    ['a bare key', '{a:1}'],
    ['a control character in a string', '{"a":"\n"}'],
    ['a bad escape', '{"a":"\\x41"}'],
    ['text after the end', '{} {}'],
    ['a vertical tab as space', '{\u000b}'],
    ['a no-break space', '\u00a0{}'],
    ['nothing', ''],
    ['depth', `${'['.repeat(18)}${']'.repeat(18)}`],
  ])('refuses %s', (_name, text) => {
    expect(readStrictJson(text)).toMatchObject({ ok: false });
  });

  it('refuses what is nested thousands deep without a stack', () => {
    expect(readStrictJson('{"a":'.repeat(50_000))).toMatchObject({ ok: false });
  });

  it('gives objects without a prototype', () => {
    const reading = readStrictJson('{"toString":1}');
    expect(reading.ok && Object.getPrototypeOf(reading.value)).toBeNull();
  });
});
