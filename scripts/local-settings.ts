// What a gateway on this machine is started with: the policy from its files, the secrets from .dev.vars and the environment.
// Everything is checked here by the Worker's own code, so that a mistake is one clear line and not a gateway that refuses.
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { describeConfigErrors, parseConfig } from '../src/config.ts';
import { mergePolicies } from '../src/policy/merge.ts';
import { describePolicyError, parsePolicy } from '../src/policy/parse.ts';
import type { Policy } from '../src/policy/policy.ts';
import { secretNames } from '../src/policy/template.ts';
import { StartError } from './gateway-process.ts';
import { ensureLocalSecrets } from './secrets.ts';
import { ROOT } from './worker-bundle.ts';

/** Where policy.local.yaml expects the local upstream. */
export const UPSTREAM_PORT = 9_901;

/** The remedies that the Worker names are those of a deployment. */
const WHERE =
  'On this machine it is read from .dev.vars, and from the environment before that. Take a malformed SESSION_SIGNING_KEYS or ' +
  'ADMIN_TOKEN out of .dev.vars: the next start makes a new one.';

/** Variables of the Worker that the environment may set, besides the secrets that the policy names. */
const FROM_ENVIRONMENT = [
  'ADMIN_TOKEN',
  'ADMIN_TOKENS',
  'SESSION_SIGNING_KEYS',
  'ISSUER',
  'AUDIENCE',
  'DEPLOYMENT_ID',
  'PUBLIC_ORIGINS',
  'ADMIN_ORIGINS',
  'HALT',
];

export interface PolicyTexts {
  readonly policyText: string;
  readonly localPolicyText: string | null;
  /** Secrets that its routes need. */
  readonly secretNames: readonly string[];
}

/**
 * The policy to start with: `file`, or policy.yaml with the routes of policy.local.yaml, which go to the local upstream at
 * `upstreamPort`. Throws a StartError with a line for each mistake: file, line, column, key and reason.
 */
export async function readPolicyTexts(options: {
  readonly file: string | null;
  readonly upstreamPort: number;
}): Promise<PolicyTexts> {
  if (options.file !== null) {
    const policyText = await readText(options.file);
    return { policyText, localPolicyText: null, secretNames: neededSecrets(parsed(options.file, policyText)) };
  }
  const policyText = await readText(join(ROOT, 'policy.yaml'));
  const written = await readText(join(ROOT, 'policy.local.yaml'));
  const localPolicyText = written.replaceAll(`127.0.0.1:${UPSTREAM_PORT}`, `127.0.0.1:${options.upstreamPort}`);
  const merged = mergePolicies(parsed('policy.yaml', policyText), parsed('policy.local.yaml', localPolicyText));
  if (!merged.ok) throw new StartError(`policy.local.yaml: ${merged.reason}`);
  return { policyText, localPolicyText, secretNames: neededSecrets(merged.policy) };
}

/**
 * The Worker's variables: those of .dev.vars (made when missing) and, over them, those of the environment. Throws a
 * StartError where one is missing or malformed.
 */
export async function readLocalVars(policy: PolicyTexts): Promise<Readonly<Record<string, string>>> {
  const kept = await keptVars(join(ROOT, '.dev.vars'));
  const vars: Record<string, string> = { ...kept, LOCAL_DEVELOPMENT: '1' };
  for (const name of [...FROM_ENVIRONMENT, ...Object.keys(kept), ...policy.secretNames]) {
    const value = process.env[name];
    if (value !== undefined && value !== '') vars[name] = value;
  }
  const reading = await parseConfig(
    { ...vars, ...(policy.localPolicyText === null ? {} : { POLICY_LOCAL: policy.localPolicyText }) },
    policy.policyText,
  );
  if (!reading.ok) throw new StartError(`${describeConfigErrors(reading.errors)}\n${WHERE}`);
  return vars;
}

async function keptVars(file: string): Promise<Readonly<Record<string, string>>> {
  try {
    return (await ensureLocalSecrets({ file, environment: process.env })).vars;
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    throw new StartError(`${file}: cannot be read and written (${String(error.code)})`);
  }
}

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (error) {
    throw new StartError(
      `${file}: cannot be read (${error instanceof Error && 'code' in error ? String(error.code) : String(error)})`,
    );
  }
}

function parsed(file: string, text: string): Policy {
  const reading = parsePolicy(text, { allowLoopback: true });
  if (reading.ok) return reading.policy;
  throw new StartError(reading.errors.map((error) => describePolicyError(basename(file), error)).join('\n'));
}

function neededSecrets(policy: Policy): string[] {
  return [...policy.routes.values()].flatMap((route) => (route.auth === null ? [] : secretNames(route.auth.value)));
}
