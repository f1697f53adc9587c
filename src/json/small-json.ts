// A strict reader of small JSON texts, for claims and for what operators send: what two readers could understand
// differently is refused. Recursive, so depth is bounded; not meant for the bodies of the data plane.

/** The objects that it makes have no prototype, so that no key has a meaning of its own. */
export type JsonValue = null | boolean | number | string | JsonValue[] | JsonObject;
export interface JsonObject {
  [key: string]: JsonValue;
}

export type JsonReading =
  | { readonly ok: true; readonly value: JsonValue }
  | { readonly ok: false; readonly reason: string };

/** Deeper than any claim set or admin body of ours needs. */
const MAX_DEPTH = 16;
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
// oxlint-disable-next-line no-control-regex -- RFC 8259 section 7 forbids exactly these inside a string
const STRING = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const LITERALS: readonly (readonly [string, null | boolean])[] = [
  ['true', true],
  ['false', false],
  ['null', null],
];

class Refusal extends Error {}

/**
 * Reads RFC 8259 JSON and refuses, beyond what JSON.parse refuses: duplicate keys anywhere, the key `__proto__`, numbers
 * that are not finite, and nesting beyond 16 levels. The reason says what and where, and quotes at most a key.
 */
export function readStrictJson(text: string): JsonReading {
  const reader = new Reader(text);
  try {
    return { ok: true, value: reader.document() };
  } catch (error) {
    if (error instanceof Refusal) return { ok: false, reason: error.message };
    throw error;
  }
}

/** Whether a value that was read is an object. */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

class Reader {
  #at = 0;
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  document(): JsonValue {
    const value = this.#value(0);
    this.#skipSpace();
    if (this.#at !== this.#text.length) throw this.#refuse('text after the end');
    return value;
  }

  #value(depth: number): JsonValue {
    if (depth > MAX_DEPTH) throw this.#refuse('nested too deeply');
    this.#skipSpace();
    const first = this.#text[this.#at];
    if (first === '{') return this.#object(depth);
    if (first === '[') return this.#array(depth);
    if (first === '"') return this.#string();
    for (const [word, value] of LITERALS) {
      if (this.#text.startsWith(word, this.#at)) {
        this.#at += word.length;
        return value;
      }
    }
    const number = Number(this.#match(NUMBER, 'not a JSON value'));
    if (!Number.isFinite(number)) throw this.#refuse('a number that is not finite');
    return number;
  }

  #object(depth: number): JsonObject {
    const object: JsonObject = Object.create(null) as JsonObject;
    this.#at += 1;
    if (this.#take('}')) return object;
    do {
      this.#skipSpace();
      const key = this.#string();
      if (key === '__proto__') throw this.#refuse('the key "__proto__"');
      if (key in object) throw this.#refuse(`the key ${JSON.stringify(key.slice(0, 64))} twice`);
      if (!this.#take(':')) throw this.#refuse('no colon after a key');
      object[key] = this.#value(depth + 1);
    } while (this.#take(','));
    if (!this.#take('}')) throw this.#refuse('an object that does not end');
    return object;
  }

  #array(depth: number): JsonValue[] {
    const array: JsonValue[] = [];
    this.#at += 1;
    if (this.#take(']')) return array;
    do {
      array.push(this.#value(depth + 1));
    } while (this.#take(','));
    if (!this.#take(']')) throw this.#refuse('an array that does not end');
    return array;
  }

  #string(): string {
    return JSON.parse(this.#match(STRING, 'not a JSON string')) as string;
  }

  #match(pattern: RegExp, otherwise: string): string {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) throw this.#refuse(otherwise);
    this.#at = pattern.lastIndex;
    return match[0];
  }

  #take(character: string): boolean {
    this.#skipSpace();
    if (this.#text[this.#at] !== character) return false;
    this.#at += 1;
    return true;
  }

  #skipSpace(): void {
    while (' \t\n\r'.includes(this.#text[this.#at] ?? 'x')) this.#at += 1;
  }

  #refuse(what: string): Refusal {
    return new Refusal(`${what}, at character ${this.#at}`);
  }
}
