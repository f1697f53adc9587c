// `npm run simulate`: the model-based test at length, and once for each rule switched off. Prints what was found and
// after how much; fails if the ledger breaks, or if a missing rule goes unnoticed.
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { pathToFileURL } from 'node:url';
import { MUTATIONS, type Mutation } from './mutations.ts';
import { simulate } from './simulation.ts';
import type { Domain } from './simulated-object.ts';

const SOURCE = join(import.meta.dirname, '../../src');
const OPERATIONS_PER_LIFE = 400;

const { values } = parseArgs({
  options: {
    seed: { type: 'string', default: '1' },
    lives: { type: 'string', default: '2500' },
    'mutant-lives': { type: 'string', default: '4000' },
  },
});
const firstSeed = Number(values.seed);

/** Finds code however it is wrapped. */
function anywhere(code: string): RegExp {
  return new RegExp(
    code
      .trim()
      .replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`)
      .replaceAll(/\s+/g, String.raw`\s+`),
  );
}

async function load(mutation: Mutation | null): Promise<{ domain: Domain; discard: () => Promise<void> }> {
  const directory = await mkdtemp(join(tmpdir(), 'fusebox-simulate-'));
  await cp(SOURCE, directory, { recursive: true });
  if (mutation !== null) {
    const file = join(directory, 'session', mutation.file);
    const text = await readFile(file, 'utf8');
    const find = anywhere(mutation.find);
    if (text.split(find).length !== 2)
      throw new Error(`rule ${mutation.rule}: "${mutation.find}" is not in ${mutation.file} exactly once`);
    await writeFile(
      file,
      text.replace(find, () => mutation.replace),
    );
  }
  const module = async (name: string): Promise<unknown> => import(pathToFileURL(join(directory, 'session', name)).href);
  const domain = {
    admission: (await module('admission.ts')) as Domain['admission'],
    ledger: (await module('ledger.ts')) as Domain['ledger'],
    commit: (await module('ledger-commit.ts')) as Domain['commit'],
    session: (await module('session.ts')) as Domain['session'],
  };
  return { domain, discard: () => rm(directory, { recursive: true, force: true }) };
}

/** The first violation, and how many operations it took; null when there was none. */
function search(domain: Domain, lives: number): { readonly message: string; readonly operations: number } | null {
  for (let life = 0; life < lives; life += 1) {
    try {
      simulate(domain, firstSeed + life, OPERATIONS_PER_LIFE);
    } catch (error) {
      return {
        message: error instanceof Error ? error.message : String(error),
        operations: (life + 1) * OPERATIONS_PER_LIFE,
      };
    }
  }
  return null;
}

let failures = 0;
const started = performance.now();
const whole = await load(null);
const broken = search(whole.domain, Number(values.lives));
await whole.discard();
if (broken === null)
  console.log(
    `all rules on: ${Number(values.lives) * OPERATIONS_PER_LIFE} operations, seeds from ${firstSeed}, no violation`,
  );
else {
  failures += 1;
  console.log(`all rules on: BROKEN: ${broken.message}`);
}
for (const mutation of MUTATIONS) {
  const { domain, discard } = await load(mutation);
  const found = search(domain, Number(values['mutant-lives']));
  await discard();
  if (found === null) failures += 1;
  const verdict = found === null ? 'NOT FOUND' : `found within ${found.operations} operations: ${found.message}`;
  console.log(`rule ${mutation.rule} off (${mutation.what}): ${verdict}`);
}
console.log(
  `${MUTATIONS.length} mutations, ${failures} failures, ${((performance.now() - started) / 1_000).toFixed(1)} s`,
);
process.exitCode = failures === 0 ? 0 : 1;
