import { describe, expect, it } from 'vitest';
import { readAdminTokens } from '../../src/credential/admin-token.ts';

const ENTRY = { id: 'ann', owner: 'Ann Example', sha256: 'ab'.repeat(32), roles: ['viewer', 'operator'] };

describe('ADMIN_TOKENS', () => {
  it('knows operators by the digest of their token', () => {
    const reading = readAdminTokens(JSON.stringify([ENTRY]));
    expect(reading).toMatchObject({
      ok: true,
      admins: [{ id: 'ann', owner: 'Ann Example', roles: ['viewer', 'operator'] }],
    });
    expect(reading.ok && reading.admins[0]?.digest.length).toBe(32);
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
    ['an id twice', JSON.stringify([ENTRY, { ...ENTRY, sha256: 'cd'.repeat(32) }])],
    ['an id that is none', JSON.stringify([{ ...ENTRY, id: 'a b' }])],
    ['no owner', JSON.stringify([{ ...ENTRY, owner: '' }])],
    ['duplicate keys', '[{"id":"a","id":"b"}]'],
  ])('is refused with %s', (_name, text) => {
    expect(readAdminTokens(text)).toMatchObject({ ok: false });
  });
});
