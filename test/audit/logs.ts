// Logs for the tests of the chain: rows of every kind, with checkpoints where they are asked for.
import { type ChainHead, genesis, link, type LogName, sessionLog } from '../../src/audit/chain.ts';
import { type Checkpoint, ringKeys, signCheckpoint } from '../../src/audit/checkpoint.ts';
import { checkpointLine, endLine, headerLine } from '../../src/audit/log-format.ts';
import { readLogLine } from '../../src/audit/log-line.ts';
import { type Demand, LogVerifier, type Verdict } from '../../src/audit/verifier.ts';
import { type KeyRing, readSigningKeys } from '../../src/signing/signing-keys.ts';
import { makeSigningKeys } from '../../scripts/secrets.ts';

export const NAME: LogName = sessionLog('test', 'fusebox~session-1');
const START_MS = 1_800_000_000_000;

export async function newKeys(): Promise<KeyRing> {
  const reading = await readSigningKeys(await makeSigningKeys());
  if (!reading.ok) throw new Error(reading.reason);
  return reading.keys;
}

/** A head after so many rows, and the rows. */
export function chained(rows: number, name = NAME): { readonly lines: string[]; readonly heads: ChainHead[] } {
  const lines: string[] = [];
  const heads = [genesis(name)];
  for (let index = 0; index < rows; index += 1) {
    const entry = { event: 'settled', id: `request-${index}`, cost_micro_usd: index * 7, reason: 'completed' };
    const { head, line } = link(heads[index] ?? genesis(name), entry, START_MS + index);
    heads.push(head);
    lines.push(line);
  }
  return { lines, heads };
}

export async function signed(keys: KeyRing, head: ChainHead, more: Partial<Checkpoint> = {}): Promise<string> {
  return checkpointLine(await signCheckpoint({ ...NAME, ...head, atMs: START_MS, ...more }, keys));
}

/** A whole export: header, rows with a checkpoint after each of `checkpointsAt`, end. */
export async function exported(
  keys: KeyRing,
  { rows, checkpointsAt }: { readonly rows: number; readonly checkpointsAt: readonly number[] },
): Promise<string[]> {
  const { lines, heads } = chained(rows);
  const all = [headerLine(NAME)];
  for (const [index, line] of lines.entries()) {
    all.push(line);
    const head = heads[index + 1];
    if (head !== undefined && checkpointsAt.includes(head.seq)) all.push(await signed(keys, head));
  }
  return [...all, endLine('end', rows)];
}

export async function verified(
  lines: readonly string[],
  { keys, expected = {} }: { readonly keys: KeyRing | null; readonly expected?: Demand['expected'] },
): Promise<Verdict> {
  const verifier = new LogVerifier({ expected, signed: keys !== null });
  for (const line of lines) verifier.step(await readLogLine(line, keys === null ? null : ringKeys(keys)));
  return verifier.verdict();
}
