// Says what is wrong with a policy file, and where: `npm run policy:check policy.yaml`. Exit code 1 where anything is.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describePolicyError, parsePolicy } from '../src/policy/parse.ts';

const USAGE = `usage: npm run policy:check [FILE ...]
  FILE  policy.yaml, where none is named; upstreams on the own machine are fine in NAME.local.yaml only
`;

/** The errors of one file, one line each. Loopback upstreams are fine in what is named a local policy. */
export function checkPolicyFile(file: string): readonly string[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    return [
      `${file}: cannot be read (${error instanceof Error && 'code' in error ? String(error.code) : String(error)})`,
    ];
  }
  const reading = parsePolicy(text, { allowLoopback: basename(file).includes('.local.') });
  return reading.ok ? [] : reading.errors.map((error) => describePolicyError(file, error));
}

function main(args: readonly string[]): number {
  const option = args.find((argument) => argument.startsWith('-'));
  if (option !== undefined) {
    if (option === '--help') process.stdout.write(USAGE);
    else process.stderr.write(`Unknown option '${option}'\n${USAGE}`);
    return option === '--help' ? 0 : 1;
  }
  const errors = (args.length === 0 ? ['policy.yaml'] : args).flatMap(checkPolicyFile);
  for (const error of errors) process.stderr.write(`${error}\n`);
  if (errors.length > 0) return 1;
  process.stdout.write('no errors\n');
  return 0;
}

if (import.meta.main) process.exitCode = main(process.argv.slice(2));
