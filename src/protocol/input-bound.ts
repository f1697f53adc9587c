// How many input tokens a request can be billed for at most: its bytes, declared bounds for media, the context window
// for what the provider keeps or fetches, and the readings that hosted tools repeat. Must not know any wire format.
import { MAX_TOKENS } from '../limits.ts';
import { refused, type Result, accepted } from '../denial.ts';
import { microUsd, type MicroUsd } from '../money.ts';
import type { HostedToolBound, UsageBounds } from '../policy/policy.ts';
import {
  PER_MESSAGE_OVERHEAD_TOKENS,
  PER_TOOL_OVERHEAD_TOKENS,
  REQUEST_OVERHEAD_TOKENS,
  TOOLS_OVERHEAD_TOKENS,
} from './bounds.ts';

const KIB = 1024;
/** Base64 carries three bytes in four characters. */
const BYTES_PER_BASE64_CHAR = 0.75;

export type MediaKind = 'image' | 'audio' | 'video' | 'document';

/** A hosted tool as one request uses it. */
export interface HostedUse {
  readonly name: string;
  readonly bound: HostedToolBound;
}

/** Sums up what one request shows, piece by piece; `bound()` gives the worst case. */
export class InputBound {
  readonly #bounds: UsageBounds;
  readonly #imageTokens: number;
  #textTokens: number;
  #mediaTokens = 0;
  #opaque = false;
  #listing = false;
  #hosted: HostedUse[] = [];

  /** `bodyBytes`: the whole request as sent; every byte counts as a token until it is known to be media. */
  constructor(options: { readonly bounds: UsageBounds; readonly imageTokens: number; readonly bodyBytes: number }) {
    this.#bounds = options.bounds;
    this.#imageTokens = options.imageTokens;
    this.#textTokens = options.bodyBytes + REQUEST_OVERHEAD_TOKENS;
  }

  messages(count: number): void {
    this.#textTokens += count * PER_MESSAGE_OVERHEAD_TOKENS;
  }

  tools(count: number): void {
    if (count > 0) this.#textTokens += TOOLS_OVERHEAD_TOKENS + count * PER_TOOL_OVERHEAD_TOKENS;
  }

  /** Text that Fusebox may add, or that is read besides the body. */
  text(tokens: number): void {
    this.#textTokens += tokens;
  }

  /** Media inside the body, as base64: its characters are no text. */
  inline(kind: MediaKind, base64Chars: number): void {
    this.#textTokens -= base64Chars;
    const kibibytes = Math.ceil((base64Chars * BYTES_PER_BASE64_CHAR) / KIB);
    if (kind === 'image') this.#mediaTokens += this.#imageTokens;
    // A page or a second at least: small files carry more tokens for their bytes.
    else if (kind === 'document')
      this.#mediaTokens += this.#imageTokens + kibibytes * this.#bounds.documentTokensPerKib;
    else this.#mediaTokens += this.#imageTokens + kibibytes * this.#perKib(kind);
  }

  /** A picture that the provider fetches: of any size, but billed as one picture. */
  linkedImage(): void {
    this.#mediaTokens += this.#imageTokens;
  }

  /** State or files that only the provider sees: anything up to the context window. */
  opaque(): void {
    this.#opaque = true;
  }

  /** Something of unknown size that is read once, not again with each use of a tool: the tools of a remote server. */
  listing(): void {
    this.#listing = true;
  }

  hosted(use: HostedUse): void {
    this.#hosted.push(use);
  }

  /** Whether anything but text can be in the input, so that the dearest kind of input decides its price. */
  get hasMedia(): boolean {
    return this.#opaque || this.#mediaTokens > 0;
  }

  get hasHostedTools(): boolean {
    return this.#hosted.length > 0;
  }

  /**
   * The worst case. `contextTokens` bounds each reading of the context (Infinity where requests are not one context);
   * `usesMax` bounds the uses of all hosted tools together, where the request says so; `readingsMax` how often their
   * results can make the provider read the context again.
   */
  bound(options: { readonly contextTokens: number; readonly usesMax: number | null; readonly readingsMax: number }): {
    readonly inputTokens: number;
    readonly mediaTokens: number;
    readonly feesMicroUsd: MicroUsd;
  } {
    const { contextTokens } = options;
    const known = this.#known(contextTokens);
    const first = this.once(contextTokens);
    const again = this.#opaque ? contextTokens : known;
    let uses = 0;
    let results = 0;
    let fees = 0;
    for (const { bound } of this.#hosted) {
      const times = Math.min(bound.usesMax, options.usesMax ?? bound.usesMax);
      uses += times;
      results += times * bound.inputTokensPerUse;
      fees += times * bound.microUsdPerUse;
    }
    const readings = Math.min(uses, options.usesMax ?? uses, options.readingsMax);
    const inputTokens = Math.min(first + readings * again + results, (readings + 1) * contextTokens, MAX_TOKENS);
    const mediaTokens = this.#opaque ? inputTokens : Math.min(inputTokens, this.#mediaTokens * (readings + 1));
    return { inputTokens, mediaTokens, feesMicroUsd: microUsd(fees) };
  }

  /** The worst case of reading the context once. */
  once(contextTokens: number): number {
    return this.#opaque || this.#listing ? contextTokens : this.#known(contextTokens);
  }

  #known(contextTokens: number): number {
    return Math.min(contextTokens, Math.max(0, this.#textTokens) + this.#mediaTokens);
  }

  #perKib(kind: 'audio' | 'video'): number {
    return kind === 'audio' ? this.#bounds.audioTokensPerKib : this.#bounds.videoTokensPerKib;
  }
}

/**
 * What one hosted tool may do in a request: the policy's bound over the protocol's default, and the client's own number of
 * uses where it states one. Refused where nobody bounds the tool, or the policy allows no use of it.
 */
export function hostedUse(options: {
  readonly name: string;
  readonly defaults: ReadonlyMap<string, HostedToolBound>;
  readonly bounds: UsageBounds;
  readonly usesAsked: number | null;
}): Result<HostedUse> {
  const { name } = options;
  const bound = options.bounds.hostedTools.get(name) ?? options.defaults.get(name);
  if (bound === undefined) {
    return refused(
      'policy-denied',
      `Nothing bounds what the tool "${name}" costs; declare it in the policy under bounds.hosted_tools to allow it.`,
      { evidence: { tool: name } },
    );
  }
  if (bound.usesMax <= 0) {
    return refused('policy-denied', `The policy allows no use of the tool "${name}" (bounds.hosted_tools).`, {
      evidence: { tool: name },
    });
  }
  return accepted({ name, bound: { ...bound, usesMax: options.usesAsked ?? bound.usesMax } });
}
