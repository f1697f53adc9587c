// A policy as an operator puts it at run time: read by the same parser as the deployed file, under the same local routes,
// and never a way to change who may change it.
import { mergePolicies } from './merge.ts';
import { parsePolicy, type PolicyReading } from './parse.ts';
import type { Policy } from './policy.ts';
import type { UpstreamRules } from './upstream-url.ts';
import { readYaml } from './yaml-source.ts';

/** What a run-time version is laid over. */
export interface PolicyGround {
  /** The file deployed, local routes not counted. */
  readonly deployed: Policy;
  /** policy.local.yaml, in local development. */
  readonly local: Policy | null;
  readonly rules: UpstreamRules;
}

/**
 * The policy that a text makes here: with the routes of the local one added and the section `admin` of the deployed file,
 * whatever the text says.
 */
export function readRunTimePolicy(text: string, { deployed, local, rules }: PolicyGround): PolicyReading {
  const reading = parsePolicy(text, rules);
  if (!reading.ok) return reading;
  const policy = { ...reading.policy, admin: deployed.admin };
  if (local === null) return { ok: true, policy };
  const merged = mergePolicies(policy, local);
  return merged.ok ? merged : { ok: false, errors: [{ line: 1, column: 1, path: 'routes', reason: merged.reason }] };
}

/** The same for a text that an operator sends: one that changes `admin` is refused, rather than taken without it. */
export function readOperatorsPolicy(text: string, ground: PolicyGround): PolicyReading {
  const alone = parsePolicy(text, ground.rules);
  if (!alone.ok || JSON.stringify(alone.policy.admin) === JSON.stringify(ground.deployed.admin))
    return readRunTimePolicy(text, ground);
  const source = readYaml(text);
  source.report(
    ['admin'],
    'is not that of the deployed file, which alone says who may use the control plane',
    'on-key',
  );
  return { ok: false, errors: source.errors };
}
