// A whole log as the lines of one file, gathered from the pages that its object hands out. It ends at the row that was
// signed when the first page was asked for: what is written meanwhile belongs to the next file.
import { endLine, headerLine } from '../audit/log-format.ts';
import type { AuditPage, SignedRow } from '../rpc/session-rpc.ts';

const CHECKPOINT_BEGIN = '{"checkpoint":';

/** The first page, by an object that has signed it. */
export type SignedPage = AuditPage & { readonly signed: SignedRow };

/** Some lines of the file, and how the archive is that they may come from. */
export interface LogPart {
  readonly lines: readonly string[];
  readonly archive?: AuditPage['archive'];
}

/** Header, rows and checkpoints up to the signed row, its checkpoint, end. Rejects where a page does. */
export async function* wholeLog(
  first: SignedPage,
  pageFrom: (cursor: string) => Promise<AuditPage | null>,
): AsyncGenerator<LogPart, undefined> {
  const { name, signed } = first;
  let rows = 0;
  let isVouchedFor = false;
  let isFull = false;
  yield { lines: [headerLine(name)] };
  for (let page: AuditPage | null = first; page !== null;) {
    const lines: string[] = [];
    const { lines: found }: AuditPage = page;
    for (const line of found) {
      const isRow: boolean = !line.startsWith(CHECKPOINT_BEGIN);
      isFull = isRow && rows >= signed.seq;
      if (isFull) break;
      if (isRow) rows += 1;
      isVouchedFor ||= line === signed.line;
      lines.push(line);
    }
    yield page.archive === undefined ? { lines } : { lines, archive: page.archive };
    page = isFull || page.nextCursor === null ? null : await pageFrom(page.nextCursor);
  }
  yield { lines: [...(isVouchedFor ? [] : [signed.line]), endLine('end', rows)] };
  return undefined;
}
