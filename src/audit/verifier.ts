// Says whether a log is whole, and if not, which row is the first that is not what it was. Takes the lines of an export or
// an archive one by one and keeps little of them; reads no file and asks nobody.
import { createHash } from 'node:crypto';
import { type ChainHead, genesis, type LogName } from './chain.ts';
import type { CheckpointReading } from './checkpoint.ts';
import type { LogLine, RowLine } from './log-line.ts';

type LogProblem =
  | 'malformed'
  | 'header-missing'
  | 'other-log'
  | 'changed'
  | 'dropped'
  | 'swapped'
  | 'inserted'
  | 'cut-off'
  | 'rewritten'
  | 'checkpoint-forged'
  | 'checkpoint-unknown-key'
  | 'checkpoint-misplaced'
  | 'ledger-changed'
  | 'archive-changed';

export interface FirstBad {
  /** From 1, the header included. One past the last where what is missing would have stood at the end. */
  readonly line: number;
  /** Of the row that is not what, or where, it was; null where no row is meant. */
  readonly seq: number | null;
  readonly problem: LogProblem;
  /** One sentence for people. */
  readonly detail: string;
}

export interface Verdict {
  readonly valid: boolean;
  readonly rows: number;
  /** Those that were found true before anything was found wrong. */
  readonly checkpoints: number;
  readonly lastCheckpoint: { readonly seq: number; readonly atMs: number } | null;
  /** Rows after the last checkpoint: chained, and vouched for by nobody's signature. */
  readonly unsignedRows: number;
  readonly firstBad: FirstBad | null;
}

/** A checkpoint that comes later than this after its row cannot be compared with it any more. */
const MAX_REMEMBERED_HASHES = 100_000;

export class LogVerifier {
  readonly #expected: LogName | null;
  #name: LogName | null = null;
  #line = 0;
  #rows = 0;
  #checkpoints = 0;
  #head: ChainHead = { seq: 0, hash: '' };
  /** The line of the last row that stood in its place. */
  #headLine = 0;
  #signed: { readonly seq: number; readonly hash: string; readonly atMs: number } | null = null;
  #firstUnsignedLine = 0;
  /** Of the rows since the last checkpoint, and of that one. */
  readonly #hashes = new Map<number, string>();
  /** A row that came too early: what follows tells whether the one before it was dropped. */
  #gap: { readonly missing: number; readonly found: number } | null = null;
  #bad: FirstBad | null = null;
  #ended = false;
  readonly #ledger = createHash('sha256');
  #closing: unknown = null;

  /** `expected`: the log that it has to be; null to take it for the one that its header names. */
  constructor(expected: LogName | null) {
    this.#expected = expected;
  }

  step(line: LogLine): void {
    this.#line += 1;
    if (this.#ended) return this.#find({ seq: null, problem: 'malformed', detail: 'Something follows the last line.' });
    if (this.#name === null && line.kind !== 'header') {
      this.#name = { deployment: '', log: '' };
      this.#find({
        line: 1,
        seq: null,
        problem: 'header-missing',
        detail: 'The first line is not the header of a log.',
      });
    }
    switch (line.kind) {
      case 'header':
        return this.#header(line.name);
      case 'row':
        return this.#row(line);
      case 'checkpoint':
        return this.#checkpoint(line.reading);
      case 'ledger':
        this.#ledger.update(`${line.text}\n`);
        return undefined;
      case 'end':
        return this.#end(line);
      case 'malformed':
        return this.#find({ seq: this.#head.seq + 1, problem: 'malformed', detail: `The line is ${line.reason}.` });
    }
  }

  /** The archive that the lines come from is not the one that was put away, and nothing in them tells where. */
  blameArchive(): void {
    const detail = 'The archive does not have the digest that was noted when it was made.';
    this.#find({ line: this.#line, seq: null, problem: 'archive-changed', detail });
  }

  /** What is to be said of the lines so far, taken for the whole log. */
  verdict(): Verdict {
    if (!this.#ended) {
      const seq = this.#head.seq + 1;
      this.#find({
        line: this.#line + 1,
        seq,
        problem: 'cut-off',
        detail: 'The log has no last line: it was cut off.',
      });
    }
    const signed = this.#signed;
    return {
      valid: this.#bad === null,
      rows: this.#rows,
      checkpoints: this.#checkpoints,
      lastCheckpoint: signed === null ? null : { seq: signed.seq, atMs: signed.atMs },
      unsignedRows: this.#head.seq - (signed?.seq ?? 0),
      firstBad: this.#bad,
    };
  }

  #header(name: LogName): void {
    if (this.#name !== null) {
      return this.#find({ seq: null, problem: 'malformed', detail: 'A second header stands here.' });
    }
    this.#name = name;
    this.#head = genesis(name);
    this.#hashes.set(0, this.#head.hash);
    const expected = this.#expected;
    if (expected !== null && (expected.deployment !== name.deployment || expected.log !== name.log)) {
      this.#find({ seq: null, problem: 'other-log', detail: `This is the log "${name.log}" of "${name.deployment}".` });
    }
    return undefined;
  }

  #row(row: RowLine): void {
    this.#rows += 1;
    if (this.#bad !== null) return this.#explainGap(row);
    const seq = this.#head.seq + 1;
    if (row.computed !== row.hash) {
      return this.#find({ seq, problem: 'changed', detail: `Row ${seq} is not what its hash was made of.` });
    }
    if (row.seq > seq) {
      this.#gap = { missing: seq, found: row.seq };
      return this.#find({ seq, problem: 'dropped', detail: `Row ${seq} is missing: row ${row.seq} stands here.` });
    }
    if (row.seq < seq) {
      const detail = `A row ${row.seq} stands where row ${seq} belongs; there was one before.`;
      return this.#find({ seq: row.seq, problem: 'inserted', detail });
    }
    if (row.prev !== this.#head.hash) return this.#breakAt(seq);
    if (this.#head.seq === (this.#signed?.seq ?? 0)) this.#firstUnsignedLine = this.#line;
    this.#head = { seq, hash: row.hash };
    this.#headLine = this.#line;
    this.#closing = row.members['ledger'] ?? this.#closing;
    this.#hashes.set(seq, row.hash);
    const oldest = seq - MAX_REMEMBERED_HASHES;
    if (this.#hashes.has(oldest)) this.#hashes.delete(oldest);
    return undefined;
  }

  /** Row `seq` follows on another one than stands before it. Which of both is wrong, a checkpoint between them knows. */
  #breakAt(seq: number): void {
    const before = seq - 1;
    if (before === 0) {
      return this.#find({ seq, problem: 'other-log', detail: 'Row 1 does not begin the log that the header names.' });
    }
    if (this.#signed?.seq === before) {
      return this.#find({
        seq,
        problem: 'changed',
        detail: `Row ${seq} does not follow on row ${before}, which is signed.`,
      });
    }
    const detail = `Row ${before} was changed and hashed anew: row ${seq} followed on another.`;
    return this.#find({ line: this.#headLine, seq: before, problem: 'changed', detail });
  }

  /** Dropped, unless it comes later; put in from elsewhere, if what stood in its place comes again. */
  #explainGap({ seq }: RowLine): void {
    if (this.#gap === null || this.#bad === null) return;
    const { missing, found } = this.#gap;
    if (seq === missing && this.#bad.problem === 'dropped') {
      const detail = `Row ${found} stands where row ${missing} belongs, which comes in line ${this.#line}.`;
      this.#bad = { ...this.#bad, problem: 'swapped', detail };
    }
    if (seq !== found) return;
    const detail = `A row ${found} stands where row ${missing} belongs; there is another in line ${this.#line}.`;
    this.#bad = { ...this.#bad, seq: found, problem: 'inserted', detail };
    this.#gap = null;
  }

  #checkpoint({ checkpoint, signature }: CheckpointReading): void {
    if (this.#bad !== null) return;
    const seq = checkpoint?.seq ?? null;
    if (signature === 'unknown-key') {
      return this.#find({
        seq,
        problem: 'checkpoint-unknown-key',
        detail: 'The checkpoint is signed by no key known here.',
      });
    }
    if (checkpoint === null || signature === 'forged') {
      return this.#find({ seq, problem: 'checkpoint-forged', detail: 'The signature of the checkpoint is not true.' });
    }
    if (checkpoint.deployment !== this.#name?.deployment || checkpoint.log !== this.#name.log) {
      const detail = `The checkpoint is of the log "${checkpoint.log}" of "${checkpoint.deployment}".`;
      return this.#find({ seq, problem: 'other-log', detail });
    }
    return this.#compare(checkpoint.seq, checkpoint.hash, checkpoint.atMs);
  }

  #compare(seq: number, hash: string, atMs: number): void {
    if (seq > this.#head.seq) {
      const first = this.#head.seq + 1;
      const detail = `Rows ${first} to ${seq} are missing: a checkpoint was signed over row ${seq}.`;
      return this.#find({ seq: first, problem: 'cut-off', detail });
    }
    const known = this.#hashes.get(seq);
    if (known === undefined) {
      return this.#find({
        seq,
        problem: 'checkpoint-misplaced',
        detail: `The checkpoint of row ${seq} does not belong here.`,
      });
    }
    if (known !== hash) {
      const first = (this.#signed?.seq ?? 0) + 1;
      const detail = `Rows ${first} to ${seq} are not those that the checkpoint of row ${seq} was signed over.`;
      return this.#find({ line: this.#firstUnsignedLine, seq: first, problem: 'rewritten', detail });
    }
    this.#checkpoints += 1;
    this.#signed = { seq, hash, atMs };
    for (const remembered of this.#hashes.keys()) {
      if (remembered >= seq) break;
      this.#hashes.delete(remembered);
    }
    return undefined;
  }

  #end({ rows, archive }: { readonly rows: number; readonly archive: boolean }): void {
    this.#ended = true;
    const { seq } = this.#head;
    if (rows > seq) {
      const detail = `Rows ${seq + 1} to ${rows} are missing.`;
      return this.#find({ seq: seq + 1, problem: 'cut-off', detail });
    }
    if (rows < seq) {
      return this.#find({
        seq: rows + 1,
        problem: 'inserted',
        detail: `The log had ${rows} rows when it was written.`,
      });
    }
    if (archive && this.#closing !== this.#ledger.digest('hex')) {
      const detail = 'The entries of the ledger are not those that the log was closed over.';
      return this.#find({ seq: null, problem: 'ledger-changed', detail });
    }
    return undefined;
  }

  /** The first finding stands. */
  #find(finding: Omit<FirstBad, 'line'> & { readonly line?: number }): void {
    this.#bad ??= { line: this.#line, ...finding };
  }
}
