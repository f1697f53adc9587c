// One admitted request from its hold to its settlement: forwards it, meters the answer, and settles exactly once,
// whatever happens. Step 6 to 8 of the pipeline.
import type { Denial } from '../denial.ts';
import { MAX_JSON_ANSWER_BYTES, MAX_PASSED_ANSWER_BYTES } from '../limits.ts';
import { microUsd } from '../money.ts';
import type { Call, Meter } from '../protocol/protocol.ts';
import type { Admitted, Receipt, SessionRpc } from '../rpc/session-rpc.ts';
import { holdFor } from '../session/grant.ts';
import { AnswerGuard, type Screen } from './answer-guard.ts';
import { cutReason, type Ending, settlementFor } from './charge.ts';
import { meteredStream } from './metered-stream.ts';
import { type PassageEnd, boundedPassage, readBounded } from './passage.ts';
import { redact, redactHeaders } from './redaction.ts';
import type { Route } from './route-table.ts';
import { watchStream } from './stream-watch.ts';
import { type CallUpstream, upstreamUrl } from './upstream-client.ts';

export interface ExchangeParts {
  readonly requestId: string;
  readonly route: Route;
  readonly call: Call;
  readonly session: SessionRpc;
  readonly admitted: Admitted;
  readonly request: { readonly method: string; readonly headers: Headers; readonly clientGone: AbortSignal };
  readonly now: () => number;
  readonly screen: Screen;
  readonly upstream: CallUpstream;
  /** Keeps the Worker alive for what must still be done. */
  readonly waitUntil: (work: Promise<unknown>) => void;
  readonly alert: (what: string) => void;
}

export type ExchangeAnswer =
  | {
      readonly ok: true;
      readonly status: number;
      readonly body: BodyInit | null;
      readonly headers: Headers;
      readonly clamped: string | null;
    }
  | { readonly ok: false; readonly denial: Denial };

/** Waits between tries to settle; after the last the hold expires by itself, charged in full. */
const SETTLE_RETRY_DELAYS_MS = [100, 1_000, 5_000, 15_000];
/** RFC 9110 section 15; the platform makes no answer with another. */
const MAX_STATUS = 599;
/** Statuses that cannot carry a body (RFC 9110, section 6.4.1). */
const BODILESS = new Set([101, 204, 205, 304]);

export class Exchange {
  readonly #parts: ExchangeParts;
  readonly #meter: Meter;
  readonly #abort = new AbortController();
  #receipt: Receipt;
  /** Whether the answer is being seen as it comes, so that what was used of it is known. */
  #visible = false;
  #over = false;
  /** The route's time is up: headers, or the whole of an answer that is no stream, did not come within it. */
  #isLate = false;
  /** Why the request was stopped while its answer was waited for. */
  #cutBy: Denial | null = null;
  #settled: () => void = () => undefined;

  constructor(parts: ExchangeParts) {
    this.#parts = parts;
    this.#meter = parts.call.meter();
    this.#receipt = parts.admitted.receipt;
    // A client that goes away ends the request's life; the settlement has to outlive it.
    parts.waitUntil(new Promise<void>((resolve) => (this.#settled = resolve)));
  }

  /** Gives the hold back: the request was not sent after all. */
  withdraw(reason: string): void {
    this.#conclude((session) => session.void(this.#receipt, reason));
  }

  async run(): Promise<ExchangeAnswer> {
    const { request } = this.#parts;
    const { clientGone } = request;
    const onClientGone = (): void => {
      this.#settle({ how: this.#visible ? 'cut' : 'unseen', reason: 'client-aborted' });
      this.#abort.abort();
    };
    if (clientGone.aborted) {
      this.withdraw('client-aborted');
      return {
        ok: false,
        denial: { code: 'upstream-unavailable', detail: 'The client went away before the request was sent.' },
      };
    }
    clientGone.addEventListener('abort', onClientGone, { once: true });
    const guard = this.#guardWaiting();
    try {
      return await this.#forward();
    } catch (error) {
      this.#settle({ how: 'unseen', reason: 'gateway-error' });
      throw error;
    } finally {
      guard.stop();
    }
  }

  /**
   * Ends the wait for an answer that comes too late, or that may not come any more. A stream, which can run for long, has
   * its session's object watched besides.
   */
  #guardWaiting(): AnswerGuard {
    const { screen, now, route } = this.#parts;
    const startedMs = now();
    return new AnswerGuard({
      screen,
      cut: (denial) => {
        this.#cutBy = denial;
        this.#abort.abort();
      },
      tick: () => {
        if (now() - startedMs < route.policy.timeoutMs) return;
        this.#isLate = true;
        this.#abort.abort();
      },
    });
  }

  async #forward(): Promise<ExchangeAnswer> {
    const { route, call, request, admitted } = this.#parts;
    const outbound = call.write({ outputTokens: admitted.outputTokens, warnings: admitted.warnings });
    const { method, headers } = request;
    const url = upstreamUrl(route, outbound);
    if (url === null) throw new Error('a request was written to an address that was not authorised');
    const outcome = await this.#parts.upstream({ method, url, headers, outbound, signal: this.#abort.signal });
    switch (outcome.outcome) {
      case 'unreachable':
        this.withdraw('upstream-unreachable');
        return {
          ok: false,
          denial: { code: 'upstream-unavailable', detail: 'The upstream could not be reached.', retryAfterSeconds: 5 },
        };
      case 'lost':
        if (this.#cutBy !== null) {
          this.#settle({ how: 'unseen', reason: cutReason(this.#cutBy) });
          return { ok: false, denial: this.#cutBy };
        }
        if (this.#isLate) {
          this.#settle({ how: 'unseen', reason: 'upstream-timeout' });
          return { ok: false, denial: { code: 'upstream-timeout', detail: 'The upstream did not answer in time.' } };
        }
        this.#settle({ how: 'unseen', reason: 'stream-lost' });
        return {
          ok: false,
          denial: { code: 'upstream-unavailable', detail: 'The upstream broke off without an answer.' },
        };
      case 'redirected':
        await outcome.response.body?.cancel();
        this.#settle({ how: 'upstream-error', status: outcome.response.status });
        return {
          ok: false,
          denial: { code: 'upstream-refused', detail: 'The upstream answered with a redirect, which is not followed.' },
        };
      case 'answered':
        return this.#answer(outcome.response, outbound.clamped);
    }
  }

  async #answer(response: Response, clamped: string | null): Promise<ExchangeAnswer> {
    const headers = this.#parts.route.responseHeaders(response.headers);
    redactHeaders(headers, this.#secrets());
    if (headers.get('content-type')?.toLowerCase().includes('html') === true) {
      for (const [name, value] of Object.entries(AS_NO_PAGE)) headers.set(name, value);
    }
    const { status, body } = response;
    if (status > MAX_STATUS) {
      await body?.cancel();
      this.#settle({ how: 'lost', reason: 'stream-lost' });
      return {
        ok: false,
        denial: { code: 'upstream-refused', detail: 'The upstream answered with a status that HTTP does not have.' },
      };
    }
    const answer = (content: BodyInit | null): ExchangeAnswer => ({
      ok: true,
      status,
      body: content,
      headers,
      clamped,
    });
    if (body === null || BODILESS.has(status)) {
      this.#settle(status >= 400 ? { how: 'upstream-error', status } : { how: 'completed' });
      return answer(null);
    }
    if (status >= 400) {
      this.#settle({ how: 'upstream-error', status });
      return answer(this.#pass(body, headers, () => undefined));
    }
    if (this.#meter.reading().ended)
      return answer(this.#pass(body, headers, (end) => this.#settle(this.#passageEnding(end))));
    if (isEventStream(headers)) return answer(this.#stream(body));
    return this.#whole(response, answer);
  }

  /** A whole JSON answer: read to its end, so that its usage is known and a broken one is not taken for complete. */
  async #whole(response: Response, answer: (content: BodyInit) => ExchangeAnswer): Promise<ExchangeAnswer> {
    const read = await readBounded(response, MAX_JSON_ANSWER_BYTES);
    if (!read.ok) {
      this.#abort.abort();
      if (this.#cutBy !== null) {
        this.#settle({ how: 'unseen', reason: cutReason(this.#cutBy) });
        return { ok: false, denial: this.#cutBy };
      }
      const failure = WHOLE_FAILURES[this.#isLate ? 'too-late' : read.why];
      this.#settle({ how: 'lost', reason: failure.reason });
      return { ok: false, denial: failure.denial };
    }
    const text = new TextDecoder().decode(read.bytes);
    this.#meter.answer(text);
    // A stream's hold is small at first. Where a whole answer came instead, it has to cover that as far as money reaches.
    await this.#cover();
    this.#settle({ how: 'completed' });
    const clean = redact(text, this.#secrets());
    if (clean.found) this.#parts.alert('provider-key-echoed');
    return answer(clean.found ? clean.text : read.bytes);
  }

  #stream(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
    const { call, route, now, screen, alert } = this.#parts;
    this.#visible = true;
    return meteredStream({
      upstream: body,
      call,
      protocol: route.protocol,
      meter: this.#meter,
      secrets: this.#secrets(),
      now,
      cover: () => this.#cover(),
      screen,
      watch: () => this.#watch(),
      ended: (ending) => this.#settle(ending),
      abort: () => this.#abort.abort(),
      alert,
    });
  }

  /** Asks the session's object, until the answer is over, whether it may go on. */
  #watch(): Promise<Denial | null> {
    return watchStream({
      session: this.#parts.session,
      receipt: () => this.#receipt,
      metered: () => {
        const { meteredMicroUsd, meteredTokens } = this.#meter.reading();
        return { microUsd: meteredMicroUsd, tokens: meteredTokens };
      },
      now: this.#parts.now,
      over: () => this.#over,
    });
  }

  /** Bytes whose price does not depend on them: passed as they come, within a bound, without the provider's key. */
  #pass(
    body: ReadableStream<Uint8Array>,
    headers: Headers,
    ended: (end: PassageEnd) => void,
  ): ReadableStream<Uint8Array> {
    const { screen, route, call } = this.#parts;
    this.#visible = true;
    let guard: AnswerGuard | null = null;
    return boundedPassage(body, {
      maxBytes: MAX_PASSED_ANSWER_BYTES,
      secrets: this.#secrets(),
      guard: (cut) => (guard = new AnswerGuard({ screen, watch: () => this.#watch(), cut })),
      lastWords: isEventStream(headers) ? (denial) => route.protocol.cut(denial, call) : null,
      ended: (end) => {
        guard?.stop();
        if (end.redacted) this.#parts.alert('provider-key-echoed');
        if (end.how !== 'completed') this.#abort.abort();
        ended(end);
      },
    });
  }

  /** A fixed price is due once the upstream has answered, however its body ends. */
  #passageEnding(end: PassageEnd): Ending {
    switch (end.how) {
      case 'cut':
        return { how: 'cut', reason: cutReason(end.denial) };
      case 'completed':
        return { how: 'completed' };
      case 'client-gone':
        return { how: 'cut', reason: 'client-aborted' };
      case 'broken':
        return { how: 'lost', reason: 'stream-lost' };
      case 'too-large':
        return { how: 'lost', reason: 'answer-too-large' };
    }
  }

  /**
   * Extends the hold while there is ceiling left that it does not cover, before what it pays for is passed on: doubles it,
   * and more where one event, or the provider's own count, says more.
   */
  async #cover(): Promise<Denial | null> {
    const { call, admitted, session } = this.#parts;
    const { output, inputTokens } = call.demand;
    if (output === null || admitted.outputTokens === null) return null;
    const held = this.#receipt.tokens - inputTokens;
    if (held >= admitted.outputTokens) return null;
    const { outputTokensBound, stated } = this.#meter.reading();
    const used = Math.max(outputTokensBound, stated?.outputTokens ?? 0);
    if (used < held * EXTEND_AT) return null;
    const wanted = holdFor(
      call.demand,
      Math.min(admitted.outputTokens, Math.max(held * 2, Math.ceil(used / EXTEND_AT))),
    );
    try {
      const answer = await session.extend({
        receipt: this.#receipt,
        microUsd: microUsd(wanted.microUsd),
        tokens: wanted.tokens,
      });
      if (!answer.extended) return answer.denial;
      this.#receipt = answer.receipt;
      return null;
    } catch {
      return {
        code: 'enforcement-unavailable',
        detail: 'The session could not be asked to pay for more of this answer.',
      };
    }
  }

  #settle(ending: Ending): void {
    const { call } = this.#parts;
    const settlement = settlementFor(this.#receipt, this.#meter.reading(), ending, {
      outputMicroUsdPerMillion: call.demand.output?.microUsdPerMillion ?? 0,
    });
    for (const flag of settlement.flags ?? []) this.#parts.alert(flag);
    this.#conclude((session) => session.settle(settlement));
  }

  /** Ends the hold, once; tries again until its session's object has it on disk. */
  #conclude(end: (session: SessionRpc) => Promise<unknown>): void {
    if (this.#over) return;
    this.#over = true;
    const { session, alert } = this.#parts;
    const tried = (async () => {
      for (const delayMs of [0, ...SETTLE_RETRY_DELAYS_MS]) {
        if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
        try {
          await end(session);
          return;
        } catch (error) {
          console.warn(JSON.stringify({ event: 'settlement.retry', request: this.#receipt.id, error: String(error) }));
        }
      }
      alert('settlement-lost');
    })();
    void tried.then(this.#settled);
  }

  #secrets(): readonly string[] {
    const { auth } = this.#parts.route;
    return auth.ready ? auth.secrets : [];
  }
}

/** Why a whole answer did not come, for the ledger and for the client. */
const WHOLE_FAILURES = {
  broken: {
    reason: 'stream-lost',
    denial: { code: 'upstream-refused', detail: 'The upstream broke off in the middle of its answer.' },
  },
  'too-large': {
    reason: 'answer-too-large',
    denial: { code: 'upstream-refused', detail: 'The answer is larger than allowed.' },
  },
  'too-late': {
    reason: 'upstream-timeout',
    denial: { code: 'upstream-timeout', detail: 'The upstream fell silent in the middle of its answer.' },
  },
} as const satisfies Record<string, { reason: string; denial: Denial }>;

/** Pages of a tool must not act in this gateway's name, whatever browser they end up in. */
const AS_NO_PAGE = { 'x-content-type-options': 'nosniff', 'content-security-policy': 'sandbox' };

/** The share of a hold's output that may be used before it is extended. */
const EXTEND_AT = 0.75;

function isEventStream(headers: Headers): boolean {
  return headers.get('content-type')?.toLowerCase().startsWith('text/event-stream') === true;
}
