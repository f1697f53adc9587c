// Says whether a log is whole, and if not, which row is the first that is not what it was. Takes the lines of an export or
// an archive one by one and keeps little of them; reads no file and asks nobody.
import { createHash } from 'node:crypto';
import { type ChainHead, genesis, type LogName } from './chain.ts';
import type { CheckpointReading } from './checkpoint.ts';
import { LedgerWitness } from './ledger-witness.ts';
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
  | 'unsigned'
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
  /** Which log it says it is; null where it has no header. */
  readonly name: LogName | null;
  readonly rows: number;
  /** Those that were found true before anything was found wrong. */
  readonly checkpoints: number;
  readonly lastCheckpoint: { readonly seq: number; readonly atMs: number } | null;
  /** Rows after the last checkpoint: chained, and vouched for by nobody's signature. */
  readonly unsignedRows: number;
  readonly firstBad: FirstBad | null;
}

/** What a log has to be, beside whole. */
export interface Demand {
  /** The log, or only its name; what is left out may be anything. */
  readonly expected: Partial<LogName>;
  /** Checkpoints are checked against keys, and one has to vouch for the last row. */
  readonly signed: boolean;
}

/** A checkpoint that comes later than this after its row cannot be compared with it any more. */
const MAX_REMEMBERED_ROWS = 100_000;

export class LogVerifier {
  readonly #demand: Demand;
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
  readonly #known = new Map<number, { readonly hash: string; readonly line: number }>();
  /** A row that came too early: what follows tells whether the one before it was dropped. */
  #gap: { readonly missing: number; readonly found: number } | null = null;
  #bad: FirstBad | null = null;
  #ended = false;
  readonly #ledger = createHash('sha256');
  readonly #witness = new LedgerWitness();
  #inLedger = false;
  #closing: unknown = null;

  constructor(demand: Demand) {
    this.#demand = demand;
  }

  step(line: LogLine): void {
    this.#line += 1;
    if (this.#ended) return this.#find({ seq: null, problem: 'malformed', detail: 'Something follows the last line.' });
    if (this.#line === 1 && line.kind !== 'header') {
      this.#find({ seq: null, problem: 'header-missing', detail: 'The first line is not the header of a log.' });
    }
    switch (line.kind) {
      case 'header':
        return this.#header(line.name);
      case 'row':
        return this.#row(line);
      case 'checkpoint':
        return this.#checkpoint(line.reading);
      case 'ledger':
        this.#inLedger = true;
        this.#ledger.update(`${line.text}\n`);
        return this.#witness.entry(this.#line, line.entry);
      case 'end':
        return this.#end(line);
      case 'malformed':
        return this.#malformed(line.reason);
    }
  }

  /** After the entries of a ledger come no rows; before, the next row is what should stand there. */
  #malformed(reason: string): void {
    const seq = this.#inLedger ? null : this.#head.seq + 1;
    this.#find({ seq, problem: 'malformed', detail: `The line ${reason}.` });
  }

  /** The archive that the lines come from is not the one that was put away; `found`: where, if it is known. */
  blameArchive(found: FirstBad | null): void {
    const detail = 'The archive does not have the digest that was noted when it was made.';
    this.#find(found ?? { seq: null, problem: 'archive-changed', detail });
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
      name: this.#name,
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
    this.#known.set(0, { hash: this.#head.hash, line: this.#line });
    const { deployment = name.deployment, log = name.log } = this.#demand.expected;
    if (deployment !== name.deployment || log !== name.log) {
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
    this.#witness.row(seq, row.members);
    this.#known.set(seq, { hash: row.hash, line: this.#line });
    this.#known.delete(seq - MAX_REMEMBERED_ROWS);
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
    const known = this.#known.get(seq);
    if (known === undefined) {
      return this.#find({
        seq,
        problem: 'checkpoint-misplaced',
        detail: `The checkpoint of row ${seq} does not belong here.`,
      });
    }
    if (known.hash !== hash) {
      const first = (this.#signed?.seq ?? 0) + 1;
      const detail = `Rows ${first} to ${seq} are not those that the checkpoint of row ${seq} was signed over.`;
      return this.#find({ line: this.#firstUnsignedLine, seq: first, problem: 'rewritten', detail });
    }
    this.#checkpoints += 1;
    this.#signed = { seq, hash, atMs };
    for (const remembered of this.#known.keys()) {
      if (remembered >= seq) break;
      this.#known.delete(remembered);
    }
    this.#firstUnsignedLine = this.#known.get(seq + 1)?.line ?? 0;
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
    if (this.#demand.signed && this.#signed?.seq !== seq) return this.#unsigned(this.#signed?.seq ?? 0, seq);
    if ((archive || this.#inLedger) && this.#closing !== this.#ledger.digest('hex')) {
      const detail = 'The entries of the ledger are not those that the log was closed over.';
      const found = this.#witness.finding();
      const line = found?.line ?? this.#line;
      return this.#find({ line, seq: null, problem: 'ledger-changed', detail: found?.detail ?? detail });
    }
    return undefined;
  }

  /** Whoever has no key can write rows, and hash them: what nobody signed is no evidence. */
  #unsigned(signed: number, last: number): void {
    if (last === 0) {
      return this.#find({ seq: null, problem: 'unsigned', detail: 'No checkpoint says that the log has no rows.' });
    }
    const detail = `No checkpoint vouches for rows ${signed + 1} to ${last}.`;
    return this.#find({ line: this.#firstUnsignedLine, seq: signed + 1, problem: 'unsigned', detail });
  }

  /** The first finding stands. */
  #find(finding: Omit<FirstBad, 'line'> & { readonly line?: number }): void {
    this.#bad ??= { line: this.#line, ...finding };
  }
}
