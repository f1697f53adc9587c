import { describe, expect, it } from 'vitest';
import { readCredential } from '../../src/credential/credential-reader.ts';

function read(headers: readonly (readonly [string, string])[]): string {
  const all = new Headers();
  for (const [name, value] of headers) all.append(name, value);
  const reading = readCredential(all);
  return reading.ok ? `token ${reading.value}` : reading.denial.code;
}

describe('the credential of a request', () => {
  it.each([
    ['Authorization: Bearer', [['authorization', 'Bearer abc']], 'token abc'],
    ['the scheme in any case', [['authorization', 'bEaReR abc']], 'token abc'],
    ['x-api-key', [['x-api-key', 'abc']], 'token abc'],
    ['x-goog-api-key', [['x-goog-api-key', 'abc']], 'token abc'],
    ['api-key', [['api-key', 'abc']], 'token abc'],
    [
      'the same one twice',
      [
        ['authorization', 'Bearer abc'],
        ['x-api-key', 'abc'],
      ],
      'token abc',
    ],
    [
      'the same header twice',
      [
        ['x-api-key', 'abc'],
        ['x-api-key', 'abc'],
      ],
      'token abc',
    ],
    [
      'the same Authorization twice',
      [
        ['authorization', 'Bearer abc'],
        ['authorization', 'Bearer abc'],
      ],
      'token abc',
    ],
    [
      'one beside an empty one',
      [
        ['x-api-key', ''],
        ['authorization', 'Bearer abc'],
      ],
      'token abc',
    ],
    ['nothing', [], 'credential-missing'],
    ['an empty one', [['x-api-key', '']], 'credential-missing'],
    [
      'two different ones',
      [
        ['authorization', 'Bearer abc'],
        ['x-api-key', 'def'],
      ],
      'ambiguous-credential',
    ],
    [
      'two different keys',
      [
        ['api-key', 'abc'],
        ['x-goog-api-key', 'def'],
      ],
      'ambiguous-credential',
    ],
    [
      'two different in one header',
      [
        ['x-api-key', 'abc'],
        ['x-api-key', 'def'],
      ],
      'ambiguous-credential',
    ],
    [
      'two different Authorizations',
      [
        ['authorization', 'Bearer abc'],
        ['authorization', 'Bearer def'],
      ],
      'ambiguous-credential',
    ],
    ['Basic', [['authorization', 'Basic abc']], 'credential-invalid'],
    [
      'Basic beside a token',
      [
        ['authorization', 'Basic abc'],
        ['x-api-key', 'abc'],
      ],
      'credential-invalid',
    ],
    ['a certificate', [['x-agent-certificate', 'MII']], 'credential-invalid'],
    [
      'a certificate beside a token',
      [
        ['x-agent-certificate', 'MII'],
        ['x-api-key', 'abc'],
      ],
      'ambiguous-credential',
    ],
    ['a cookie', [['cookie', 'token=abc']], 'credential-missing'],
  ] as const)('%s: %s', (_name, headers, expected) => {
    expect(read(headers)).toBe(expected);
  });
});
