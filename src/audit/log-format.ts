// A log as it leaves the deployment: NDJSON of one header, rows (chain.ts), checkpoints, in an archive the entries of the
// ledger, and a last line that says how many rows there were. Writes the lines; reads none.
import type { LogName } from './chain.ts';

/** Of the file: readers refuse what they do not know. */
export const FORMAT = 1;

export function headerLine({ deployment, log }: LogName): string {
  return JSON.stringify({ format: FORMAT, deployment, log });
}

export function checkpointLine(jws: string): string {
  return JSON.stringify({ checkpoint: jws });
}

export function ledgerLine(entry: object): string {
  return JSON.stringify({ ledger: entry });
}

/** The last line: without it a file was cut off. */
export function endLine(how: 'end' | 'archive', rows: number): string {
  return JSON.stringify({ [how]: { rows } });
}
