// `npm run deploy`: makes the secrets that the deployed Worker lacks, and deploys, in one go. What exists is never
// replaced: a new signing key would end every session that is running.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parsePolicy } from '../src/policy/parse.ts';
import { secretNames } from '../src/policy/template.ts';
import { checkPolicyFile } from './policy-check.ts';
import { makeAdminTokens, makeSigningKeys } from './secrets.ts';

/** What the account says about the Worker's secrets: their names, or why it did not say. */
export type SecretListing =
  | { readonly ok: true; readonly names: readonly string[] }
  | { readonly ok: false; readonly reason: string };

export interface DeployPlan {
  /** Secrets to upload with this deployment, by name. */
  readonly secrets: Readonly<Record<string, string>>;
  /** The admin token that was made, to be shown once. */
  readonly adminToken: string | null;
  /** Secrets of providers that the policy names and the Worker lacks: their routes stay disabled. */
  readonly missingProviderKeys: readonly string[];
}

export interface CommandOutcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Reads what `wrangler secret list --format json` printed. A Worker that does not exist yet has no secrets. */
export function readSecretListing(outcome: CommandOutcome): SecretListing {
  if (outcome.exitCode !== 0) {
    const said = `${outcome.stdout}\n${outcome.stderr}`;
    if (/Worker ".*" not found/.test(said) || said.includes('[code: 10007]')) return { ok: true, names: [] };
    return { ok: false, reason: said.trim() };
  }
  const start = outcome.stdout.search(/^\[\s*[{\]]/m);
  try {
    const list: unknown = JSON.parse(outcome.stdout.slice(Math.max(0, start)));
    if (!Array.isArray(list)) throw new TypeError('not a list');
    return { ok: true, names: list.map(nameOf) };
  } catch {
    return { ok: false, reason: 'the list of secrets that wrangler printed cannot be read' };
  }
}

/** Which secrets to make, given those that exist. ADMIN_TOKEN, where it is set, does in the place of ADMIN_TOKENS. */
export async function planDeploy(existing: readonly string[], policySecrets: readonly string[]): Promise<DeployPlan> {
  const secrets: Record<string, string> = {};
  if (!existing.includes('SESSION_SIGNING_KEYS')) secrets['SESSION_SIGNING_KEYS'] = await makeSigningKeys();
  const needsAdmin = !existing.includes('ADMIN_TOKENS') && !existing.includes('ADMIN_TOKEN');
  const admin = needsAdmin ? makeAdminTokens() : null;
  if (admin !== null) secrets['ADMIN_TOKENS'] = admin.value;
  return {
    secrets,
    adminToken: admin?.token ?? null,
    missingProviderKeys: policySecrets.filter((name) => !existing.includes(name)),
  };
}

function nameOf(entry: unknown): string {
  if (typeof entry !== 'object' || entry === null || !('name' in entry)) throw new TypeError('not a secret');
  return String(entry.name);
}

function wrangler(args: readonly string[], mode: 'captured' | 'shown'): CommandOutcome {
  const outcome = spawnSync('npx', ['wrangler', ...args], {
    encoding: 'utf8',
    stdio: mode === 'shown' ? 'inherit' : ['inherit', 'pipe', 'pipe'],
  });
  return { exitCode: outcome.status ?? 1, stdout: outcome.stdout ?? '', stderr: outcome.stderr ?? '' };
}

function say(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** The secrets that the policy's routes name. */
function policySecretsOf(file: string): readonly string[] {
  const reading = parsePolicy(readFileSync(file, 'utf8'), { allowLoopback: false });
  if (!reading.ok) return [];
  return [
    ...new Set(
      [...reading.policy.routes.values()].flatMap((route) =>
        route.auth === null ? [] : secretNames(route.auth.value),
      ),
    ),
  ];
}

/** Uploads code and new secrets as one version: there is no moment in which one is there without the other. */
function deployWith(secrets: Readonly<Record<string, string>>, args: readonly string[]): number {
  if (Object.keys(secrets).length === 0) return wrangler(['deploy', ...args], 'shown').exitCode;
  const directory = mkdtempSync(join(tmpdir(), 'fusebox-'));
  try {
    const file = join(directory, 'secrets.json');
    writeFileSync(file, JSON.stringify(secrets), { mode: 0o600 });
    return wrangler(['deploy', '--secrets-file', file, ...args], 'shown').exitCode;
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

async function main(args: readonly string[]): Promise<number> {
  const errors = checkPolicyFile('policy.yaml');
  if (errors.length > 0) {
    for (const error of errors) process.stderr.write(`${error}\n`);
    return 1;
  }
  const listing = readSecretListing(wrangler(['secret', 'list', '--format', 'json'], 'captured'));
  if (!listing.ok) {
    process.stderr.write(`${listing.reason}\nNothing was deployed. If you are not logged in: npx wrangler login\n`);
    return 1;
  }
  const plan = await planDeploy(listing.names, policySecretsOf('policy.yaml'));
  for (const name of Object.keys(plan.secrets)) say(`making the secret ${name}`);
  const exitCode = deployWith(plan.secrets, args);
  if (exitCode !== 0) return exitCode;
  if (plan.adminToken !== null) {
    say(`\nThe admin token, shown this once (all roles):\n  ${plan.adminToken}`);
    say('Keep the list that knows it by its digest, for `npm run secrets -- add-admin`; it cannot be read back:');
    say(`  ${plan.secrets['ADMIN_TOKENS'] ?? ''}`);
  }
  for (const name of plan.missingProviderKeys)
    say(`not set yet, its routes answer 503: npx wrangler secret put ${name}`);
  return 0;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
