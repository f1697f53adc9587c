// A session's object without its platform: the real decisions on a disk that can lose what it has not confirmed. It
// does what session-object.ts does with decisions, and crashes when it is told to.
import { takeLines } from '../../src/audit/trail.ts';
import type { LedgerEntry } from '../../src/rpc/session-rpc.ts';
import type * as Admission from '../../src/session/admission.ts';
import type * as LedgerModule from '../../src/session/ledger.ts';
import type * as CommitModule from '../../src/session/ledger-commit.ts';
import type * as SessionModule from '../../src/session/session.ts';

/** The code under test; a mutation run hands in a changed copy. */
export interface Domain {
  readonly admission: typeof Admission;
  readonly ledger: typeof LedgerModule;
  readonly commit: typeof CommitModule;
  readonly session: typeof SessionModule;
}

interface Disk {
  readonly image: SessionModule.SessionImage;
  readonly entries: readonly LedgerEntry[];
  readonly log: readonly string[];
}

export class SimulatedObject {
  readonly #domain: Domain;
  #memory: SessionModule.Session;
  #durable: Disk;
  /** Written, not confirmed: a crash may keep or lose it. */
  #inFlight: Disk | null = null;
  /** Callers that are answered once the disk has what they asked for: by the next batch, or by the one in flight. */
  #awaitingNext: (() => void)[] = [];
  #awaitingFlight: (() => void)[] = [];

  constructor(domain: Domain, session: SessionModule.Session) {
    this.#domain = domain;
    this.#memory = session;
    this.#durable = this.#take({ gated: true });
  }

  get session(): SessionModule.Session {
    return this.#memory;
  }

  /** The lines of the log that are on disk. */
  get durableLog(): readonly string[] {
    return [...this.#durable.log, ...(this.#durable.image.trail?.riding ?? [])];
  }

  get durableImage(): SessionModule.SessionImage {
    return this.#durable.image;
  }

  /** Carries out a decision's write. */
  apply<T>(decision: SessionModule.Decision<T>): T {
    if (decision.write) this.writeNow();
    return decision.answer;
  }

  writeNow(): void {
    const before = this.#inFlight ?? this.#durable;
    this.#durable = added(before, this.#take({ gated: true }));
    this.#inFlight = null;
    for (const answer of [...this.#awaitingFlight, ...this.#awaitingNext]) answer();
    this.#awaitingFlight = [];
    this.#awaitingNext = [];
  }

  /** Calls back once everything in memory is durable; never, if the object dies before. */
  whenDurable(answer: () => void): void {
    this.#awaitingNext.push(answer);
  }

  startBatch(nowMs: number): void {
    const { ledger } = this.#memory;
    if (
      this.#inFlight !== null ||
      !(ledger.dirty || this.#awaitingNext.length > 0 || this.#domain.commit.needsSeal(ledger, nowMs))
    )
      return;
    this.#nowMs = nowMs;
    this.#inFlight = added(this.#durable, this.#take({ gated: false }));
    this.#awaitingFlight = this.#awaitingNext;
    this.#awaitingNext = [];
  }

  confirmBatch(): void {
    if (this.#inFlight === null) return;
    this.#durable = this.#inFlight;
    this.#inFlight = null;
    this.#domain.commit.confirm(this.#memory.ledger);
    for (const answer of this.#awaitingFlight) answer();
    this.#awaitingFlight = [];
  }

  /** Dies and comes back: memory is gone, and so is the batch in flight unless it happened to land. */
  crash(options: { readonly batchLands: boolean; readonly nowMs: number }): void {
    if (options.batchLands && this.#inFlight !== null) this.#durable = this.#inFlight;
    this.#inFlight = null;
    this.#awaitingFlight = [];
    this.#awaitingNext = [];
    this.#nowMs = options.nowMs;
    this.#memory = this.#domain.session.loadSession(structuredClone(this.#durable.image), 'simulation', options.nowMs);
  }

  /** The end of the constructor: what the crash put in doubt is written down with its end. */
  wake(): void {
    if (this.#memory.ledger.dirty) this.writeNow();
  }

  /** What a settlement or extension does first: an ended request is brought back from disk. */
  recall(id: string): void {
    if (this.#domain.ledger.knows(this.#memory.ledger, id)) return;
    for (const entry of this.#entries()) {
      if (this.#domain.ledger.tellsOf(entry, id)) this.#domain.ledger.remember(this.#memory.ledger, entry);
    }
  }

  /** Every ended entry, on disk or not. */
  allEntries(): LedgerEntry[] {
    return [...this.#entries(), ...this.#memory.ledger.pending];
  }

  setTime(nowMs: number): void {
    this.#nowMs = nowMs;
  }

  #nowMs = 0;

  #entries(): readonly LedgerEntry[] {
    return (this.#inFlight ?? this.#durable).entries;
  }

  #take(how: { gated: boolean }): Disk {
    const { image, entries } = this.#domain.commit.commit(this.#memory.ledger, how, this.#nowMs);
    const log = takeLines(this.#memory.trail, { withOthers: entries.length > 0 }, this.#nowMs);
    return { image: structuredClone(this.#domain.session.imageOf(this.#memory, image)), entries, log };
  }
}

/** What is on disk after another write. */
function added(before: Disk, { image, entries, log }: Disk): Disk {
  return { image, entries: [...before.entries, ...entries], log: [...before.log, ...log] };
}
