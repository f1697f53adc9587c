// Keeps the provider's key from coming back in an answer. An upstream that echoes what it received is not trusted to
// have meant well, nor to write it as it got it: in JSON every character has more than one spelling (RFC 8259 section 7).

const MASK = '[redacted]';
const MASK_BYTE = '*'.charCodeAt(0);
/** Shorter values would match by chance. */
const MIN_SECRET_CHARS = 8;
const BACKSLASH = 0x5c;
const LETTER_U = 0x75;

export interface Redaction {
  readonly text: string;
  readonly found: boolean;
}

/** Replaces every occurrence of a secret in whole text, plain or escaped as in JSON. */
export function redact(text: string, secrets: readonly string[]): Redaction {
  let clean = text;
  for (const secret of secrets) {
    if (secret.length < MIN_SECRET_CHARS) continue;
    if (clean.includes(secret)) clean = clean.replaceAll(secret, MASK);
    // Without a backslash nothing is escaped, and the search is not worth its time.
    if (clean.includes('\\')) clean = clean.replace(spellingsOf(secret), MASK);
  }
  return { text: clean, found: clean !== text };
}

/** By secret: there are as many as the configuration has. */
const spellings = new Map<string, RegExp>();

function spellingsOf(secret: string): RegExp {
  let pattern = spellings.get(secret);
  if (pattern === undefined) {
    pattern = new RegExp(Array.from(secret, spellingOf).join(''), 'g');
    spellings.set(secret, pattern);
  }
  return pattern;
}

/** A character as it is, after a backslash if it is a sign, or as \uXXXX in either case. */
function spellingOf(character: string): string {
  const plain = character.replace(/[\\^$.*+?()[\]{}|/-]/, String.raw`\$&`);
  const escaped = /[A-Za-z0-9]/.test(character) ? plain : String.raw`\\?${plain}`;
  const digits = Array.from(
    character.charCodeAt(0).toString(16).padStart(4, '0'),
    (digit) => `[${digit}${digit.toUpperCase()}]`,
  );
  return String.raw`(?:${escaped}|\\u${digits.join('')})`;
}

/** Drops every header whose value holds a secret. */
export function redactHeaders(headers: Headers, secrets: readonly string[]): void {
  if (secrets.length === 0) return;
  const tainted = Array.from(headers).filter(([, value]) => redact(value, secrets).found);
  for (const [name] of tainted) headers.delete(name);
}

/**
 * Replaces secrets in bytes that pass in pieces, plain or escaped as in JSON: holds back only what a secret may have begun
 * in. Secrets are header values, so they are ASCII; the mask is as long as what it covers, so that lengths stay true.
 */
export class RedactingPassage {
  readonly #secrets: readonly Uint8Array[];
  #tail: Uint8Array = new Uint8Array();
  found = false;

  constructor(secrets: readonly string[]) {
    const encoder = new TextEncoder();
    this.#secrets = secrets
      .filter((secret) => secret.length >= MIN_SECRET_CHARS)
      .map((secret) => encoder.encode(secret));
  }

  push(chunk: Uint8Array): Uint8Array {
    if (this.#secrets.length === 0) return chunk;
    const bytes = new Uint8Array(this.#tail.length + chunk.length);
    bytes.set(this.#tail);
    bytes.set(chunk, this.#tail.length);
    let cut = bytes.length;
    for (const secret of this.#secrets) cut = Math.min(cut, this.#mask(bytes, secret));
    this.#tail = bytes.slice(cut);
    return bytes.subarray(0, cut);
  }

  end(): Uint8Array {
    return this.#tail;
  }

  /** Masks in place; returns where a secret begins that these bytes do not end, or their length. */
  #mask(bytes: Uint8Array, secret: Uint8Array): number {
    const [first] = secret;
    for (let at = 0; at < bytes.length; at += 1) {
      if (bytes[at] !== first && bytes[at] !== BACKSLASH) continue;
      const length = matchAt(bytes, at, secret);
      if (length === 'unfinished') return at;
      if (length === 0) continue;
      bytes.fill(MASK_BYTE, at, at + length);
      this.found = true;
      at += length - 1;
    }
    return bytes.length;
  }
}

function isLetterOrDigit(code: number): boolean {
  return /[A-Za-z0-9]/.test(String.fromCharCode(code));
}

/** How many bytes from `at` on spell the secret; 0 where they do not; `unfinished` where they do as far as they go. */
function matchAt(bytes: Uint8Array, at: number, secret: Uint8Array): number | 'unfinished' {
  let position = at;
  for (const code of secret) {
    const byte = bytes[position];
    if (byte === undefined) return 'unfinished';
    if (byte === code) {
      position += 1;
      if (code === BACKSLASH && bytes[position] === BACKSLASH) position += 1;
      continue;
    }
    if (byte !== BACKSLASH) return 0;
    const next = bytes[position + 1];
    if (next === undefined) return 'unfinished';
    if (next === LETTER_U) {
      const digits = String.fromCharCode(...bytes.subarray(position + 2, position + 6));
      const wanted = code.toString(16).padStart(4, '0');
      if (!wanted.startsWith(digits.toLowerCase())) return 0;
      if (digits.length < wanted.length) return 'unfinished';
      position += 6;
    } else {
      // Only signs can stand after a backslash: before a letter it belongs to what comes before it.
      if (next !== code || isLetterOrDigit(code)) return 0;
      position += 2;
    }
  }
  return position - at;
}
