import { beforeAll, describe, expect, it } from 'vitest';
import { endLine, headerLine } from '../../src/audit/log-format.ts';
import { type LogPart, wholeLog } from '../../src/admin/whole-log.ts';
import type { AuditPage } from '../../src/rpc/session-rpc.ts';
import type { KeyRing } from '../../src/signing/signing-keys.ts';
import { chained, NAME, newKeys, signed, verified } from '../audit/logs.ts';

const { lines: ROWS, heads } = chained(20);
let keys: KeyRing;
const checkpointOf = (seq: number): Promise<string> => signed(keys, heads[seq] ?? { seq: 0, hash: '' });

beforeAll(async () => {
  keys = await newKeys();
});

/** The file of a log that is paged by five lines, and signed up to row `seq` when its first page was asked for. */
async function fileOf(lines: readonly string[], seq: number): Promise<{ all: string[]; pages: number }> {
  let pages = 0;
  const pageFrom = async (cursor: string): Promise<AuditPage> => {
    pages += 1;
    const next = Number(cursor) + 5;
    return {
      name: NAME,
      lines: lines.slice(Number(cursor), next),
      nextCursor: next < lines.length ? String(next) : null,
    };
  };
  const first = { ...(await pageFrom('0')), signed: { seq, line: await checkpointOf(seq) } };
  const parts: LogPart[] = [];
  for await (const part of wholeLog(first, pageFrom)) parts.push(part);
  return { all: parts.flatMap((part) => part.lines), pages };
}

describe('a whole log', () => {
  it.each([1, 4, 5, 6, 12, 19, 20])('ends at row %i, where it was signed, and with its checkpoint', async (seq) => {
    const { all } = await fileOf(ROWS, seq);
    expect(all).toEqual([headerLine(NAME), ...ROWS.slice(0, seq), await checkpointOf(seq), endLine('end', seq)]);
    expect(await verified(all, { keys })).toMatchObject({ valid: true, rows: seq });
  });

  it('has that checkpoint once where it stands among the lines, and none of rows that came later', async () => {
    const lines = [...ROWS.slice(0, 7), await checkpointOf(7), ...ROWS.slice(7, 9), await checkpointOf(9)];
    const { all } = await fileOf(lines, 7);
    expect(all).toEqual([headerLine(NAME), ...lines.slice(0, 8), endLine('end', 7)]);
  });

  it('has it where it stands only after later rows', async () => {
    const { all } = await fileOf([...ROWS.slice(0, 9), await checkpointOf(7)], 7);
    expect(all.slice(-2)).toEqual([await checkpointOf(7), endLine('end', 7)]);
  });

  it('asks for no more pages than it takes', async () => {
    expect((await fileOf(ROWS, 6)).pages).toBe(2);
  });

  it('that lost rows does not look whole', async () => {
    const { all } = await fileOf(ROWS.slice(0, 15), 18);
    expect((await verified(all, { keys })).firstBad).toMatchObject({ seq: 16, problem: 'cut-off' });
  });
});
