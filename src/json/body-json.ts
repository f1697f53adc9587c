// Reads JSON in exactly one way: what one parser would fold, drop or repair is refused here, so that Fusebox and the
// upstream cannot understand the same bytes differently. Must not know what the JSON means.
import { MAX_JSON_DEPTH } from '../limits.ts';

export type JsonObject = { readonly [name: string]: unknown };

/** Where a value stands in the text: UTF-16 offsets, end exclusive. */
export interface ValueSpan {
  readonly start: number;
  readonly end: number;
}

/** A member of the top-level object, with its own members where its value is an object. */
interface MemberSpan extends ValueSpan {
  readonly members: ReadonlyMap<string, ValueSpan> | null;
}

export interface StrictJson {
  readonly text: string;
  readonly value: JsonObject;
  /** By the name as decoded. */
  readonly members: ReadonlyMap<string, MemberSpan>;
}

export type StrictJsonResult =
  | { readonly ok: true; readonly json: StrictJson }
  | { readonly ok: false; readonly message: string };

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;
const COLON = 0x3a;
const COMMA = 0x2c;
const SPACE = 0x20;

/** Names that objects of up to this many members compare one by one; beyond it a Set is cheaper. */
const LINEAR_NAMES = 8;

/**
 * Parses the bytes of a JSON object. Refused, with a sentence that says why: invalid UTF-8, a byte order mark, anything
 * but one object, deeper nesting than MAX_JSON_DEPTH, a member named twice in one object, a member named `__proto__`.
 * Never throws.
 */
export function parseStrictJson(bytes: Uint8Array): StrictJsonResult {
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return refusedJson('is not valid UTF-8');
  }
  return parseStrictJsonText(text);
}

/** As parseStrictJson, for text that is already decoded. */
export function parseStrictJsonText(text: string): StrictJsonResult {
  // The scan comes first: it bounds the depth before a parser allocates for it. It trusts no grammar, the parser judges that.
  const scan = scanStructure(text);
  if (typeof scan === 'string') return refusedJson(scan);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return refusedJson('is not valid JSON');
  }
  if (!isJsonObject(value)) return refusedJson('must be a JSON object');
  return { ok: true, json: { text, value, members: scan } };
}

/** True for JSON objects, false for arrays, null and scalars. */
export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function refusedJson(why: string): StrictJsonResult {
  return { ok: false, message: `The body ${why}.` };
}

/** The names seen in one open object; null stands for an open array. */
type OpenNames = { list: string[]; set: Set<string> | null } | null;

interface MutableMember {
  start: number;
  end: number;
  members: Map<string, { start: number; end: number }> | null;
}

/** Walks the brackets, strings and names of the text once; returns the spans of the top two levels, or what is wrong. */
function scanStructure(text: string): ReadonlyMap<string, MemberSpan> | string {
  const top = new Map<string, MutableMember>();
  const open: OpenNames[] = [];
  let current: MutableMember | null = null;
  let inner: { start: number; end: number } | null = null;
  let nameExpected = false;
  let index = 0;
  const { length } = text;
  while (index < length) {
    const code = text.charCodeAt(index);
    if (code === QUOTE) {
      const end = endOfString(text, index);
      if (end < 0) return 'is not valid JSON';
      if (nameExpected) {
        nameExpected = false;
        const name = decodeName(text, index, end);
        if (name === null) return 'is not valid JSON';
        if (name === '__proto__') return 'has a member named "__proto__"';
        const names = open.at(-1);
        if (names !== null && names !== undefined && !addName(names, name))
          return `names the member ${JSON.stringify(name)} twice`;
        const valueStart = startOfValue(text, end);
        if (open.length === 1) {
          current = { start: valueStart, end: valueStart, members: null };
          top.set(name, current);
        } else if (open.length === 2 && current !== null && open[0] !== null && names !== null) {
          inner = { start: valueStart, end: valueStart };
          current.members ??= new Map();
          current.members.set(name, inner);
        }
      } else {
        if (open.length === 1 && current !== null) current.end = end;
        if (open.length === 2 && inner !== null) inner.end = end;
      }
      index = end;
      continue;
    }
    if (code === OPEN_BRACE || code === OPEN_BRACKET) {
      if (open.length >= MAX_JSON_DEPTH) return `is nested deeper than ${MAX_JSON_DEPTH} levels`;
      open.push(code === OPEN_BRACE ? { list: [], set: null } : null);
      nameExpected = code === OPEN_BRACE;
      if (open.length === 2) {
        inner = null;
        if (current !== null && code === OPEN_BRACE) current.members ??= new Map();
      }
    } else if (code === CLOSE_BRACE || code === CLOSE_BRACKET) {
      open.pop();
      nameExpected = false;
      if (open.length === 1 && current !== null) current.end = index + 1;
      if (open.length === 2 && inner !== null) inner.end = index + 1;
    } else if (code === COMMA) {
      nameExpected = open.at(-1) !== null && open.length > 0;
    } else if (code !== COLON && code > SPACE) {
      // A number or literal: its last character moves the end along.
      if (open.length === 1 && current !== null) current.end = index + 1;
      if (open.length === 2 && inner !== null) inner.end = index + 1;
    }
    index += 1;
  }
  return top;
}

/** The offset after the closing quote of the string that opens at `start`, or -1. */
function endOfString(text: string, start: number): number {
  let from = start + 1;
  for (;;) {
    const quote = text.indexOf('"', from);
    if (quote < 0) return -1;
    let slashes = 0;
    while (text.charCodeAt(quote - 1 - slashes) === BACKSLASH) slashes += 1;
    if (slashes % 2 === 0) return quote + 1;
    from = quote + 1;
  }
}

function decodeName(text: string, start: number, end: number): string | null {
  const raw = text.slice(start + 1, end - 1);
  if (!raw.includes('\\')) return raw;
  try {
    const decoded: unknown = JSON.parse(text.slice(start, end));
    return typeof decoded === 'string' ? decoded : null;
  } catch {
    return null;
  }
}

function addName(names: { list: string[]; set: Set<string> | null }, name: string): boolean {
  if (names.set !== null) {
    if (names.set.has(name)) return false;
    names.set.add(name);
    return true;
  }
  if (names.list.includes(name)) return false;
  names.list.push(name);
  if (names.list.length > LINEAR_NAMES) names.set = new Set(names.list);
  return true;
}

function startOfValue(text: string, afterName: number): number {
  let index = afterName;
  while (index < text.length) {
    const code = text.charCodeAt(index);
    if (code !== COLON && code > SPACE) return index;
    index += 1;
  }
  return index;
}
