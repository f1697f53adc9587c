// One interface for every protocol: how a route's traffic is read, what it can cost at worst, how a grant is written
// into it, and how its answers are metered. Implementations are CPU only: no clock, no I/O, no session state.
import type { Denial, Result } from '../denial.ts';
import type { MicroUsd } from '../money.ts';
import type { Policy, RoutePolicy } from '../policy/policy.ts';
import type { Demand, Usage, Warning } from '../rpc/session-rpc.ts';

/** A request after the route segment was taken off its path. The path is raw and known to be readable in one way only. */
export interface RouteRequest {
  readonly method: string;
  /** Raw, starts with "/": "/v1/chat/completions". */
  readonly path: string;
  /** Raw, with its "?", or empty. */
  readonly query: string;
  readonly headers: Headers;
  /** As received, already within the size bound; null where the request has none. */
  readonly body: Uint8Array | null;
}

export interface ReadContext {
  readonly policy: Policy;
  readonly route: RoutePolicy;
  /** Prices can change by date and time of day. */
  readonly nowMs: number;
}

/** What the session's object allowed, as far as the request on the wire is concerned. */
export interface Grant {
  /** Output ceiling, total over all choices; null where nothing is generated. */
  readonly outputTokens: number | null;
  readonly warnings: readonly Warning[];
}

export interface OutboundRequest {
  readonly path: string;
  readonly query: string;
  readonly body: Uint8Array | null;
  /** Set when the ceiling on the wire is not the client's own: the value of `x-fusebox-clamped`, "max_tokens=4096". */
  readonly clamped: string | null;
}

/** A request that was understood and priced. */
export interface Call {
  /** For the ledger: "chat.completions", "messages", "GET /tickets/*". */
  readonly action: string;
  /** Scopes needed besides the route's own. */
  readonly scopes: readonly string[];
  readonly model: string | null;
  /** Whether the client asked for a stream (its answer is then expected to be SSE). */
  readonly stream: boolean;
  readonly demand: Demand;
  /** The request to send: what was authorised, with the changes that Fusebox announces and no others. */
  write(grant: Grant): OutboundRequest;
  /** A new meter for this request's one answer. */
  meter(): Meter;
}

/** One server-sent event, parsed. */
export interface StreamEvent {
  readonly event: string | undefined;
  readonly data: string;
}

/** Reads one answer as it passes. Feed it either `event` by event or one whole `answer`. */
export interface Meter {
  /** Reads one complete event of a stream; says whether the client sees it. */
  event(event: StreamEvent): 'pass' | 'hide';
  /** Reads a whole answer with a success status. Never throws on malformed text. */
  answer(body: string): void;
  /** What is known so far; can be asked at any time. */
  reading(): Reading;
}

export interface Reading {
  /** The provider stated its final usage (in a stream: in or before its last event). */
  readonly final: boolean;
  /** The provider ended the stream by its own last event, so that nothing more is to come. */
  readonly ended: boolean;
  /** The provider reported a failure inside a 200 answer. */
  readonly failed: boolean;
  /** As the provider stated it, the latest; null when it stated none. */
  readonly stated: Usage | null;
  /**
   * Price of `stated`, at the model and tier that were served and at least at the model asked for, with fees for tools
   * used; 0 when null. Where nothing is counted (plain tools, free endpoints) it is the whole price, and `final` is true.
   */
  readonly statedMicroUsd: MicroUsd;
  /** Tokens of `stated`, with those that hosted tools were billed for beside it. */
  readonly statedTokens: number;
  /**
   * What the exchange has cost at least, by what passed: the highest price of any counts that the provider stated in the
   * stream, and of no fewer output tokens than the text seen can be made of. A final usage below it was lowered or forged.
   */
  readonly leastMicroUsd: MicroUsd;
  readonly leastTokens: number;
  /** Upper bound of the output tokens seen so far: the UTF-8 bytes of generated text, arguments and visible reasoning. */
  readonly outputTokensBound: number;
  /** Price of input (as stated, else the worst case of the demand) plus max(stated output, `outputTokensBound`). */
  readonly meteredMicroUsd: MicroUsd;
  /** Tokens of the same. */
  readonly meteredTokens: number;
  /** Whether output can be generated that the stream does not show (hidden reasoning, hosted tools). */
  readonly hiddenOutput: boolean;
  readonly servedModel: string | null;
  /** Facts worth an alert: "model-substituted", "usage-malformed", "usage-repeated", "usage-lowered", "usage-implausible". */
  readonly flags: readonly string[];
}

export interface Protocol {
  /** Request headers forwarded besides the common ones; lower case. */
  readonly requestHeaders: readonly string[];
  /** Answer headers passed back besides the common ones; lower case; a trailing `*` matches a prefix. */
  readonly responseHeaders: readonly string[];
  /** The shape in which this protocol's SDK shows an error. */
  readonly errorShape: 'problem' | 'google';
  /** Reads and prices a request, or refuses what cannot be read in one way, bounded or priced. */
  read(request: RouteRequest, context: ReadContext): Result<Call>;
  /** The event(s), as bytes on the wire, that make this protocol's SDK raise an error in mid-stream. */
  cut(denial: Denial, call: Call): string;
}
