// Reads the lines of a log one by one (log-format.ts writes them). Whether they belong together is verifier.ts's.
import type { JsonObject } from '../json/small-json.ts';
import { isJsonObject, readStrictJson } from '../json/small-json.ts';
import { canonicalJson } from './canonical-json.ts';
import { hashOf, lineOf, type LogName } from './chain.ts';
import { FORMAT } from './log-format.ts';
import { type CheckpointKeys, type CheckpointReading, readCheckpoint } from './checkpoint.ts';

const SHA256_HEX = /^[0-9a-f]{64}$/;

export interface RowLine {
  readonly kind: 'row';
  readonly seq: number;
  readonly prev: string;
  readonly hash: string;
  /** What the hash has to be for this row and the `prev` that it states. */
  readonly computed: string;
  readonly members: JsonObject;
}

export type LogLine =
  | { readonly kind: 'header'; readonly name: LogName }
  | RowLine
  | { readonly kind: 'checkpoint'; readonly reading: CheckpointReading }
  /** An entry of the ledger in an archive: bound to the log by the digest in its last rows. */
  | { readonly kind: 'ledger'; readonly text: string; readonly entry: JsonObject }
  | { readonly kind: 'end'; readonly rows: number; readonly archive: boolean }
  /** `reason` goes on after "The line". */
  | { readonly kind: 'malformed'; readonly reason: string };

/** Reads one line without its newline. Checkpoints are checked against `keys`; null: their signatures are not checked. */
export async function readLogLine(text: string, keys: CheckpointKeys | null): Promise<LogLine> {
  const object = parse(text);
  if (object === null) return malformed('is not a JSON object');
  if ('seq' in object) return readRow(object, text);
  if (typeof object['checkpoint'] === 'string') {
    return { kind: 'checkpoint', reading: await readCheckpoint(object['checkpoint'], keys) };
  }
  const { ledger } = object;
  if (isJsonObject(ledger)) return { kind: 'ledger', text, entry: ledger };
  return readFrame(object);
}

function readRow(object: JsonObject, text: string): LogLine {
  const { prev, hash, ...body } = object;
  const { seq } = body;
  if (typeof seq !== 'number' || !Number.isSafeInteger(seq) || seq < 1)
    return malformed('has a "seq" that is no row number');
  if (!isHash(prev) || !isHash(hash)) return malformed('has a "prev" or "hash" that is no SHA-256 in hex');
  let canonical: string;
  try {
    canonical = canonicalJson(body);
  } catch {
    return malformed('has no canonical form');
  }
  // Rows that were written by someone else's JSON library still count; a name given twice would be read in two ways.
  if (lineOf(canonical, prev, hash) !== text && !readStrictJson(text).ok) return malformed('can be read in two ways');
  return { kind: 'row', seq, prev, hash, computed: hashOf(prev, canonical), members: body };
}

function readFrame(object: JsonObject): LogLine {
  const { format, deployment, log } = object;
  if (format === FORMAT && typeof deployment === 'string' && typeof log === 'string') {
    return { kind: 'header', name: { deployment, log } };
  }
  for (const how of ['end', 'archive'] as const) {
    const end = object[how];
    if (isJsonObject(end) && typeof end['rows'] === 'number') {
      return { kind: 'end', rows: end['rows'], archive: how === 'archive' };
    }
  }
  return malformed('is neither a row nor anything else that belongs in a log');
}

function parse(text: string): JsonObject | null {
  try {
    const value = JSON.parse(text) as JsonObject[string];
    return isJsonObject(value) ? value : null;
  } catch {
    return null;
  }
}

function isHash(value: unknown): value is string {
  return typeof value === 'string' && SHA256_HEX.test(value);
}

function malformed(reason: string): LogLine {
  return { kind: 'malformed', reason };
}
