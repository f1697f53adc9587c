// The Durable Object of one session: loads, decides, persists, replies. Every decision is session.ts's and
// admission.ts's; here is only when to write, whom to wake and what to tell the control object. It never awaits between
// reading and changing the ledger, and carries no stream.
import { DurableObject } from 'cloudflare:workers';
import { takeLines, unfold } from '../audit/trail.ts';
import {
  ARM_AGAIN_WITHIN_MS,
  BATCH_DELAY_MS,
  IDLE_WRITE_DELAY_MS,
  MAX_LOG_LINES_PER_PAGE,
  SEAL_AFTER_MS,
  UNSEALED_CHECK_MS,
  WATCH_TIMEOUT_MS,
} from '../limits.ts';
import { type ControlNamespace, controlClient } from '../rpc/control-client.ts';
import type {
  Act,
  AdmitAnswer,
  AdmitRequest,
  AuditPage,
  CreateAnswer,
  DenialReport,
  ExtendAnswer,
  ExtendRequest,
  LedgerPage,
  LimitsPatch,
  Receipt,
  SessionAnswer,
  SessionRpc,
  SettleAnswer,
  Settlement,
  WatchAnswer,
  WatchRequest,
} from '../rpc/session-rpc.ts';
import { loadSigningKeys } from '../signing/signing-keys.ts';
import type { Denial } from '../denial.ts';
import { deploymentIdOf, isHalted } from '../deployment.ts';
import { admit, cutDenial, expireDue, extend, settle, voidHold, watch } from './admission.ts';
import { AFTER_ARCHIVE, type ArchiveBucket, ArchiveStore, isArchiveCursor } from './archive-store.ts';
import { Archivist } from './archivist.ts';
import { knows, nextExpiryMs, openEntries, remember } from './ledger.ts';
import { LogSigner } from './log-signer.ts';
import { commit, confirm, isUnsealed, needsSeal } from './ledger-commit.ts';
import {
  type Decision,
  type Session,
  type SessionEvent,
  changeLimits,
  createSession,
  imageOf,
  loadSession,
  noteDenials,
  renewEnd,
  reset,
  revoke,
  standingDenial,
  viewOf,
} from './session.ts';
import { Reporter } from './reporter.ts';
import { SessionStore, type SessionWrite } from './session-store.ts';

interface Env {
  readonly CONTROL: ControlNamespace;
  readonly SESSION_SIGNING_KEYS?: string;
  readonly DEPLOYMENT_ID?: string;
  readonly ISSUER?: string;
  /** Where that is bound: else archives stay in their objects. */
  readonly ARCHIVE?: ArchiveBucket;
}

const OPEN_ENTRIES_CURSOR = 'open';
const HALTED: Denial = { code: 'kill-switch-active', detail: 'Everything is stopped by an operator.' };

export class SessionObject extends DurableObject<Env> implements SessionRpc {
  readonly #store: SessionStore;
  readonly #signer: LogSigner;
  readonly #archivist: Archivist;
  readonly #reporter: Reporter;
  #session: Session | null;
  /** When the alarm is set for; null when this incarnation has not set one. */
  #alarmAtMs: number | null = null;
  #flushTimer: ReturnType<typeof setTimeout> | null = null;
  #flushAtMs = Number.POSITIVE_INFINITY;
  /** Those who wait for what is in memory now to be durable. */
  #waiting: { resolve: () => void; reject: (reason: unknown) => void }[] = [];
  #flushing = false;
  /** The count of refusals rides with other writes, or goes alone when nothing else is to be written. */
  #deniedOnDisk = 0;
  readonly #watchers = new Map<string, (answer: WatchAnswer) => void>();
  readonly #isHalted: boolean;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#isHalted = isHalted({ ...env });
    this.#store = new SessionStore(ctx.storage);
    const secret = env.SESSION_SIGNING_KEYS ?? '';
    this.#signer = new LogSigner(secret);
    this.#archivist = new Archivist({
      store: this.#store,
      archives: new ArchiveStore(ctx.storage, env.ARCHIVE),
      keys: () => loadSigningKeys(secret),
      write: (session) => this.#writeNow(session),
      sign: (session) => this.#signAll(session),
    });
    this.#reporter = new Reporter({
      control: () => controlClient(env.CONTROL),
      write: (session) => this.#writeNow(session),
    });
    const head = this.#store.readHead();
    this.#session = head === null ? null : loadSession(head, deploymentIdOf({ ...env }), Date.now());
    if (this.#session !== null) this.#signer.reached(this.#session.trail.head);
    this.#deniedOnDisk = this.#session?.counts.denied ?? 0;
    // What is in doubt from now on has its end, and the alarm for it, on disk.
    if (this.#session?.ledger.dirty === true) this.#writeNow(this.#session);
    // An alarm that was set just before the last incarnation died may not have reached the runtime. The archive's, weeks
    // ahead, was set long before.
    else if (this.#session !== null && this.#dueMs(this.#session) < Date.now() + ARM_AGAIN_WITHIN_MS)
      this.#arm(this.#session);
  }

  // ------------------------------------------------------------------------------------------------ for the data plane

  async admit(request: AdmitRequest): Promise<AdmitAnswer> {
    if (this.#isHalted) return { admitted: false, denial: HALTED, standing: null, revocation: null };
    const session = this.#session;
    if (session === null) {
      const denial = { code: 'credential-invalid', detail: 'No such session was issued.' } as const;
      return { admitted: false, denial, standing: null, revocation: null };
    }
    this.#expireOverdue(session);
    this.#recallKey(session, request.idempotency?.key ?? null);
    return this.#reply(session, admit(session, request, Date.now()));
  }

  async extend(request: ExtendRequest): Promise<ExtendAnswer> {
    const session = this.#created();
    this.#recallEntry(session, request.receipt.id);
    return this.#reply(session, extend(session, request, Date.now()));
  }

  async settle(settlement: Settlement): Promise<SettleAnswer> {
    const session = this.#created();
    const { id } = settlement.receipt;
    if (this.#archivist.isBuried(session, id))
      return this.#archivist.exhume(session, id).then(() => this.settle(settlement));
    this.#recallEntry(session, id);
    const answer = this.#reply(session, settle(session, settlement, Date.now()));
    await this.#durable();
    return answer;
  }

  async void(receipt: Receipt, reason: string): Promise<SettleAnswer> {
    const session = this.#created();
    const { id } = receipt;
    if (this.#archivist.isBuried(session, id))
      return this.#archivist.exhume(session, id).then(() => this.void(receipt, reason));
    this.#recallEntry(session, id);
    const answer = this.#reply(session, voidHold(session, receipt, reason, Date.now()));
    await this.#durable();
    return answer;
  }

  async watch(request: WatchRequest): Promise<WatchAnswer> {
    // A Worker that began before HALT was set runs on; its objects do not, so its streams hear of it here.
    if (this.#isHalted) return { cut: true, denial: HALTED };
    const session = this.#created();
    const { id } = request.receipt;
    this.#recallEntry(session, id);
    const answer = this.#reply(session, watch(session, request, Date.now()));
    if (answer.cut) return answer;
    return new Promise((resolve) => {
      const finish = (last: WatchAnswer): void => {
        clearTimeout(timer);
        if (this.#watchers.get(id) === finish) this.#watchers.delete(id);
        resolve(last);
      };
      const timer = setTimeout(finish, WATCH_TIMEOUT_MS, answer);
      this.#watchers.get(id)?.(answer);
      this.#watchers.set(id, finish);
    });
  }

  async denied(report: DenialReport): Promise<void> {
    const session = this.#session;
    if (session !== null) this.#reply(session, noteDenials(session, report, Date.now()));
  }

  // --------------------------------------------------------------------------------------------- for the control plane

  async create({ session: identity, rules, act }: Parameters<SessionRpc['create']>[0]): Promise<CreateAnswer> {
    if (this.#session !== null) return { created: false };
    const session = createSession(identity, { rules, act, deployment: deploymentIdOf({ ...this.env }) }, Date.now());
    this.#session = session;
    this.#writeNow(session);
    this.#announce(session, { event: 'created', ...act });
    return { created: true, view: viewOf(session, Date.now()) };
  }

  async describe(): Promise<SessionAnswer> {
    return this.#view();
  }

  async renew({ expiresAtMs, act }: { expiresAtMs: number; act: Act }): Promise<SessionAnswer> {
    const session = this.#session;
    const now = Date.now();
    if (session === null || standingDenial(session, now) !== null) return this.#view();
    this.#reply(session, renewEnd(session, expiresAtMs, act, now));
    return this.#view();
  }

  async changeLimits({ patch, act }: { patch: LimitsPatch; act: Act }): Promise<SessionAnswer> {
    const session = this.#session;
    if (session !== null) this.#reply(session, changeLimits(session, patch, act, Date.now()));
    return this.#view();
  }

  async revoke(act: Act): Promise<SessionAnswer> {
    const session = this.#session;
    if (session !== null) this.#reply(session, revoke(session, act, Date.now()));
    return this.#view();
  }

  async reset(act: Act): Promise<SessionAnswer> {
    const session = this.#session;
    if (session !== null) this.#reply(session, reset(session, act, Date.now()));
    return this.#view();
  }

  async spent({ withinMs, routes }: { withinMs: number; routes: readonly string[] | null }): Promise<number> {
    const session = this.#session;
    if (session === null) return 0;
    this.#expireOverdue(session);
    const recent = [...this.#store.entriesSince(Date.now() - withinMs), ...session.ledger.pending];
    return recent.reduce(
      (sum, { route, costMicroUsd }) => sum + (routes === null || routes.includes(route) ? costMicroUsd : 0),
      0,
    );
  }

  /** Ended entries in the order in which they ended, then those still open. */
  async ledger({ cursor, limit }: { cursor: string | null; limit: number }): Promise<LedgerPage> {
    const session = this.#session;
    if (session === null) return { entries: [], nextCursor: null };
    if (session.archive !== null && isArchiveCursor(cursor)) {
      return this.#archivist.entries(session, { cursor, limit });
    }
    this.#expireOverdue(session);
    // What is listed is on disk: also what a batch in flight has written and nobody has confirmed.
    if (session.ledger.pending.length > 0 || session.ledger.inFlight !== null) this.#writeNow(session);
    if (cursor === OPEN_ENTRIES_CURSOR) return { entries: openEntries(session.ledger), nextCursor: null };
    const page = this.#store.page({ cursor: cursor === AFTER_ARCHIVE ? null : cursor, limit });
    if (page.nextCursor !== null) return page;
    const open = openEntries(session.ledger);
    if (page.entries.length > 0 && page.entries.length + open.length > limit) {
      return { entries: page.entries, nextCursor: OPEN_ENTRIES_CURSOR };
    }
    return { entries: [...page.entries, ...open], nextCursor: null };
  }

  async audit({ cursor }: { cursor: string | null }): Promise<AuditPage | null> {
    const session = this.#session;
    if (session === null) return null;
    const { name } = session.trail;
    const limit = MAX_LOG_LINES_PER_PAGE;
    if (cursor === null) await this.#signAll(session);
    const first = cursor === null ? { signed: await this.#signer.vouch(session.trail, Date.now()) } : {};
    if (session.archive !== null && isArchiveCursor(cursor)) {
      return { name, ...first, ...(await this.#archivist.lines(session, { cursor, limit })) };
    }
    const { lines, nextCursor } = this.#store.logPage({ cursor: cursor === AFTER_ARCHIVE ? null : cursor, limit });
    const all = nextCursor === null ? [...lines, ...session.trail.riding] : lines;
    // What is shown is on disk: a crash must not take back rows that somebody has.
    await this.#store.sync();
    return { name, ...first, lines: all, nextCursor };
  }

  // --------------------------------------------------------------------------------------------------------- the alarm

  /** Everything that happens by itself. Runs at least once for each time it is due; a spurious run does nothing. */
  override async alarm(): Promise<void> {
    this.#alarmAtMs = null;
    const session = this.#session;
    if (session === null) return;
    try {
      this.#reply(session, expireDue(session, Date.now()));
      if (needsSeal(session.ledger, Date.now())) this.#writeNow(session);
      await this.#reporter.report(session, Date.now());
      await this.#archivist.signEnd(session, Date.now());
      const archive = await this.#archivist.archive(session, Date.now());
      if (archive !== null) this.#announce(session, { event: 'archived', sha256: archive.sha256 });
    } finally {
      this.#arm(session);
    }
  }

  /** Whoever looks sees what has ended by itself, also when the alarm is late. */
  #expireOverdue(session: Session): void {
    const now = Date.now();
    if (nextExpiryMs(session.ledger) <= now) this.#reply(session, expireDue(session, now));
  }

  #arm(session: Session): void {
    const due = Math.max(Date.now(), this.#dueMs(session));
    if (due === Number.POSITIVE_INFINITY || (this.#alarmAtMs !== null && this.#alarmAtMs <= due)) return;
    this.#alarmAtMs = due;
    void this.ctx.storage.setAlarm(due);
  }

  /** The earliest moment at which something has to happen without being asked; Infinity when nothing has to. */
  #dueMs(session: Session): number {
    const { ledger } = session;
    return Math.min(
      nextExpiryMs(ledger),
      isUnsealed(ledger) ? ledger.lastGrantMs + UNSEALED_CHECK_MS : Number.POSITIVE_INFINITY,
      this.#reporter.dueMs(session),
      this.#archivist.dueMs(session),
    );
  }

  // -------------------------------------------------------------------------------------------------------- persisting

  /** Makes durable what must be, schedules the rest, and lets the world know. */
  #reply<T>(session: Session, decision: Decision<T>): T {
    if (decision.write) this.#writeNow(session);
    else if (session.ledger.dirty) this.#flushWithin(BATCH_DELAY_MS);
    else if (this.#deniedOnDisk !== session.counts.denied) this.#flushWithin(IDLE_WRITE_DELAY_MS);
    for (const event of decision.events) this.#announce(session, event);
    return decision.answer;
  }

  /** A gated write: the replies that follow wait for it, and it arms the alarm (rules 2, 7 and 8). */
  #writeNow(session: Session): void {
    try {
      this.#store.writeNow(this.#takeWrite(session, { gated: true }));
    } catch (error) {
      this.#forget();
      throw error;
    }
    this.#arm(session);
    if (isUnsealed(session.ledger)) this.#flushWithin(SEAL_AFTER_MS);
  }

  /** Memory now says more than the disk ever will: the next incarnation loads what is true. */
  #forget(): void {
    this.ctx.abort('the session could not be written');
  }

  #takeWrite(session: Session, how: { gated: boolean }): SessionWrite {
    const atMs = Date.now();
    const { image, entries } = commit(session.ledger, how, atMs);
    const lines = takeLines(session.trail, { withOthers: entries.length > 0 }, atMs);
    const keys = new Map([...session.keys].filter(([key]) => session.changedKeys.has(key)));
    session.changedKeys.clear();
    this.#deniedOnDisk = session.counts.denied;
    return { atMs, image: imageOf(session, image), entries, lines, keys };
  }

  /** Resolves once everything that memory holds now is durable. */
  #durable(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ resolve, reject });
      this.#flushWithin(BATCH_DELAY_MS);
    });
  }

  #flushWithin(delayMs: number): void {
    const atMs = Date.now() + delayMs;
    if (this.#flushTimer !== null) {
      if (this.#flushAtMs <= atMs) return;
      clearTimeout(this.#flushTimer);
    }
    this.#flushAtMs = atMs;
    this.#flushTimer = setTimeout(() => {
      this.#flushTimer = null;
      void this.#flush();
    }, delayMs);
  }

  /** One batch at a time: what came while it was under way goes with the next. */
  async #flush(): Promise<void> {
    const session = this.#session;
    if (session === null || this.#flushing) return;
    this.#flushing = true;
    const waiting = this.#waiting;
    this.#waiting = [];
    try {
      const sealing = needsSeal(session.ledger, Date.now());
      // The seal carries the signature of what is on disk before it.
      if (sealing) await this.#signer.sign(session.trail, Date.now());
      const counted = this.#deniedOnDisk !== session.counts.denied;
      const write = session.ledger.dirty || counted || sealing ? this.#takeWrite(session, { gated: false }) : null;
      const log = session.trail.head;
      await Promise.all([write === null ? null : this.#store.writeBatch(write), this.#store.sync()]);
      confirm(session.ledger);
      this.#signer.reached(log);
      for (const { resolve } of waiting) resolve();
    } catch (error) {
      for (const { reject } of waiting) reject(error);
      this.#forget();
    } finally {
      this.#flushing = false;
    }
    if (session.ledger.dirty || this.#waiting.length > 0) this.#flushWithin(BATCH_DELAY_MS);
    else if (isUnsealed(session.ledger)) this.#flushWithin(SEAL_AFTER_MS);
    if (this.#signer.isDue(session.trail, Date.now())) await this.#signer.sign(session.trail, Date.now());
  }

  /** Writes what there is to tell, and signs it. */
  async #signAll(session: Session): Promise<void> {
    unfold(session.trail, Date.now());
    if (session.trail.pending.length > 0) this.#writeNow(session);
    const { head } = session.trail;
    await this.#store.sync();
    this.#signer.reached(head);
    await this.#signer.sign(session.trail, Date.now());
  }

  // ------------------------------------------------------------------------------------------------- telling the others

  #announce(session: Session, event: SessionEvent): void {
    const { issuer, sid, agent, customer } = session.identity;
    console.warn(JSON.stringify({ ...event, event: `session.${event.event}`, issuer, session: sid, agent, customer }));
    this.#cutStreams(session);
    this.ctx.waitUntil(this.#reporter.report(session, Date.now()));
  }

  #cutStreams(session: Session): void {
    for (const [id, finish] of this.#watchers) {
      const hold = session.ledger.open.get(id);
      const denial = hold === undefined ? null : cutDenial(session, hold, Date.now());
      if (denial !== null) finish({ cut: true, denial });
    }
  }

  // ----------------------------------------------------------------------------------------------------------- loading

  #created(): Session {
    if (this.#session === null) throw new Error('this session was never created');
    return this.#session;
  }

  #view(): SessionAnswer {
    if (this.#session !== null) this.#expireOverdue(this.#session);
    return this.#session === null ? { known: false } : { known: true, view: viewOf(this.#session, Date.now()) };
  }

  /** Brings an ended request back into memory, if it is only on disk. */
  #recallEntry(session: Session, id: string): void {
    if (knows(session.ledger, id)) return;
    for (const entry of this.#store.findEntries(id)) remember(session.ledger, entry);
  }

  #recallKey(session: Session, key: string | null): void {
    if (key === null || session.keys.has(key)) return;
    const record = this.#store.readKey(key);
    if (record !== null) session.keys.set(key, record);
  }
}
