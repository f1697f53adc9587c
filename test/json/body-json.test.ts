import { describe, expect, it } from 'vitest';
import { MAX_JSON_DEPTH } from '../../src/limits.ts';
import { appendElement, applyEdits, setInnerMember, setMember, wrapValue } from '../../src/protocol/json-edit.ts';
import { parseStrictJson, parseStrictJsonText, type StrictJson } from '../../src/json/body-json.ts';

function parsed(text: string): StrictJson {
  const result = parseStrictJsonText(text);
  if (!result.ok) throw new Error(result.message);
  return result.json;
}

const nested = (depth: number): string => `{"a":${'['.repeat(depth - 1)}${']'.repeat(depth - 1)}}`;

describe('strict JSON', () => {
  const refused: readonly (readonly [string, string | Uint8Array])[] = [
    ['invalid UTF-8', Uint8Array.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
    ['an overlong encoding', Uint8Array.from([0x7b, 0x22, 0xc0, 0xaf, 0x22, 0x3a, 0x31, 0x7d])],
    ['a byte order mark', '\uFEFF{"a":1}'],
    ['nothing', ''],
    ['an array', '[{"a":1}]'],
    ['a string', '"a"'],
    ['null', 'null'],
    ['text after the object', '{"a":1} {"b":2}'],
    ['a trailing comma', '{"a":1,}'],
    ['a comment', '{"a":1/**/}'],
    ['single quotes', "{'a':1}"],
    ['NaN', '{"a":NaN}'],
    ['an unterminated string', '{"a":"b'],
    ['an unterminated object', '{"a":1'],
    ['a name without a value', '{"a"}'],
    ['a raw line feed in a string', '{"a":"\n"}'],
    ['a name given twice', '{"model":"a","n":1,"model":"b"}'],
    ['a name given twice, once escaped', '{"model":"a","mod\\u0065l":"b"}'],
    ['a name given twice far down', '{"a":[{"b":{"c":1,"c":2}}]}'],
    ['the last of many names given twice', `{${Array.from({ length: 40 }, (_, i) => `"k${i}":1`).join(',')},"k0":2}`],
    ['a member named __proto__', '{"a":{"__proto__":{"n":1}}}'],
    ['an escaped __proto__', '{"\\u005f_proto__":1}'],
    ['nesting beyond the bound', nested(MAX_JSON_DEPTH + 1)],
    ['nesting without an end', '['.repeat(1_000_000)],
  ];
  it.each(refused)('refuses %s', (_what, text) => {
    const bytes = typeof text === 'string' ? new TextEncoder().encode(text) : text;
    expect(parseStrictJson(bytes).ok).toBe(false);
  });

  it('takes nesting up to the bound', () => {
    expect(parseStrictJsonText(nested(MAX_JSON_DEPTH)).ok).toBe(true);
  });

  it('takes the same name in different objects, and values that look like names', () => {
    expect(parsed('{"a":{"a":"a"},"b":[{"a":1},{"a":"__proto__"}]}').value).toEqual({
      a: { a: 'a' },
      b: [{ a: 1 }, { a: '__proto__' }],
    });
  });

  it('knows where the values of the top two levels stand', () => {
    const text = ' { "a" : -1.5e3 ,"b\\n": "x\\"}" , "c":{ "d" : [ 1, {"e":2} ] ,"f":null}, "g":[] } ';
    const { members } = parsed(text);
    const at = (span: { start: number; end: number } | undefined): string => text.slice(span?.start, span?.end);
    expect(at(members.get('a'))).toBe('-1.5e3');
    expect(at(members.get('b\n'))).toBe('"x\\"}"');
    expect(at(members.get('c'))).toBe('{ "d" : [ 1, {"e":2} ] ,"f":null}');
    expect(at(members.get('c')?.members?.get('d'))).toBe('[ 1, {"e":2} ]');
    expect(at(members.get('c')?.members?.get('f'))).toBe('null');
    expect(at(members.get('g'))).toBe('[]');
    expect([...members.keys()]).toEqual(['a', 'b\n', 'c', 'g']);
  });

  it('reads a body of a megabyte in time that a request does not notice', () => {
    const messages = Array.from({ length: 5_000 }, (_, index) => ({
      role: 'user',
      content: `"${index}" \\ `.repeat(20),
    }));
    const bytes = new TextEncoder().encode(JSON.stringify({ model: 'm', messages }));
    expect(bytes.length).toBeGreaterThan(1_000_000);
    expect(parseStrictJson(bytes).ok).toBe(true);
  });
});

function edited(text: string, ...edits: Parameters<typeof applyEdits>[1]): string {
  return applyEdits(text, edits);
}

describe('edits', () => {
  it('replace a value and nothing else', () => {
    const text = '{"x": 1.50, "max_tokens" :  9000 ,"y":"\\u00e9"}';
    expect(edited(text, setMember(parsed(text), 'max_tokens', '16'))).toBe(
      '{"x": 1.50, "max_tokens" :  16 ,"y":"\\u00e9"}',
    );
  });

  it('add a member that is missing', () => {
    const text = '{ "x": 1 }';
    expect(edited(text, setMember(parsed(text), 'n', '2'))).toBe('{"n":2, "x": 1 }');
    expect(edited('{}', setMember(parsed('{}'), 'n', '2'))).toBe('{"n":2}');
  });

  const inner: readonly (readonly [string, string])[] = [
    ['{"x":1}', '{"o":{"n":2},"x":1}'],
    ['{"o":null}', '{"o":{"n":2}}'],
    ['{"o":{}}', '{"o":{"n":2}}'],
    ['{"o":{"m":1}}', '{"o":{"n":2,"m":1}}'],
    ['{"o":{"m":1,"n":false}}', '{"o":{"m":1,"n":2}}'],
  ];
  it.each(inner)('set a member of a member in %s', (text, expected) => {
    expect(edited(text, setInnerMember(parsed(text), 'o', 'n', '2'))).toBe(expected);
  });

  it('append to arrays and wrap values', () => {
    const text = '{"a":[1 ],"b":[],"c":"s"}';
    const { members } = parsed(text);
    const [a, b, c] = ['a', 'b', 'c'].map((name) => members.get(name));
    if (a === undefined || b === undefined || c === undefined) throw new Error('missing');
    const edits = [appendElement(a, false, '2'), appendElement(b, true, '3'), ...wrapValue(c, '[', ']')];
    expect(edited(text, ...edits)).toBe('{"a":[1 ,2],"b":[3],"c":["s"]}');
  });
});
