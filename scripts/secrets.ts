// Makes the secrets that a gateway needs: for a developer's machine into .dev.vars on first start, for production as a
// value to give to wrangler. Never overwrites one that exists.
import { createHash, randomBytes } from 'node:crypto';
import { appendFileSync, chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { text as readAll } from 'node:stream/consumers';
import { parseArgs, parseEnv } from 'node:util';
import { exportJWK, generateKeyPair } from 'jose';
import { readAdminTokens } from '../src/credential/admin-token.ts';
import { MAX_SIGNING_KEYS, readSigningKeys } from '../src/signing/signing-keys.ts';

export interface AdminSecret {
  /** The value of ADMIN_TOKENS: digests only. */
  readonly value: string;
  /** The token behind the digest: shown once, kept by its owner. */
  readonly token: string;
}

export interface LocalSecrets {
  /** All variables of the file, with ADMIN_TOKEN of the environment before that of the file. */
  readonly vars: Readonly<Record<string, string>>;
  /** The names that were made now. */
  readonly created: readonly string[];
}

const DEV_VARS_HEADER = '# Secrets of this machine. Made on first start; never committed, never deployed.\n';
const USAGE = `usage: npm run secrets -- make SESSION_SIGNING_KEYS   a fresh signing key, as the secret's value
       npm run secrets -- make ADMIN_TOKENS [ID]      a fresh admin token with all roles: the secret's value, and the token on stderr
       npm run secrets -- rotate < OLD                the list of signing keys OLD with a fresh one before it
       npm run secrets -- retire KID < OLD            the list OLD with that key's private part taken away: from then on it
                                                      verifies old logs, and no credential
       npm run secrets -- add-admin ID OWNER ROLES [--break-glass] [--expires-at TIME] < OLD
                                                      the list of admins OLD with a fresh token of OWNER before it; ROLES as in
                                                      "viewer,operator"; the token on stderr
       npm run secrets -- remove-admin ID < OLD       the list of admins OLD without that token
`;

/** What was given to rotate is no list of signing keys; the message quotes none of it. */
export class MalformedKeysError extends Error {
  override name = 'MalformedKeysError';
}

/** What was given is no list of admins, or would not be one afterwards; the message quotes no token. */
export class MalformedAdminsError extends Error {
  override name = 'MalformedAdminsError';
}

/** A list of one fresh Ed25519 key, as SESSION_SIGNING_KEYS takes it: JSON on one line. */
export async function makeSigningKeys(): Promise<string> {
  return JSON.stringify([await makeSigningKey()]);
}

/** The list with a fresh key first: it signs from now on, and the others verify until they are taken out. */
export async function rotateSigningKeys(current: string): Promise<string> {
  const reading = await readSigningKeys(current);
  if (!reading.ok) throw new MalformedKeysError(`the list of signing keys on stdin is malformed: ${reading.reason}`);
  const keys = JSON.parse(current) as readonly unknown[];
  if (keys.length >= MAX_SIGNING_KEYS)
    throw new MalformedKeysError(`there are ${keys.length} signing keys already: take one out first`);
  return JSON.stringify([await makeSigningKey(), ...keys]);
}

/** The list with one key's private part taken away. Its logs can be verified still; its credentials are refused. */
export async function retireSigningKey(current: string, kid: string): Promise<string> {
  const reading = await readSigningKeys(current);
  if (!reading.ok) throw new MalformedKeysError(`the list of signing keys on stdin is malformed: ${reading.reason}`);
  if (!reading.keys.byKid.has(kid)) throw new MalformedKeysError(`the list has no key "${kid}" that is in use`);
  if (reading.keys.byKid.size === 1) throw new MalformedKeysError('it is the only key in use: rotate first');
  const keys = JSON.parse(current) as readonly Readonly<Record<string, unknown>>[];
  return JSON.stringify(keys.map((key) => (key['kid'] === kid ? publicPart(key) : key)));
}

function publicPart({ d: _d, ...rest }: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  return { ...rest, retired: true };
}

/** A fresh token with all roles, and the list that knows it by its digest. */
export function makeAdminTokens(id = 'admin'): AdminSecret {
  const token = makeAdminToken();
  const sha256 = createHash('sha256').update(token).digest('hex');
  const entry = { id, owner: id, sha256, roles: ['viewer', 'issuer', 'operator', 'approver'] };
  return { value: JSON.stringify([entry]), token };
}

export interface NewAdmin {
  readonly id: string;
  /** The person: two tokens of one owner are not four eyes. */
  readonly owner: string;
  readonly roles: readonly string[];
  readonly breakGlass?: boolean;
  /** RFC 3339. */
  readonly expiresAt?: string;
}

/** The list with a fresh token before the others, of which it needs to know no more than their digests. */
export function addAdminToken(current: string, { id, owner, roles, breakGlass, expiresAt }: NewAdmin): AdminSecret {
  const token = makeAdminToken();
  const entry = {
    id,
    owner,
    sha256: createHash('sha256').update(token).digest('hex'),
    roles,
    ...(breakGlass === true ? { break_glass: true } : {}),
    ...(expiresAt === undefined ? {} : { expires_at: expiresAt }),
  };
  return { value: checkedAdmins([entry, ...adminEntries(current)]), token };
}

/** The list without a token, for when its successor is in use. */
export function removeAdminToken(current: string, id: string): string {
  const entries = adminEntries(current);
  const others = entries.filter((entry) => entry['id'] !== id);
  if (others.length === entries.length) throw new MalformedAdminsError(`no admin token on stdin has the id "${id}"`);
  return checkedAdmins(others);
}

function adminEntries(current: string): readonly Readonly<Record<string, unknown>>[] {
  const reading = readAdminTokens(current);
  if (!reading.ok) throw new MalformedAdminsError(`the list of admins on stdin is malformed: ${reading.reason}`);
  return JSON.parse(current) as readonly Readonly<Record<string, unknown>>[];
}

/** The list as the secret's value, once the gateway would take it. */
function checkedAdmins(entries: readonly object[]): string {
  const value = JSON.stringify(entries);
  const reading = readAdminTokens(value);
  if (!reading.ok) throw new MalformedAdminsError(`the gateway would refuse the list: ${reading.reason}`);
  return value;
}

/** 256 bits, recognisable to secret scanners and to people. */
export function makeAdminToken(): string {
  return `fusebox_admin_${randomBytes(32).toString('base64url')}`;
}

/** The lines that a .dev.vars file lacks, given the environment: empty where nothing is missing. */
async function missingDevVars(
  current: Readonly<Record<string, string | undefined>>,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<Readonly<Record<string, string>>> {
  const missing: Record<string, string> = {};
  if (!current['SESSION_SIGNING_KEYS']) missing['SESSION_SIGNING_KEYS'] = await makeSigningKeys();
  const hasAdmin = current['ADMIN_TOKEN'] || current['ADMIN_TOKENS'] || environment['ADMIN_TOKEN'];
  if (!hasAdmin) missing['ADMIN_TOKEN'] = makeAdminToken();
  return missing;
}

/** One line of a .dev.vars file. None of our values has a single quote or a line break. */
export function devVarsLine(name: string, value: string): string {
  if (/['\r\n]/.test(value)) throw new RangeError(`${name} has a character that .dev.vars cannot hold`);
  return `${name}='${value}'\n`;
}

/** Reads .dev.vars, makes what is missing, and keeps it there for the next start, readable by the owner only. */
export async function ensureLocalSecrets(options: {
  readonly file: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}): Promise<LocalSecrets> {
  const { file, environment } = options;
  createOnce(file);
  const before = readFileSync(file, 'utf8');
  const current = parseEnv(before);
  const missing = await missingDevVars(current, environment);
  const lines = Object.entries(missing).map(([name, value]) => devVarsLine(name, value));
  if (lines.length > 0) appendFileSync(file, (before === '' || before.endsWith('\n') ? '' : '\n') + lines.join(''));
  const fromEnvironment = environment['ADMIN_TOKEN'];
  const vars = {
    ...withoutUndefined(current),
    ...missing,
    ...(fromEnvironment ? { ADMIN_TOKEN: fromEnvironment } : {}),
  };
  return { vars, created: Object.keys(missing) };
}

/** Two starts at once: the first one makes the file, the other finds it. */
function createOnce(file: string): void {
  if (!existsSync(file)) {
    try {
      writeFileSync(file, DEV_VARS_HEADER, { mode: 0o600, flag: 'wx' });
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
    }
  }
  chmodSync(file, 0o600);
}

async function makeSigningKey(): Promise<Readonly<Record<string, unknown>>> {
  const { privateKey } = await generateKeyPair('EdDSA', { extractable: true });
  const { kty, crv, x, d } = await exportJWK(privateKey);
  return { kty, crv, x, d, kid: `k${randomBytes(8).toString('hex')}`, alg: 'EdDSA', use: 'sig' };
}

function withoutUndefined(vars: Readonly<Record<string, string | undefined>>): Record<string, string> {
  return Object.fromEntries(Object.entries(vars).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

async function main(args: readonly string[]): Promise<number> {
  const [command, name, id] = args;
  if (command === 'make' && name === 'SESSION_SIGNING_KEYS') {
    process.stdout.write(`${await makeSigningKeys()}\n`);
  } else if (command === 'make' && name === 'ADMIN_TOKENS') {
    showAdmin(makeAdminTokens(id));
  } else if (command === 'rotate') {
    process.stdout.write(`${await rotateSigningKeys(await readAll(process.stdin))}\n`);
  } else if (command === 'retire' && name !== undefined) {
    process.stdout.write(`${await retireSigningKey(await readAll(process.stdin), name)}\n`);
  } else if (command === 'add-admin') {
    const admin = readNewAdmin(args.slice(1));
    if (admin === null) return usageError();
    showAdmin(addAdminToken(await readAll(process.stdin), admin));
  } else if (command === 'remove-admin' && name !== undefined) {
    process.stdout.write(`${removeAdminToken(await readAll(process.stdin), name)}\n`);
  } else if (command === '--help') {
    process.stdout.write(USAGE);
  } else {
    return usageError();
  }
  return 0;
}

function usageError(): number {
  process.stderr.write(USAGE);
  return 2;
}

/** The value on stdout, for a pipe; the token beside it, for its owner. */
function showAdmin({ value, token }: AdminSecret): void {
  process.stderr.write(`The admin token, shown this once: ${token}\n`);
  process.stdout.write(`${value}\n`);
}

/** Reads ID OWNER ROLES and the options; null where they cannot be read. */
function readNewAdmin(args: readonly string[]): NewAdmin | null {
  try {
    const { positionals, values } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: { 'break-glass': { type: 'boolean' }, 'expires-at': { type: 'string' } },
    });
    const [id, owner, roles, ...more] = positionals;
    if (id === undefined || owner === undefined || roles === undefined || more.length > 0) return null;
    const expiresAt = values['expires-at'];
    return {
      id,
      owner,
      roles: roles.split(','),
      breakGlass: values['break-glass'] ?? false,
      ...(expiresAt === undefined ? {} : { expiresAt }),
    };
  } catch {
    return null;
  }
}

/** What is wrong with the input is one line, and no stack trace. */
async function mainOrReason(args: readonly string[]): Promise<number> {
  try {
    return await main(args);
  } catch (error) {
    if (!(error instanceof MalformedKeysError || error instanceof MalformedAdminsError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 1;
  }
}

if (import.meta.main) process.exitCode = await mainOrReason(process.argv.slice(2));
