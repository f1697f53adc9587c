// Passes one stream of events to the client while its meter reads them: every event unchanged and at once, the hold
// extended before what it does not cover, and an end that the client's SDK takes for what it is. Settling is the
// caller's: this only says how the stream ended.
import { createParser, type EventSourceParser } from 'eventsource-parser';
import { joinBytes } from '../bytes.ts';
import type { Denial } from '../denial.ts';
import { STREAM_IDLE_TIMEOUT_MS } from '../limits.ts';
import type { Call, Meter, Protocol, StreamEvent } from '../protocol/protocol.ts';
import { AnswerGuard, type Screen } from './answer-guard.ts';
import { cutReason, type Ending } from './charge.ts';
import { redact } from './redaction.ts';
import { SseFrames } from './sse-frames.ts';

export interface StreamPorts {
  readonly upstream: ReadableStream<Uint8Array>;
  readonly call: Call;
  readonly protocol: Protocol;
  readonly meter: Meter;
  readonly secrets: readonly string[];
  readonly now: () => number;
  /** Makes sure that the hold covers what the meter has read; the reason to cut when it cannot. */
  readonly cover: () => Promise<Denial | null>;
  /** Asked with every chunk and each second. */
  readonly screen: Screen;
  /** Started once the stream has run for a moment; resolves with the reason to cut. */
  readonly watch: () => Promise<Denial | null>;
  /** Called once, when nothing more will be sent. */
  readonly ended: (ending: Ending) => void;
  /** Stops the upstream. */
  readonly abort: () => void;
  readonly alert: (what: string) => void;
}

/** A client that reads asks for more at once. */
const STALLED_AFTER_MS = 1_000;
const EVENT_END = '\n\n';

/** The body for the client. */
export function meteredStream(ports: StreamPorts): ReadableStream<Uint8Array> {
  const stream = new MeteredStream(ports);
  return new ReadableStream<Uint8Array>(
    {
      pull: (controller) => stream.pull(controller),
      cancel: () => stream.clientGone(),
    },
    { highWaterMark: 0 },
  );
}

type Step =
  | { readonly cut: Denial }
  | { readonly chunk: Uint8Array | null }
  | { readonly broken: 'stream-lost' | 'upstream-timeout' };

class MeteredStream {
  readonly #ports: StreamPorts;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #frames = new SseFrames();
  readonly #decoder = new TextDecoder();
  readonly #encoder = new TextEncoder();
  readonly #parser: EventSourceParser;
  #event: StreamEvent | null = null;
  #over = false;
  #reported = false;
  /** Whether this pull has given the client something. */
  #sent = false;
  /** Why the stream is to end, for a reason that is not in its bytes. */
  #interruption: Step | null = null;
  readonly #guard: AnswerGuard;
  #lastChunkMs: number;
  /** When the client was given something that it has not asked to follow up on; null while it waits for more. */
  #handedOverMs: number | null = null;

  constructor(ports: StreamPorts) {
    this.#ports = ports;
    this.#reader = ports.upstream.getReader();
    this.#parser = createParser({ onEvent: ({ event, data }) => (this.#event = { event, data }) });
    this.#lastChunkMs = ports.now();
    this.#guard = new AnswerGuard({
      screen: ports.screen,
      watch: ports.watch,
      cut: (denial) => this.#interrupt({ cut: denial }),
      tick: () => this.#endWhenSilent(),
    });
  }

  async pull(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    try {
      await this.#pump(controller);
    } catch (error) {
      // A bug, and the hold must not wait for it.
      this.#end({ how: 'lost', reason: 'stream-lost' });
      this.#ports.abort();
      throw error;
    }
  }

  async #pump(controller: ReadableStreamDefaultController<Uint8Array>): Promise<void> {
    this.#sent = false;
    this.#handedOverMs = null;
    while (!this.#over) {
      const read = await this.#read();
      const step = this.#interruption ?? read;
      if (this.#over) return;
      if ('cut' in step) return this.#cut(controller, step.cut);
      if ('broken' in step) return this.#breakOff(controller, step.broken);
      if (step.chunk === null) return this.#finish(controller);
      this.#lastChunkMs = this.#ports.now();
      const denial = this.#ports.screen.against();
      if (denial !== null) return this.#cut(controller, denial);
      const frames = this.#frames.push(step.chunk);
      if (frames === null) return this.#breakOff(controller, 'stream-lost');
      const passed = await this.#passAll(controller, frames);
      if (this.#over) return;
      if (passed !== null) return this.#cut(controller, passed);
      if (this.#sent) {
        this.#handedOverMs = this.#ports.now();
        return;
      }
    }
  }

  clientGone(): void {
    // What a client that had stopped reading left unread was generated all the same, and nobody metered it.
    this.#end(
      this.#isStalled() ? { how: 'unseen', reason: 'client-aborted' } : { how: 'cut', reason: 'client-aborted' },
    );
    this.#ports.abort();
  }

  #isStalled(): boolean {
    return this.#handedOverMs !== null && this.#ports.now() - this.#handedOverMs > STALLED_AFTER_MS;
  }

  /** Ends a read that may wait for long. A client that has stopped reading hears of it when it goes on; its hold ends now. */
  #interrupt(step: { readonly cut: Denial } | { readonly broken: 'upstream-timeout' }): void {
    this.#interruption ??= step;
    void this.#reader.cancel().catch(() => undefined);
    if (!this.#isStalled()) return;
    this.#report({ how: 'unseen', reason: 'cut' in step ? cutReason(step.cut) : step.broken });
    this.#ports.abort();
  }

  async #read(): Promise<Step> {
    if (this.#interruption !== null) return this.#interruption;
    try {
      const { done, value } = await this.#reader.read();
      return { chunk: done ? null : value };
    } catch {
      return { broken: 'stream-lost' };
    }
  }

  /** Reads and passes whole events, those of one chunk together; the reason to cut, when the hold cannot cover one of them. */
  async #passAll(
    controller: ReadableStreamDefaultController<Uint8Array>,
    frames: readonly Uint8Array[],
  ): Promise<Denial | null> {
    const visible: Uint8Array[] = [];
    let denial: Denial | null = null;
    for (const frame of frames) {
      const bytes = this.#readEvent(frame);
      denial = await this.#ports.cover();
      if (denial !== null || this.#over) break;
      if (bytes !== null) visible.push(bytes);
    }
    if (visible.length > 0 && !this.#over) {
      controller.enqueue(joinBytes(visible));
      this.#sent = true;
    }
    return denial;
  }

  /** Lets the meter read one event; what of it the client gets. */
  #readEvent(frame: Uint8Array): Uint8Array | null {
    const text = this.#decoder.decode(frame);
    const clean = redact(text, this.#ports.secrets);
    if (clean.found) this.#ports.alert('provider-key-echoed');
    this.#event = null;
    this.#parser.feed(clean.text);
    const event: StreamEvent | null = this.#event;
    const visible = event === null || this.#ports.meter.event(event) === 'pass';
    if (!visible) return null;
    return clean.found ? this.#encoder.encode(clean.text) : frame;
  }

  /** The upstream closed: fine if its protocol says that this was the end, otherwise the client must not take it for one. */
  #finish(controller: ReadableStreamDefaultController<Uint8Array>): void {
    const rest = this.#frames.rest();
    if (rest.length > 0) {
      // Some servers leave out the last empty line. What is only half an event is read too, and not passed.
      const bytes = this.#readEvent(this.#encoder.encode(`${this.#decoder.decode(rest)}${EVENT_END}`));
      const isEnd = this.#ports.meter.reading().ended;
      if (bytes !== null && isEnd) controller.enqueue(bytes.subarray(0, bytes.length - EVENT_END.length));
    }
    if (!this.#ports.meter.reading().ended) return this.#breakOff(controller, 'stream-lost');
    this.#end({ how: 'completed' });
    controller.close();
  }

  #breakOff(controller: ReadableStreamDefaultController<Uint8Array>, reason: 'stream-lost' | 'upstream-timeout'): void {
    const denial: Denial = {
      code: reason === 'upstream-timeout' ? 'upstream-timeout' : 'upstream-unavailable',
      detail:
        reason === 'upstream-timeout'
          ? 'The upstream fell silent.'
          : 'The upstream broke off before the end of its answer.',
    };
    this.#close(controller, denial, { how: 'lost', reason });
  }

  #cut(controller: ReadableStreamDefaultController<Uint8Array>, denial: Denial): void {
    this.#close(controller, denial, { how: 'cut', reason: cutReason(denial) });
  }

  #close(controller: ReadableStreamDefaultController<Uint8Array>, denial: Denial, ending: Ending): void {
    controller.enqueue(this.#encoder.encode(this.#ports.protocol.cut(denial, this.#ports.call)));
    controller.close();
    this.#end(ending);
    this.#ports.abort();
  }

  #end(ending: Ending): void {
    if (this.#over) return;
    this.#over = true;
    this.#report(ending);
  }

  /** Says once how it ended. */
  #report(ending: Ending): void {
    if (this.#reported) return;
    this.#reported = true;
    this.#guard.stop();
    this.#ports.ended(ending);
  }

  #endWhenSilent(): void {
    if (this.#ports.now() - this.#lastChunkMs > STREAM_IDLE_TIMEOUT_MS) this.#interrupt({ broken: 'upstream-timeout' });
  }
}
