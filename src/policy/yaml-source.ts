// YAML text to plain values, with the place of every key at hand for error messages. Bounded in size, depth and aliases;
// knows nothing of what a policy means.
import { type Document, isAlias, isMap, isPair, isScalar, LineCounter, type Node, parseDocument, visit } from 'yaml';
import { MAX_POLICY_BYTES } from '../limits.ts';

type KeyPath = readonly PropertyKey[];

export interface PolicyError {
  /** From 1. */
  readonly line: number;
  readonly column: number;
  /** "routes.openai.fees[0].usd"; empty for the file as a whole. */
  readonly path: string;
  readonly reason: string;
}

/** Called with what went wrong at a key path; `onKey` points at the key itself, not at its value. */
export type Report = (path: KeyPath, reason: string, onKey?: 'on-key') => void;

export interface YamlSource {
  readonly value: unknown;
  readonly errors: PolicyError[];
  readonly report: Report;
}

/** An alias is a convenience in a file of some pages; a thousand of them are an attack on the memory. */
const MAX_ALIASES = 64;
/** Far deeper than the schema goes; a parser's stack ends somewhere. */
const MAX_INDENTED_BRACKETS = 32;

/** Reads one YAML 1.2 document (core schema). Syntax errors, duplicate keys, odd keys, unknown tags and bombs end up in `errors`. */
export function readYaml(text: string): YamlSource {
  const errors: PolicyError[] = [];
  if (new TextEncoder().encode(text).length > MAX_POLICY_BYTES)
    return failed(`is larger than ${MAX_POLICY_BYTES} bytes`);
  if (nestsDeeperThan(text, MAX_INDENTED_BRACKETS)) return failed('is nested too deeply');
  const lines = new LineCounter();
  const place = (offset: number, path: string, reason: string): PolicyError => {
    const { line, col } = lines.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col), path, reason };
  };
  const document = parseDocument(text, {
    lineCounter: lines,
    prettyErrors: false,
    uniqueKeys: true,
    schema: 'core',
    merge: false,
  });
  for (const problem of [...document.errors, ...document.warnings])
    errors.push(place(problem.pos[0], '', firstSentence(problem.message)));
  checkNodes(document, (offset, reason) => errors.push(place(offset, '', reason)));
  const report: Report = (path, reason, onKey) => {
    errors.push(place(offsetOf(document, path, onKey === 'on-key'), pathText(path), reason));
  };
  if (errors.length > 0) return { value: undefined, errors, report };
  try {
    return { value: document.toJS({ maxAliasCount: MAX_ALIASES }), errors, report };
  } catch {
    return failed('expands to too much through its aliases');
  }
}

function failed(reason: string): YamlSource {
  return { value: undefined, errors: [{ line: 1, column: 1, path: '', reason }], report: () => {} };
}

/** `a.b[0].c` as people write it. */
function pathText(path: KeyPath): string {
  return path
    .map((key, index) => (typeof key === 'number' ? `[${key}]` : `${index === 0 ? '' : '.'}${String(key)}`))
    .join('');
}

function firstSentence(message: string): string {
  return message.split('\n', 1)[0] ?? message;
}

function nestsDeeperThan(text: string, most: number): boolean {
  let depth = 0;
  for (const character of text) {
    if (character === '[' || character === '{') depth += 1;
    else if (character === ']' || character === '}') depth = Math.max(0, depth - 1);
    if (depth > most) return true;
  }
  return false;
}

function checkNodes(document: Document.Parsed, problem: (offset: number, reason: string) => void): void {
  let aliases = 0;
  visit(document, {
    Alias: (_key, node) => {
      aliases += 1;
      if (aliases === MAX_ALIASES + 1) problem(node.range?.[0] ?? 0, `more than ${MAX_ALIASES} aliases`);
    },
    Pair: (_key, pair) => {
      const { key } = pair;
      const offset = isScalar(key) || isAlias(key) ? (key.range?.[0] ?? 0) : 0;
      if (!isScalar(key) || key.value === null) problem(offset, 'a key that is not a name');
      else if (key.value === '__proto__') problem(offset, 'the key "__proto__" is not a name');
    },
  });
}

/** Of the node at a path, or of the nearest one above it where there is none. */
function offsetOf(document: Document.Parsed, path: KeyPath, onKey: boolean): number {
  let node: unknown = document.contents;
  let offset = startOf(node) ?? 0;
  for (const [index, key] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    const pair = isMap(node)
      ? node.items.find((item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(key))
      : undefined;
    const next: unknown = pair === undefined ? childOf(node, key) : pair.value;
    if (pair === undefined && next === undefined) break;
    const keyOffset = pair === undefined ? undefined : startOf(pair.key);
    const isLast = index === path.length - 1;
    offset = (isLast && onKey ? keyOffset : (startOf(next) ?? keyOffset)) ?? offset;
    if (!isLast && keyOffset !== undefined) offset = keyOffset;
    node = next;
  }
  return offset;
}

function childOf(node: unknown, key: PropertyKey): Node | undefined {
  if (
    typeof node !== 'object' ||
    node === null ||
    !('items' in node) ||
    !Array.isArray(node.items) ||
    typeof key !== 'number'
  )
    return undefined;
  return node.items[key] as Node | undefined;
}

function startOf(node: unknown): number | undefined {
  if (typeof node !== 'object' || node === null || !('range' in node) || !Array.isArray(node.range)) return undefined;
  return Number(node.range[0]);
}
