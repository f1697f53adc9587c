// What crosses between the Worker and a session's object. Types only: both sides may run different versions for some
// minutes during a deploy, so members are added as optional and never change their meaning.
import type { LogName } from '../audit/chain.ts';
import type { FirstBad } from '../audit/verifier.ts';
import type { Denial, DenialCode } from '../denial.ts';
import type { MicroUsd } from '../money.ts';

/** A session's caps. `null` means that this dimension has none. */
export interface SessionLimits {
  readonly spendMicroUsd: MicroUsd;
  readonly tokens: number | null;
  readonly tokensPerRequest: number | null;
  readonly requestsPerMinute: number | null;
}

/** Who a verified credential speaks for. */
export interface SessionIdentity {
  readonly issuer: string;
  readonly sid: string;
  readonly agent: string;
  readonly customer: string | null;
  readonly segments: readonly string[];
  readonly scopes: readonly string[];
  readonly limits: SessionLimits;
  readonly expiresAtMs: number;
}

/** The worst that one request can cost, as its protocol read it. */
export interface Demand {
  /** Worst-case input, fees and tools billed per use, rounded up once. */
  readonly fixedMicroUsd: MicroUsd;
  /** Worst-case input tokens. */
  readonly inputTokens: number;
  /** What the answer can cost; null where nothing is generated. Token counts are totals over all choices. */
  readonly output: OutputDemand | null;
}

export interface OutputDemand {
  /** Price of output tokens: whole micro-USD per million. */
  readonly microUsdPerMillion: number;
  /** The ceiling that the client (or the policy's default) asks for. */
  readonly askedTokens: number;
  /** The least useful output: below it the request is not worth sending. */
  readonly floorTokens: number;
  /** Held at admission; the rest is extended as the stream flows. Equals `askedTokens` where nothing can be extended. */
  readonly firstTokens: number;
  /** How many choices share the ceiling (`n`); a grant is a multiple of it. */
  readonly choices: number;
}

/** Tokens of one exchange as the provider counts them. */
export interface Usage {
  /** Includes cache reads and writes. */
  readonly inputTokens: number;
  /** Includes reasoning. */
  readonly outputTokens: number;
  readonly cacheReadTokens: number;
  readonly cacheWriteTokens: number;
  readonly reasoningTokens: number;
}

/** What the policy in force says about admissions; the Worker sends it, so that one policy rules both sides. */
export interface AdmissionRules {
  /** Fraction of a limit at which the warning comes, 0..1. */
  readonly warnAt: number;
  readonly onLimit: 'revoke' | 'pause';
  /** The least useful request; null for the default (1 % of the limit, at most one cent). */
  readonly leastUsefulMicroUsd: MicroUsd | null;
  /** Whole days after its end during which a session is kept whole; absent for the default. */
  readonly retentionDays?: number;
}

export interface AdmitRequest {
  /** The request id; admitting it again returns the first answer. */
  readonly id: string;
  readonly session: SessionIdentity;
  readonly purpose: Purpose;
  readonly demand: Demand;
  /** Time to settle, or for a stream's first watch, which renews it from then on. */
  readonly leaseMs: number;
  /** Hex SHA-256 of route and key, and of the bytes received. */
  readonly idempotency: { readonly key: string; readonly digest: string } | null;
  readonly rules: AdmissionRules;
}

/** What a hold is for, as the ledger lists it. */
export interface Purpose {
  readonly route: string;
  readonly protocol: string;
  readonly model: string | null;
  readonly action: string;
}

/**
 * Proof of a hold, kept by the Worker until it settles, and all that an object needs that lost the hold in a crash.
 * Amounts are the whole hold, extensions included.
 */
export interface Receipt {
  readonly generation: number;
  readonly id: string;
  readonly microUsd: MicroUsd;
  readonly tokens: number;
  readonly admittedAtMs: number;
  readonly purpose: Purpose;
}

/** The session's standing as of an admission, for the RateLimit fields. */
export interface Standing {
  readonly spend: { readonly limitMicroUsd: MicroUsd; readonly availableMicroUsd: MicroUsd };
  readonly tokens: { readonly limit: number; readonly available: number } | null;
  readonly requests: {
    readonly limitPerMinute: number;
    readonly remaining: number;
    readonly resetSeconds: number;
  } | null;
}

export type Warning = 'spend-90' | 'tokens-90';

export interface Admitted {
  readonly admitted: true;
  readonly receipt: Receipt;
  /** The output ceiling granted, total over all choices; null where nothing is generated. */
  readonly outputTokens: number | null;
  readonly warnings: readonly Warning[];
  readonly standing: Standing;
}

interface NotAdmitted {
  readonly admitted: false;
  readonly denial: Denial;
  readonly standing: Standing | null;
  /** What every further request will meet once the session is revoked; the edge may then refuse it from memory. */
  readonly revocation: Denial | null;
}

export type AdmitAnswer = Admitted | NotAdmitted;

export interface ExtendRequest {
  readonly receipt: Receipt;
  /** The whole hold wanted, not the difference. */
  readonly microUsd: MicroUsd;
  readonly tokens: number;
}

export type ExtendAnswer =
  | { readonly extended: true; readonly receipt: Receipt }
  | { readonly extended: false; readonly denial: Denial };

/** How a request that was admitted came out. `costMicroUsd` is the price of what is known; the ledger bounds it by the hold. */
export interface Settlement {
  readonly receipt: Receipt;
  readonly costMicroUsd: MicroUsd;
  readonly tokens: number;
  readonly usage: Usage | null;
  /** True where the charge is not the price of a usage that the provider stated. */
  readonly estimated: boolean;
  /** Why it ended so: `completed`, `upstream-error`, `client-aborted`, `stream-lost`, `usage-missing`, ... */
  readonly reason: string;
  readonly model?: string | null;
  /** Facts worth an alert: `usage-above-hold`, `model-substituted`, ... */
  readonly flags?: readonly string[];
}

export interface SettleAnswer {
  readonly state: 'settled' | 'voided' | 'expired' | 'frozen';
  readonly costMicroUsd: MicroUsd;
}

export interface WatchRequest {
  readonly receipt: Receipt;
  /** Whole micro-USD. */
  readonly meteredMicroUsd: number;
  readonly meteredTokens: number;
}

export type WatchAnswer =
  | { readonly cut: false; readonly receipt: Receipt }
  | { readonly cut: true; readonly denial: Denial };

export type SessionStatus = 'active' | 'warned' | 'tripped' | 'revoked' | 'expired';

export interface BreakerView {
  readonly state: 'closed' | 'open';
  readonly sinceMs: number;
  readonly reason: string | null;
}

export interface Trip {
  readonly atMs: number;
  readonly reason: string;
  readonly evidence: Readonly<Record<string, string | number>>;
}

/** When, by whom and why a session was revoked. */
export interface Revocation extends Act {
  readonly atMs: number;
}

/** A session as its object sees it: what `GET /admin/sessions/{id}` and `GET /session` show. */
export interface SessionView {
  readonly identity: SessionIdentity;
  readonly createdAtMs: number;
  readonly status: SessionStatus;
  readonly limits: SessionLimits;
  readonly spend: {
    readonly settledMicroUsd: MicroUsd;
    readonly heldMicroUsd: MicroUsd;
    readonly availableMicroUsd: MicroUsd;
  };
  readonly tokens: { readonly settled: number; readonly held: number; readonly available: number | null };
  readonly requests: { readonly admitted: number; readonly denied: number };
  readonly breaker: BreakerView;
  readonly warnings: readonly { readonly warning: Warning; readonly atMs: number }[];
  readonly revocation: Revocation | null;
  readonly trip: Trip | null;
}

type EntryState = 'open' | 'settled' | 'voided' | 'expired';

/** One line of the ledger: a hold with its outcome, or a correction (`adjusts`). */
export interface LedgerEntry extends Purpose {
  readonly id: string;
  readonly atMs: number;
  readonly state: EntryState;
  readonly holdMicroUsd: MicroUsd;
  readonly holdTokens: number;
  readonly costMicroUsd: MicroUsd;
  readonly costTokens: number;
  readonly usage: Usage | null;
  readonly estimated: boolean;
  readonly reason: string | null;
  readonly adjusts?: string;
  readonly flags?: readonly string[];
}

export interface LedgerPage {
  readonly entries: readonly LedgerEntry[];
  /** Where the next page starts; null at the end. */
  readonly nextCursor: string | null;
  /** Of a session whose archive is not what was put away: then there are no entries. */
  readonly damage?: ArchiveDamage;
}

/** Where an archive is not what was put away: its first line that is not; null where nothing in the lines tells. */
export interface ArchiveDamage {
  readonly firstBad: FirstBad | null;
}

/** How far a log is signed, and the line of the checkpoint over that row. */
export interface SignedRow {
  readonly seq: number;
  readonly line: string;
}

/** Lines of a log as they are exported (audit/log-line.ts): rows and checkpoints, oldest first, without frame. */
export interface AuditPage {
  readonly name: LogName;
  readonly lines: readonly string[];
  /** Where the next page starts; null at the end. */
  readonly nextCursor: string | null;
  /** On the first page: an export ends at this row, and with this checkpoint. */
  readonly signed?: SignedRow;
  /** Of a session that was archived: whether its archive is what was put away. */
  readonly archive?: 'intact' | 'changed' | 'unreadable';
  /** On the first page, where it is not. */
  readonly damage?: ArchiveDamage;
}

/** Who did an operator's act, for the record. */
export interface Act {
  readonly by: string;
  /** The person behind `by`, in one spelling; absent where none is: an agent, a deploy, a schedule. */
  readonly owner?: string;
  readonly reason: string;
}

export type LimitsPatch = { readonly [K in keyof SessionLimits]?: SessionLimits[K] };

/** `created: false`: it had been created before. `known: false`: no issuance has created it. */
export type CreateAnswer = { readonly created: true; readonly view: SessionView } | { readonly created: false };
export type SessionAnswer = { readonly known: true; readonly view: SessionView } | { readonly known: false };

/** What an isolate refused by itself, without asking the session. */
export interface DenialReport {
  readonly code: DenialCode;
  readonly route: string;
  /** The request id of the first of them. */
  readonly id: string;
  /** How many, between these times. */
  readonly count: number;
  readonly fromMs: number;
  readonly toMs: number;
}

/** The methods that a session's object serves. */
export interface SessionRpc {
  admit(request: AdmitRequest): Promise<AdmitAnswer>;
  extend(request: ExtendRequest): Promise<ExtendAnswer>;
  settle(settlement: Settlement): Promise<SettleAnswer>;
  /** Gives the whole hold back: the upstream was never reached. */
  void(receipt: Receipt, reason: string): Promise<SettleAnswer>;
  /** Long poll of one metered stream; renews the hold's lease. */
  watch(request: WatchRequest): Promise<WatchAnswer>;
  create(request: {
    readonly session: SessionIdentity;
    readonly rules: AdmissionRules;
    readonly act: Act;
  }): Promise<CreateAnswer>;
  describe(): Promise<SessionAnswer>;
  /** Takes down another credential that ends then, and moves the session's end where that is later. Refused once it is revoked or has ended. */
  renew(request: { readonly expiresAtMs: number; readonly act: Act }): Promise<SessionAnswer>;
  changeLimits(request: { readonly patch: LimitsPatch; readonly act: Act }): Promise<SessionAnswer>;
  revoke(act: Act): Promise<SessionAnswer>;
  reset(act: Act): Promise<SessionAnswer>;
  /** Takes down what was refused without asking; of a session that is unknown, nothing. */
  denied(report: DenialReport): Promise<void>;
  /** Whole micro-USD charged within the last so many milliseconds, on those routes or, with null, on all. */
  spent(request: { readonly withinMs: number; readonly routes: readonly string[] | null }): Promise<number>;
  ledger(request: { readonly cursor: string | null; readonly limit: number }): Promise<LedgerPage>;
  /** The session's log; its first page signs what is on disk. Null: no such session was ever created. */
  audit(request: { readonly cursor: string | null }): Promise<AuditPage | null>;
}
