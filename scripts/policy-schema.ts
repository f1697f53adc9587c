// Writes policy.schema.json, which editors read through the first line of policy.yaml. Generated from the schema that
// validates, so that the two cannot disagree.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';
import { policySchema } from '../src/policy/schema.ts';

/** The JSON Schema (draft 2020-12) of a policy file, as text. */
export function policyJsonSchema(): string {
  const schema = z.toJSONSchema(policySchema, { io: 'input' });
  return `${JSON.stringify({ title: 'Fusebox policy', ...schema }, null, 2)}\n`;
}

if (import.meta.main) {
  const file = fileURLToPath(import.meta.resolve('../policy.schema.json'));
  writeFileSync(file, policyJsonSchema());
  process.stdout.write('wrote policy.schema.json\n');
}
