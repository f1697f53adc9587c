import { mkdtempSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { describe, expect, it } from 'vitest';
import {
  addAdminToken,
  devVarsLine,
  ensureLocalSecrets,
  makeAdminTokens,
  makeSigningKeys,
  MalformedAdminsError,
  MalformedKeysError,
  removeAdminToken,
  retireSigningKey,
  rotateSigningKeys,
} from '../../scripts/secrets.ts';
import { parseConfig } from '../../src/config.ts';
import { readAdminTokens } from '../../src/credential/admin-token.ts';
import { MAX_SIGNING_KEYS, readSigningKeys } from '../../src/signing/signing-keys.ts';

const POLICY = 'version: 1\nroutes: { r: { upstream: "https://a.example.com", protocol: openai, scope: a } }\n';

function idsOf(value: string): readonly string[] {
  const reading = readAdminTokens(value);
  if (!reading.ok) throw new Error(reading.reason);
  return reading.admins.map(({ id }) => id);
}

function newFile(): string {
  return join(mkdtempSync(join(tmpdir(), 'fusebox-test-')), '.dev.vars');
}

describe("the secrets of a developer's machine", () => {
  it('are made on first start, for the owner only, and the gateway takes them', async () => {
    const file = newFile();
    const { vars, created } = await ensureLocalSecrets({ file, environment: {} });
    expect(created).toEqual(['SESSION_SIGNING_KEYS', 'ADMIN_TOKEN']);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    expect(parseEnv(readFileSync(file, 'utf8'))).toEqual(vars);
    expect(await parseConfig(vars, POLICY)).toMatchObject({ ok: true });
  });

  it('stay as they are on the next start', async () => {
    const file = newFile();
    const first = await ensureLocalSecrets({ file, environment: {} });
    const text = readFileSync(file, 'utf8');
    expect(await ensureLocalSecrets({ file, environment: {} })).toEqual({ vars: first.vars, created: [] });
    expect(readFileSync(file, 'utf8')).toBe(text);
  });

  it('are added to what is there, and never replace it', async () => {
    const file = newFile();
    writeFileSync(file, "OPENAI_API_KEY='sk-1'\nADMIN_TOKEN=mine-alone", { mode: 0o644 });
    const { vars, created } = await ensureLocalSecrets({ file, environment: {} });
    expect(created).toEqual(['SESSION_SIGNING_KEYS']);
    expect(vars).toMatchObject({ OPENAI_API_KEY: 'sk-1', ADMIN_TOKEN: 'mine-alone' });
    expect(parseEnv(readFileSync(file, 'utf8'))).toEqual(vars);
    expect(statSync(file).mode & 0o777).toBe(0o600);
  });

  it('give way to an admin token of the environment, which is not written down', async () => {
    const file = newFile();
    const { vars, created } = await ensureLocalSecrets({ file, environment: { ADMIN_TOKEN: 'from-outside' } });
    expect(created).toEqual(['SESSION_SIGNING_KEYS']);
    expect(vars['ADMIN_TOKEN']).toBe('from-outside');
    expect(readFileSync(file, 'utf8')).not.toContain('from-outside');
  });

  it('cannot break out of their line', () => {
    expect(() => devVarsLine('A', "x'\nB=1")).toThrow(RangeError);
  });
});

describe('the secrets of production', () => {
  it('are taken by the gateway', async () => {
    const admin = makeAdminTokens('ann');
    const reading = await parseConfig(
      { SESSION_SIGNING_KEYS: await makeSigningKeys(), ADMIN_TOKENS: admin.value },
      POLICY,
    );
    expect(reading.ok && reading.config.admins[0]).toMatchObject({
      id: 'ann',
      roles: ['viewer', 'issuer', 'operator', 'approver'],
    });
    expect(admin.value).not.toContain(admin.token);
  });

  it('rotate: the new key signs, the old one verifies', async () => {
    const old = await makeSigningKeys();
    const reading = await parseConfig(
      { SESSION_SIGNING_KEYS: await rotateSigningKeys(old), ADMIN_TOKENS: makeAdminTokens().value },
      POLICY,
    );
    const oldKid = (JSON.parse(old) as { kid: string }[])[0]?.kid;
    expect(reading.ok && [...reading.config.keys.byKid.keys()].indexOf(String(oldKid))).toBe(1);
    expect(reading.ok && reading.config.keys.signer.kid).not.toBe(oldKid);
  });

  it.each([
    ['nothing', '', /not JSON/],
    ['no list', '{"d":"not-to-be-shown"}', /not a list/],
    ['something that is no key', '[{"d":"not-to-be-shown"}]', /key 1: /],
  ])('rotate refuses %s, without quoting it', async (_name, given, reason) => {
    const refusal = await rotateSigningKeys(given).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(MalformedKeysError);
    expect(String(refusal)).toMatch(reason);
    expect(String(refusal)).not.toContain('not-to-be-shown');
  });

  it('rotate asks to take a key out where there are as many as the gateway takes', async () => {
    let keys = await makeSigningKeys();
    for (let count = 1; count < MAX_SIGNING_KEYS; count++) keys = await rotateSigningKeys(keys);
    expect((await readSigningKeys(keys)).ok).toBe(true);
    await expect(rotateSigningKeys(keys)).rejects.toThrow(/64 signing keys already/);
  });

  it('retire: the old key verifies logs, and nothing else', async () => {
    const old = await makeSigningKeys();
    const oldKid = (JSON.parse(old) as { kid: string }[])[0]?.kid ?? '';
    const retired = await retireSigningKey(await rotateSigningKeys(old), oldKid);
    const reading = await readSigningKeys(retired);
    if (!reading.ok) throw new Error(reading.reason);
    expect([reading.keys.byKid.size, [...reading.keys.retired.keys()]]).toEqual([1, [oldKid]]);
    await expect(retireSigningKey(retired, oldKid)).rejects.toThrow(/no key/);
    await expect(retireSigningKey(old, oldKid)).rejects.toThrow(/only key/);
  });
});

describe('the list of admins', () => {
  const old = makeAdminTokens('ann');
  const NEW = { id: 'ann-2027', owner: 'ann', roles: ['viewer', 'operator'] };

  it('gets a fresh token beside the old one, whose digest is all that is known of it', () => {
    const both = addAdminToken(old.value, NEW);
    expect(idsOf(both.value)).toEqual(['ann-2027', 'ann']);
    expect(both.value).not.toContain(both.token);
    expect(both.value).toContain(old.value.slice(1, -1));
  });

  it('loses the old one once the new one is in use', () => {
    expect(idsOf(removeAdminToken(addAdminToken(old.value, NEW).value, 'ann'))).toEqual(['ann-2027']);
  });

  it('takes an end and a broken glass along', () => {
    const { value } = addAdminToken(old.value, { ...NEW, breakGlass: true, expiresAt: '2027-01-01T00:00:00Z' });
    const reading = readAdminTokens(value);
    expect(reading.ok && reading.admins[0]).toMatchObject({ breakGlass: true, expiresAtMs: Date.UTC(2027, 0, 1) });
  });

  it.each([
    ['an id that is taken', () => addAdminToken(old.value, { ...NEW, id: 'ann' }), /used twice/],
    ['an unknown role', () => addAdminToken(old.value, { ...NEW, roles: ['root'] }), /"roles" may have/],
    ['an end that is no time', () => addAdminToken(old.value, { ...NEW, expiresAt: 'soon' }), /"expires_at"/],
    ['a list that is none', () => addAdminToken('[{"token":"hush-hush"}]', NEW), /on stdin is malformed/],
    ['a token that is not there', () => removeAdminToken(old.value, 'bob'), /no admin token on stdin/],
    ['the last token', () => removeAdminToken(old.value, 'ann'), /not a list of at least one/],
  ])('is not changed for %s, and the reason quotes no token', (_what, change, reason) => {
    expect(change).toThrow(MalformedAdminsError);
    expect(change).toThrow(reason);
    expect(change).not.toThrow(/hush-hush/);
  });
});
