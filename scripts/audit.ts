// Says whether a log is whole: `npm run audit -- verify FILE`. Exit code 1 where it is not, or cannot be read.
import { createReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { createGunzip } from 'node:zlib';
import type { CheckpointKeys } from '../src/audit/checkpoint.ts';
import { jwksKeys } from '../src/audit/jwks-keys.ts';
import { readLogLine } from '../src/audit/log-line.ts';
import { isGzip, linesOf, UnreadableLog } from '../src/audit/packing.ts';
import { LogVerifier, type Verdict } from '../src/audit/verifier.ts';

const USAGE = `usage: npm run audit -- verify FILE [--keys JWKS] [--log NAME]
  FILE         a log as the control plane exports it, or an archive (.gz)
  --keys JWKS  where the public keys are: https://HOST/.well-known/jwks.json, or a file of it. Each row has
               to be signed then. Without, the chain is verified and the signatures are not
  --log NAME   which log it has to be: control, or "session ISSUER~SID"
`;

/** What is wrong with the call or with what it names; said without a stack. */
class Mistake extends Error {}

/** Verifies one file, compressed or not. Rejects with a Mistake where it cannot be read at all. */
async function verifyFile(
  file: string,
  { keys, log }: { readonly keys: CheckpointKeys | null; readonly log: string | undefined },
): Promise<Verdict> {
  const verifier = new LogVerifier({ expected: log === undefined ? {} : { log }, signed: keys !== null });
  try {
    for await (const line of linesOf(await opened(file))) verifier.step(await readLogLine(line, keys));
  } catch (error) {
    if (error instanceof UnreadableLog) verifier.step({ kind: 'malformed', reason: error.message });
    else throw new Mistake(`${file}: ${error instanceof Error ? error.message : String(error)}`);
  }
  return verifier.verdict();
}

async function opened(file: string): Promise<AsyncIterable<Uint8Array>> {
  const begin = await firstBytes(file);
  const stream = createReadStream(file);
  return isGzip(begin) ? stream.pipe(createGunzip()) : stream;
}

async function firstBytes(file: string): Promise<Uint8Array> {
  for await (const chunk of createReadStream(file, { end: 1 })) return chunk as Uint8Array;
  return new Uint8Array();
}

async function keysFrom(place: string): Promise<CheckpointKeys> {
  try {
    if (!/^https?:/.test(place)) return await jwksKeys(await readFile(place, 'utf8'));
    const answer = await fetch(place);
    if (!answer.ok) throw new Error(`answered ${answer.status}`);
    return await jwksKeys(await answer.text());
  } catch (error) {
    throw new Mistake(`--keys ${place}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function said(verdict: Verdict, hasKeys: boolean): string {
  const { name } = verdict;
  const which = name === null ? '' : `\nIt is the log "${name.log}" of the deployment "${name.deployment}".`;
  const unchecked = hasKeys ? '' : '\nThe signatures were not checked: name the keys with --keys.';
  return `${found(verdict)}${which}${unchecked}`;
}

function found({ rows, checkpoints, lastCheckpoint, unsignedRows, firstBad }: Verdict): string {
  if (firstBad !== null) return `NOT WHOLE: line ${firstBad.line}: ${firstBad.problem}. ${firstBad.detail}`;
  const unsigned = unsignedRows === 0 ? '' : `; no checkpoint vouches for the last ${counted(unsignedRows, 'row')}`;
  if (lastCheckpoint === null) return `whole: ${counted(rows, 'row')}, vouched for by no checkpoint.`;
  const { seq, atMs } = lastCheckpoint;
  const last = `${checkpoints === 1 ? '' : 'the last '}of row ${seq} at ${new Date(atMs).toISOString()}`;
  return `whole: ${counted(rows, 'row')}, ${counted(checkpoints, 'checkpoint')}, ${last}${unsigned}.`;
}

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

async function main(args: readonly string[]): Promise<number> {
  const { values, positionals } = readArguments(args);
  if (values.help === true) {
    process.stdout.write(USAGE);
    return 0;
  }
  const [command, file, ...rest] = positionals;
  if (command !== 'verify' || file === undefined || rest.length > 0) throw new Mistake(`one file to verify\n${USAGE}`);
  const keys = values.keys === undefined ? null : await keysFrom(values.keys);
  const verdict = await verifyFile(file, { keys, log: values.log });
  process.stdout.write(`${said(verdict, keys !== null)}\n`);
  return verdict.valid ? 0 : 1;
}

function readArguments(args: readonly string[]) {
  try {
    const options = { keys: { type: 'string' }, log: { type: 'string' }, help: { type: 'boolean' } } as const;
    return parseArgs({ args: [...args], options, allowPositionals: true });
  } catch (error) {
    throw new Mistake(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  }
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof Mistake)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exitCode = 1;
  }
}
