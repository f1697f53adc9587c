// Fetches the keys of Cloudflare Access and keeps them for an isolate: refreshed in the background, asked for anew when one
// is unknown, used while the endpoint is down. A fetch belongs to the request that began it and is awaited by no other.
import {
  ACCESS_KEYS_MAX_AGE_MS,
  ACCESS_KEYS_REFRESH_AFTER_MS,
  ACCESS_KEYS_RETRY_MS,
  ACCESS_KEYS_TIMEOUT_MS,
  MAX_ACCESS_KEY_FETCHES,
  MAX_ACCESS_KEYS_BYTES,
} from '../limits.ts';
import type { AccessKeyAnswer } from './access-assertion.ts';
import { type AccessKeys, readAccessKeys } from './access-keys.ts';

interface AccessKeysOptions {
  /** `https://TEAM.cloudflareaccess.com/cdn-cgi/access/certs`. */
  readonly url: string;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly log: (entry: Readonly<Record<string, unknown>>) => void;
  /** Of a whole fetch; a test cannot wait as long as an operator. */
  readonly timeoutMs?: number;
}

export class AccessKeysClient {
  readonly #options: AccessKeysOptions;
  #held: { readonly keys: AccessKeys; readonly atMs: number } | null = null;
  /** When fetches began. Not when they end: the platform cancels those of a client that went away, and they never do. */
  #beganMs: readonly number[] = [];

  constructor(options: AccessKeysOptions) {
    this.#options = options;
  }

  /**
   * The key that signs under a `kid`. From memory where it is held, for a day at most and refreshed after an hour, under
   * the request's own `background`; otherwise after a fetch, at most one a minute where other keys are held.
   */
  async keyOf(kid: string, background: (work: Promise<unknown>) => void): Promise<AccessKeyAnswer> {
    const held = this.#usable();
    const key = held?.keys.get(kid);
    if (held !== null && key !== undefined) {
      const isDue = this.#options.now() - held.atMs > ACCESS_KEYS_REFRESH_AFTER_MS;
      if (isDue && this.#mayFetch(1)) background(this.#fetch());
      return { state: 'known', key };
    }
    if (this.#mayFetch(held === null ? MAX_ACCESS_KEY_FETCHES : 1)) await this.#fetch();
    const after = this.#usable();
    const found = after?.keys.get(kid);
    if (found !== undefined) return { state: 'known', key: found };
    const isConfirmed = after !== null && this.#options.now() - after.atMs < ACCESS_KEYS_RETRY_MS;
    return { state: isConfirmed ? 'unknown' : 'unavailable' };
  }

  #usable(): { readonly keys: AccessKeys; readonly atMs: number } | null {
    const held = this.#held;
    return held !== null && this.#options.now() - held.atMs <= ACCESS_KEYS_MAX_AGE_MS ? held : null;
  }

  /** Counts a fetch, unless there were so many within the last minute. */
  #mayFetch(most: number): boolean {
    const now = this.#options.now();
    const recent = this.#beganMs.filter((atMs) => now - atMs < ACCESS_KEYS_RETRY_MS);
    if (recent.length >= most) return false;
    this.#beganMs = [...recent, now];
    return true;
  }

  /** Never rejects; where it fails, the keys that are held stay. */
  async #fetch(): Promise<void> {
    const { url, now, log, timeoutMs = ACCESS_KEYS_TIMEOUT_MS } = this.#options;
    try {
      const answer = await fetch(url, {
        headers: { accept: 'application/json' },
        redirect: 'manual',
        signal: AbortSignal.timeout(timeoutMs),
      });
      if (answer.status !== 200) {
        await answer.body?.cancel();
        throw new Error(`status ${answer.status}`);
      }
      const keys = await readAccessKeys(await readBounded(answer));
      if (keys === null) throw new Error('no set of RSA keys');
      this.#held = { keys, atMs: now() };
    } catch (error) {
      log({ event: 'access-keys.unavailable', url, error: String(error) });
    }
  }
}

/** The body as UTF-8. Throws where it is larger than the bound. */
async function readBounded(answer: Response): Promise<string> {
  if (answer.body === null) return '';
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  let text = '';
  let length = 0;
  // Leaving the loop early cancels the stream.
  for await (const chunk of answer.body as ReadableStream<Uint8Array>) {
    length += chunk.length;
    if (length > MAX_ACCESS_KEYS_BYTES) throw new Error(`more than ${MAX_ACCESS_KEYS_BYTES} bytes`);
    text += decoder.decode(chunk, { stream: true });
  }
  return text + decoder.decode();
}
