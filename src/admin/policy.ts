// The calls on the policy: look, validate, put a version in force, go back to another one or to the deployed file. What a
// version means the parser says, here; which one holds the control object decides.
import type * as z from 'zod';
import type { Problem } from '../http/problem.ts';
import { timestamp } from '../http/timestamp.ts';
import { MAX_POLICY_BODY_BYTES } from '../limits.ts';
import { digestOf } from '../policy/digest.ts';
import { describePolicyError, type PolicyError } from '../policy/parse.ts';
import { readOperatorsPolicy } from '../policy/run-time.ts';
import type { DeployedFile, PolicyState, PolicyVersion } from '../rpc/policy-rpc.ts';
import type { Config } from '../config.ts';
import { adminRoute, type AdminParts, type AdminRoute, type Answered, json, reach } from './route.ts';
import {
  noQuery,
  policyAnswer,
  policyBody,
  policyPutAnswer,
  policyPutQuery,
  policyQuery,
  policyVersionsAnswer,
} from './schemas.ts';

const CONTROL = 'the control object';
const UNKNOWN: Problem = { code: 'resource-unknown', detail: 'No version of the policy with this digest is kept.' };
const MAX_ERRORS_TOLD = 5;

export const policyRoutes: readonly AdminRoute[] = [
  adminRoute({
    method: 'GET',
    path: '/admin/policy',
    role: 'viewer',
    summary: 'The policy in force, or with digest= a version that is kept.',
    body: null,
    query: policyQuery,
    answer: { status: 200, description: 'Its text, and where it comes from.', schema: policyAnswer },
    async handle({ query }, { parts }) {
      const state = await reach(parts.control.policyState(), CONTROL);
      return shown(parts, state, query.digest ?? inForce(state, parts.config));
    },
  }),
  adminRoute({
    method: 'PUT',
    path: '/admin/policy',
    role: 'operator',
    summary:
      'Put a policy in force: a new text (yaml), a version that is kept (digest), or the deployed file again (deployed: true). With dry_run=true only validate it.',
    body: policyBody,
    maxBodyBytes: MAX_POLICY_BODY_BYTES,
    query: policyPutQuery,
    answer: { status: 200, description: 'The policy in force.', schema: policyPutAnswer },
    async handle({ body, query, act }, { parts, background }) {
      const text = await textOf(parts, body);
      if (typeof text === 'object' && text !== null) return text;
      if (text !== null) {
        const reading = readOperatorsPolicy(text, parts.config.policyGround);
        if (!reading.ok) return invalid(reading.errors);
      }
      const digest = text === null ? parts.config.policyGround.deployed.digest : digestOf(text);
      if (query.dry_run === 'true') return json(200, { dry_run: true, digest });
      if (body.reason === undefined) return { code: 'bad-request', detail: 'reason is missing.' };
      const deployed = deployedFile(parts.config);
      const state = await reach(parts.control.setPolicy({ text, deployed, act: act(body.reason) }), CONTROL);
      await parts.headChanged(background);
      return shown(parts, state, inForce(state, parts.config));
    },
  }),
  adminRoute({
    method: 'GET',
    path: '/admin/policy/versions',
    role: 'viewer',
    summary: 'What happened to the policy, newest first: who put which version in force, when and why.',
    body: null,
    query: noQuery,
    answer: { status: 200, description: 'All that is kept.', schema: policyVersionsAnswer },
    async handle(_input, { parts }) {
      const versions = await reach(parts.control.policyVersions(), CONTROL);
      return json(200, { versions: versions.map(versionJson) });
    },
  }),
];

/** The file that this Worker was deployed with, as the control object wants to know it. */
export function deployedFile({ policyGround, deployedAtMs }: Config): DeployedFile {
  return { digest: policyGround.deployed.digest, deployedAtMs };
}

/** The text that is to be in force; null for the deployed file; a problem where no such version is kept. */
async function textOf(parts: AdminParts, body: z.output<typeof policyBody>): Promise<string | null | Problem> {
  if (body.yaml !== undefined) return body.yaml;
  return body.digest === undefined ? null : ((await keptText(parts, body.digest)) ?? UNKNOWN);
}

async function keptText({ config, control }: AdminParts, digest: string): Promise<string | null> {
  if (digest === config.policyGround.deployed.digest) return config.policyText;
  return reach(control.policyText(digest), CONTROL);
}

function inForce({ newest }: PolicyState, { policyGround }: Config): string {
  return newest?.kind === 'run-time' ? newest.digest : policyGround.deployed.digest;
}

async function shown(parts: AdminParts, state: PolicyState, digest: string): Promise<Answered> {
  const yaml = await keptText(parts, digest);
  if (yaml === null) return UNKNOWN;
  const deployed = parts.config.policyGround.deployed.digest;
  const { newest } = state;
  const isRunTime = newest?.kind === 'run-time';
  const current = inForce(state, parts.config);
  return json(200, {
    digest,
    in_force: digest === current,
    yaml,
    current: {
      digest: current,
      source: isRunTime ? 'run-time' : 'deployed',
      ...(newest !== null && (isRunTime || newest.digest === deployed)
        ? { since: timestamp(newest.atMs), by: newest.by, reason: newest.reason }
        : { since: null, by: null, reason: null }),
    },
    deployed,
    drift: current !== deployed,
  });
}

function versionJson({ kind, digest, atMs, by, reason }: PolicyVersion): Readonly<Record<string, unknown>> {
  return { event: kind, digest, at: timestamp(atMs), by, reason };
}

/** The first errors in words, and the very first as members, for programs. */
function invalid(errors: readonly PolicyError[]): Problem {
  const told = errors.slice(0, MAX_ERRORS_TOLD).map((error) => describePolicyError('yaml', error));
  const more = errors.length > told.length ? ` and ${errors.length - told.length} more` : '';
  const [first] = errors;
  return {
    code: 'bad-request',
    detail: `The policy is not valid; nothing was changed. ${told.join('; ')}${more}.`,
    ...(first === undefined
      ? {}
      : {
          evidence: {
            line: first.line,
            column: first.column,
            path: first.path,
            reason: first.reason,
            errors: errors.length,
          },
        }),
  };
}
