// Keeps the provider's key from coming back in an answer. An upstream that echoes what it received is not trusted to
// have meant well.

const MASK = '[redacted]';
/** Shorter values would match by chance. */
const MIN_SECRET_CHARS = 8;

export interface Redaction {
  readonly text: string;
  readonly found: boolean;
}

/** Replaces every occurrence of a secret in whole text. */
export function redact(text: string, secrets: readonly string[]): Redaction {
  let clean = text;
  for (const secret of secrets) {
    if (secret.length >= MIN_SECRET_CHARS && clean.includes(secret)) clean = clean.replaceAll(secret, MASK);
  }
  return { text: clean, found: clean !== text };
}

/** Drops every header whose value holds a secret. */
export function redactHeaders(headers: Headers, secrets: readonly string[]): void {
  const tainted = Array.from(headers).filter(([, value]) => redact(value, secrets).found);
  for (const [name] of tainted) headers.delete(name);
}

/**
 * Replaces secrets in bytes that pass in pieces: holds back as many bytes as a secret may have begun in. Secrets are
 * header values, so they are ASCII; the mask is as long as the secret, so that lengths stay true.
 */
export class RedactingPassage {
  readonly #secrets: readonly Uint8Array[];
  readonly #keepBytes: number;
  #tail: Uint8Array = new Uint8Array();
  found = false;

  constructor(secrets: readonly string[]) {
    const encoder = new TextEncoder();
    this.#secrets = secrets.filter((secret) => secret.length >= MIN_SECRET_CHARS).map((secret) => encoder.encode(secret));
    this.#keepBytes = Math.max(0, ...this.#secrets.map((secret) => secret.length - 1));
  }

  push(chunk: Uint8Array): Uint8Array {
    if (this.#secrets.length === 0) return chunk;
    const bytes = new Uint8Array(this.#tail.length + chunk.length);
    bytes.set(this.#tail);
    bytes.set(chunk, this.#tail.length);
    this.#mask(bytes);
    const cut = Math.max(0, bytes.length - this.#keepBytes);
    this.#tail = bytes.slice(cut);
    return bytes.subarray(0, cut);
  }

  end(): Uint8Array {
    return this.#tail;
  }

  #mask(bytes: Uint8Array): void {
    for (const secret of this.#secrets) {
      for (let at = indexOf(bytes, secret, 0); at >= 0; at = indexOf(bytes, secret, at + secret.length)) {
        bytes.fill('*'.charCodeAt(0), at, at + secret.length);
        this.found = true;
      }
    }
  }
}

function indexOf(bytes: Uint8Array, wanted: Uint8Array, from: number): number {
  const [first] = wanted;
  if (first === undefined) return -1;
  for (let at = bytes.indexOf(first, from); at >= 0; at = bytes.indexOf(first, at + 1)) {
    if (wanted.every((byte, offset) => bytes[at + offset] === byte)) return at;
  }
  return -1;
}
