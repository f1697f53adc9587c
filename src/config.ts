// Environment to Config: every variable and secret parsed once, and refused where it is wrong. Fails closed, and says
// which name is missing or malformed and the command that makes it. Never quotes a secret.
import { type AdminEntry, expiredTokens, readAdminTokens, soleAdmin } from './credential/admin-token.ts';
import { createTokenVerifier, type TokenVerifier } from './credential/session-token.ts';
import { type KeyRing, readSigningKeys } from './signing/signing-keys.ts';
import { deploymentIdOf, isHalted, isOn } from './deployment.ts';
import { readTimestamp } from './http/timestamp.ts';
import { isId } from './policy/grammar.ts';
import { mergePolicies } from './policy/merge.ts';
import { describePolicyError, parsePolicy } from './policy/parse.ts';
import type { Policy } from './policy/policy.ts';
import type { PolicyGround } from './policy/run-time.ts';

export interface Config {
  readonly issuer: string;
  readonly audience: string;
  /** Told apart by it: heads of other deployments are not ours. */
  readonly deploymentId: string;
  /** What proofs and signatures may name, as `https://host`; empty where none is configured. */
  readonly publicOrigins: readonly string[];
  /** Browser origins that may use the control plane. */
  readonly adminOrigins: readonly string[];
  /** Plain http upstreams on the own machine, short admin tokens: on a developer's machine only. */
  readonly localDevelopment: boolean;
  /** The out-of-band stop: nothing is forwarded while it is set. */
  readonly halted: boolean;
  readonly keys: KeyRing;
  readonly admins: readonly AdminEntry[];
  /** The one deployed, with the local routes. */
  readonly policy: Policy;
  /** The text of policy.yaml as it was deployed. */
  readonly policyText: string;
  /** What a run-time version of the policy is laid over. */
  readonly policyGround: PolicyGround;
  /** When this Worker was deployed, where the platform says so. */
  readonly deployedAtMs: number | null;
  /** Verifies with these keys and by that policy, and remembers what it verified. */
  readonly verifierFor: (policy: Policy) => TokenVerifier;
}

export interface ConfigError {
  /** The variable, secret or file. */
  readonly name: string;
  readonly problem: string;
  /** What to do about it; a command where there is one. */
  readonly remedy: string;
}

export type ConfigReading =
  | { readonly ok: true; readonly config: Config }
  | { readonly ok: false; readonly errors: readonly ConfigError[] };

export type Environment = Readonly<Record<string, unknown>>;

/** A token that people choose must still cost more guesses than anyone has. */
const MIN_ADMIN_TOKEN_CHARS = 32;
/** On a developer's machine only its own programs can ask. */
const MIN_LOCAL_ADMIN_TOKEN_CHARS = 8;
const REMEDY_SECRETS = 'npm run deploy (makes the secrets that are missing, and deploys)';

/**
 * Reads the environment. `bundledPolicy` is the text of policy.yaml as it was built into the Worker; the variable POLICY
 * replaces it and POLICY_LOCAL adds routes to it (the local runner sets both). The keys of providers are read by
 * whoever uses them: one that is missing disables its route, and is no error here.
 */
export async function parseConfig(env: Environment, bundledPolicy: string): Promise<ConfigReading> {
  const errors: ConfigError[] = [];
  const localDevelopment = isOn(env['LOCAL_DEVELOPMENT']);
  const issuer = idVariable(env, 'ISSUER', 'fusebox', errors);
  const audience = idVariable(env, 'AUDIENCE', 'fusebox', errors);
  idVariable(env, 'DEPLOYMENT_ID', issuer, errors);
  const deploymentId = deploymentIdOf(env);
  const publicOrigins = originsVariable(env, 'PUBLIC_ORIGINS', errors);
  const adminOrigins = originsVariable(env, 'ADMIN_ORIGINS', errors);
  const keys = await signingKeys(env, errors);
  const admins = adminEntries(env, localDevelopment, errors);
  const policy = policyOf(env, { bundledPolicy, localDevelopment }, errors);
  if (keys === null || policy === null || errors.length > 0) return { ok: false, errors };
  const halted = isHalted(env);
  return {
    ok: true,
    config: {
      issuer,
      audience,
      deploymentId,
      publicOrigins,
      adminOrigins,
      localDevelopment,
      halted,
      keys,
      admins,
      ...policy,
      deployedAtMs: deployedAt(env),
      verifierFor({ sessions: { ttlSecondsMax, limits: defaultLimits, requiredClaims } }) {
        return createTokenVerifier({ keys, issuer, audience, ttlSecondsMax, defaultLimits, requiredClaims });
      },
    },
  };
}

/** What is worth a line in the log, and no reason not to start. */
export function configWarnings({ admins }: Config, nowMs: number): readonly string[] {
  return expiredTokens(admins, nowMs);
}

/** One line per error, for the log and for whoever opens a Worker that cannot serve yet. */
export function describeConfigErrors(errors: readonly ConfigError[]): string {
  return errors.map((error) => `${error.name}: ${error.problem}. To fix it: ${error.remedy}`).join('\n');
}

async function signingKeys(env: Environment, errors: ConfigError[]): Promise<KeyRing | null> {
  const name = 'SESSION_SIGNING_KEYS';
  const text = textOf(env, name);
  if (text === null) {
    errors.push({ name, problem: 'the secret is missing', remedy: REMEDY_SECRETS });
    return null;
  }
  const reading = await readSigningKeys(text);
  if (reading.ok) return reading.keys;
  errors.push({
    name,
    problem: `the secret is malformed: ${reading.reason}`,
    remedy: `npm run --silent secrets -- make ${name} | npx wrangler secret put ${name}`,
  });
  return null;
}

function adminEntries(env: Environment, localDevelopment: boolean, errors: ConfigError[]): readonly AdminEntry[] {
  const admins: AdminEntry[] = [];
  const list = textOf(env, 'ADMIN_TOKENS');
  if (list !== null) {
    const reading = readAdminTokens(list);
    if (reading.ok) admins.push(...reading.admins);
    else
      errors.push({
        name: 'ADMIN_TOKENS',
        problem: `the secret is malformed: ${reading.reason}`,
        remedy: 'npm run secrets -- make ADMIN_TOKENS shows the form',
      });
  }
  const token = textOf(env, 'ADMIN_TOKEN');
  if (token !== null) {
    const least = localDevelopment ? MIN_LOCAL_ADMIN_TOKEN_CHARS : MIN_ADMIN_TOKEN_CHARS;
    if (/^[\x21-\x7e]+$/.test(token) && token.length >= least) admins.push(soleAdmin(token));
    else
      errors.push({
        name: 'ADMIN_TOKEN',
        problem: `shorter than ${least} characters, or not printable ASCII without spaces`,
        remedy: 'openssl rand -hex 32 makes one',
      });
  }
  if (list === null && token === null)
    errors.push({ name: 'ADMIN_TOKENS', problem: 'the secret is missing', remedy: REMEDY_SECRETS });
  return admins;
}

function policyOf(
  env: Environment,
  from: { readonly bundledPolicy: string; readonly localDevelopment: boolean },
  errors: ConfigError[],
): Pick<Config, 'policy' | 'policyText' | 'policyGround'> | null {
  const rules = { allowLoopback: from.localDevelopment };
  const read = (name: string, text: string): Policy | null => {
    const reading = parsePolicy(text, rules);
    if (reading.ok) return reading.policy;
    for (const error of reading.errors)
      errors.push({ name: 'policy', problem: describePolicyError(name, error), remedy: 'correct the file' });
    return null;
  };
  // As it is, white space at its ends included: the digest is that of the file.
  const policyText = textOf(env, 'POLICY') === null ? from.bundledPolicy : String(env['POLICY']);
  const deployed = read('policy.yaml', policyText);
  const localText = textOf(env, 'POLICY_LOCAL');
  if (deployed === null) return null;
  if (localText === null) return { policy: deployed, policyText, policyGround: { deployed, local: null, rules } };
  const local = read('policy.local.yaml', localText);
  if (local === null) return null;
  const merged = mergePolicies(deployed, local);
  if (merged.ok) return { policy: merged.policy, policyText, policyGround: { deployed, local, rules } };
  errors.push({ name: 'policy', problem: `policy.local.yaml: ${merged.reason}`, remedy: 'rename the route' });
  return null;
}

/** The binding `version_metadata`: absent on a developer's machine, and in a Worker that was deployed without it. */
function deployedAt(env: Environment): number | null {
  const metadata = env['CF_VERSION_METADATA'];
  if (typeof metadata !== 'object' || metadata === null || !('timestamp' in metadata)) return null;
  return typeof metadata.timestamp === 'string' ? readTimestamp(metadata.timestamp) : null;
}

function idVariable(env: Environment, name: string, fallback: string, errors: ConfigError[]): string {
  const text = textOf(env, name);
  if (text === null) return fallback;
  if (!isId(text))
    errors.push({
      name,
      problem: 'not an id: letters, digits and ._:- only',
      remedy: `correct it under [vars] in wrangler.toml`,
    });
  return text;
}

/** A list of origins separated by commas or white space. */
function originsVariable(env: Environment, name: string, errors: ConfigError[]): readonly string[] {
  const origins = (textOf(env, name) ?? '').split(/[\s,]+/).filter((origin) => origin !== '');
  for (const origin of origins) {
    const isOrigin = URL.canParse(origin) && new URL(origin).origin === origin && /^https?:/.test(origin);
    if (!isOrigin)
      errors.push({
        name,
        problem: `"${origin}" is not an origin such as https://gateway.example.com`,
        remedy: 'correct it under [vars] in wrangler.toml',
      });
  }
  return origins;
}

/** A variable or secret that is set and not empty; white space around it comes from the shell that set it. */
function textOf(env: Environment, name: string): string | null {
  const value = env[name];
  if (typeof value !== 'string') return null;
  const trimmed = value.trim();
  return trimmed === '' ? null : trimmed;
}
