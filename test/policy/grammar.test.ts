import { describe, expect, it } from 'vitest';
import { isGrantedScope, isId, isScope, scopeCovers } from '../../src/policy/grammar.ts';
import { fillTemplate, secretProblem } from '../../src/policy/template.ts';
import { nearest } from '../../src/policy/spelling.ts';

describe('scopes', () => {
  it.each([
    [['ticket:read'], 'ticket:read', true],
    [['ticket:*'], 'ticket:read', true],
    [['ticket:*'], 'ticket:read:all', true],
    [['mcp:github/*'], 'mcp:github/issues', true],
    [['llm:openai', 'ticket:*'], 'ticket:write', true],
    [[], 'ticket:read', false],
    [['ticket'], 'ticket:read', false],
    [['ticket:read'], 'ticket:write', false],
    [['ticket:*'], 'ticket:', false],
    [['ticket:*'], 'ticketing:read', false],
    [['ticket:*'], 'ticket', false],
    [['TICKET:read'], 'ticket:read', false],
  ] as const)('%j cover %s: %s', (granted, required, expected) => {
    expect(scopeCovers(granted, required)).toBe(expected);
  });

  it('are granted by name or by branch, never all at once', () => {
    for (const good of ['a', 'llm:openai', 'ticket:*', 'mcp:github/*', 'a:b:*'])
      expect(isGrantedScope(good), good).toBe(true);
    for (const bad of ['*', 'llm*', 'llm:*x', 'llm:**', ':*', 'a b', '', 'ä', 'a"b', 'a\\b', `a${'b'.repeat(128)}`])
      expect(isGrantedScope(bad), bad).toBe(false);
    expect(isScope('ticket:*')).toBe(false);
  });
});

describe('ids', () => {
  it('are ASCII, and cannot break a line, a path or a header', () => {
    for (const good of ['a', 'A.b_c:d-9', '0190f3a2-7b6c-7000-8000-000000000000', 'a'.repeat(128)])
      expect(isId(good), good).toBe(true);
    for (const bad of [
      '',
      '-a',
      '.a',
      '_a',
      ':a',
      'a b',
      'a/b',
      'a~b',
      'a\n',
      'а',
      'a%',
      'a'.repeat(129),
      1,
      null,
      undefined,
    ])
      expect(isId(bad), String(bad)).toBe(false);
  });
});

describe('secrets in auth.value', () => {
  it('are put in from the environment', () => {
    expect(fillTemplate('Bearer ${OPENAI_API_KEY}', { OPENAI_API_KEY: ' sk-1\n' })).toEqual({
      ok: true,
      value: 'Bearer sk-1',
    });
    expect(fillTemplate('${A_1}:${B}', { A_1: 'x', B: '$&' })).toEqual({ ok: true, value: 'x:$&' });
  });

  it.each([[undefined], [''], ['  '], ['a\nb'], ['ключ'], [1], [{}]])(
    'disable the route when the secret is %j',
    (secret) => {
      expect(fillTemplate('Bearer ${KEY}', { KEY: secret })).toEqual({ ok: false, missing: ['KEY'] });
    },
  );

  it('may not name our own', () => {
    for (const name of ['SESSION_SIGNING_KEYS', 'ADMIN_TOKEN', 'ADMIN_TOKENS'])
      expect(secretProblem(`Bearer \${${name}}`), name).not.toBeNull();
    for (const bad of ['${', '${a}', '${A B}', '${}', 'x${A']) expect(secretProblem(bad), bad).not.toBeNull();
    expect(secretProblem('Bearer ${OPENAI_API_KEY}')).toBeNull();
  });
});

describe('did you mean', () => {
  it.each([
    ['upstreem', 'upstream'],
    ['sesions', 'sessions'],
    ['potocol', 'protocol'],
    ['fess', 'fees'],
    ['usage', null],
    ['x', null],
  ])('%s: %s', (word, expected) => {
    expect(nearest(word, ['upstream', 'sessions', 'protocol', 'fees', 'auth'])).toBe(expected);
  });
});
