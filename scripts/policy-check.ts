// Says what is wrong with a policy file, and where: `npm run policy:check policy.yaml`. Exit code 1 where anything is.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { describePolicyError, parsePolicy } from '../src/policy/parse.ts';

/** The errors of one file, one line each. Loopback upstreams are fine in what is named a local policy. */
export function checkPolicyFile(file: string): readonly string[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return [`${file}: cannot be read`];
  }
  const reading = parsePolicy(text, { allowLoopback: basename(file).includes('.local.') });
  return reading.ok ? [] : reading.errors.map((error) => describePolicyError(file, error));
}

if (import.meta.main) {
  const files = process.argv.slice(2);
  const errors = (files.length === 0 ? ['policy.yaml'] : files).flatMap(checkPolicyFile);
  for (const error of errors) process.stderr.write(`${error}\n`);
  if (errors.length > 0) process.exitCode = 1;
  else process.stdout.write('no errors\n');
}
