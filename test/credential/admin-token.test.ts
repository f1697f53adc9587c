import { describe, expect, it } from 'vitest';
import { expiredTokens, isPastUse, personOf, readAdminTokens } from '../../src/credential/admin-token.ts';

const ENTRY = { id: 'ann', owner: 'Ann Example', sha256: 'ab'.repeat(32), roles: ['viewer', 'operator'] };
const NEXT = { ...ENTRY, id: 'ann-2027', sha256: 'cd'.repeat(32) };
const END_MS = Date.UTC(2026, 11, 31, 12);

function admins(...entries: readonly object[]) {
  const reading = readAdminTokens(JSON.stringify(entries));
  if (!reading.ok) throw new Error(reading.reason);
  return reading.admins;
}

describe('ADMIN_TOKENS', () => {
  it('knows operators by the digest of their token', () => {
    const [admin] = admins(ENTRY);
    expect(admin).toMatchObject({ id: 'ann', person: 'ann example', roles: ['viewer', 'operator'], breakGlass: false });
    expect(admin?.digest.length).toBe(32);
    expect(admin?.expiresAtMs).toBeNull();
  });

  it('takes two tokens of one owner side by side, as one person', () => {
    expect(admins(ENTRY, { ...NEXT, owner: ' ANN example ' }).map(({ person }) => person)).toEqual([
      'ann example',
      'ann example',
    ]);
  });

  it('takes a token that breaks the glass', () => {
    expect(admins({ ...ENTRY, break_glass: true })[0]?.breakGlass).toBe(true);
  });

  it.each([
    ['in UTC', '2026-12-31T12:00:00Z'],
    ['elsewhere', '2026-12-31T14:00:00.000+02:00'],
  ])('takes a time %s at which a token ends', (_where, expiresAt) => {
    const [admin] = admins({ ...ENTRY, expires_at: expiresAt });
    if (admin === undefined) throw new Error('no admin');
    expect(admin.expiresAtMs).toBe(END_MS);
    expect(isPastUse(admin, END_MS - 1)).toBe(false);
    expect(isPastUse(admin, END_MS)).toBe(true);
  });

  it('names the tokens that have ended', () => {
    const all = admins({ ...ENTRY, expires_at: '2026-12-31T12:00:00Z' }, NEXT);
    expect(expiredTokens(all, END_MS - 1)).toEqual([]);
    expect(expiredTokens(all, END_MS)).toEqual([
      'the admin token "ann" expired at 2026-12-31T12:00:00.000Z and is refused',
    ]);
  });

  it.each([
    ['nothing', ''],
    ['no list', '{}'],
    ['an empty list', '[]'],
    ['no object', '[1]'],
    ['a token in the clear', JSON.stringify([{ ...ENTRY, token: 'x' }])],
    ['a short digest', JSON.stringify([{ ...ENTRY, sha256: 'ab' }])],
    ['capital digits', JSON.stringify([{ ...ENTRY, sha256: 'AB'.repeat(32) }])],
    ['an unknown role', JSON.stringify([{ ...ENTRY, roles: ['root'] }])],
    ['a role twice', JSON.stringify([{ ...ENTRY, roles: ['viewer', 'viewer'] }])],
    ['no role', JSON.stringify([{ ...ENTRY, roles: [] }])],
    ['an id twice', JSON.stringify([ENTRY, { ...NEXT, id: 'ann' }])],
    ['a token twice', JSON.stringify([ENTRY, { ...NEXT, sha256: ENTRY.sha256 }])],
    ['an id that is none', JSON.stringify([{ ...ENTRY, id: 'a b' }])],
    ['no owner', JSON.stringify([{ ...ENTRY, owner: '' }])],
    ['a blank owner', JSON.stringify([{ ...ENTRY, owner: '  ' }])],
    ['a broken glass that is a word', JSON.stringify([{ ...ENTRY, break_glass: 'yes' }])],
    ['an end that is a number', JSON.stringify([{ ...ENTRY, expires_at: 1_798_718_400 }])],
    ['an end that is null', JSON.stringify([{ ...ENTRY, expires_at: null }])],
    ['an end without a time', JSON.stringify([{ ...ENTRY, expires_at: '2026-12-31' }])],
    ['an end on a day that is none', JSON.stringify([{ ...ENTRY, expires_at: '2026-02-30T12:00:00Z' }])],
    ['duplicate keys', '[{"id":"a","id":"b"}]'],
  ])('is refused with %s', (_name, text) => {
    expect(readAdminTokens(text)).toMatchObject({ ok: false });
  });
});

it.each([
  ['alice@acme.example', 'Alice@ACME.example'],
  ['alice@acme.example', ' alice@acme.example '],
])('%s and %s are one person', (one, other) => {
  expect(personOf(one)).toBe(personOf(other));
});
