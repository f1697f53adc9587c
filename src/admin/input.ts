// Reads what a call of the control plane brings: body and query, bounded, parsed strictly, validated by the schema of its
// route, with the key named where something is wrong.
import { createHash } from 'node:crypto';
import type * as z from 'zod';
import { joinBytes } from '../bytes.ts';
import { readStrictJson } from '../json/small-json.ts';
import { accepted, refused, type Result } from '../denial.ts';
import { MAX_ADMIN_BODY_BYTES } from '../limits.ts';
import { nearest } from '../policy/spelling.ts';

/** Keys of the contract that later versions read. */
const LATER_KEYS = new Set(['public_key', 'csr']);
const MAX_PROBLEMS_TOLD = 5;
/** `text/plain` is what fetch() says of a string when nobody says otherwise. Forms are refused: they are a mistake, or a browser's. */
const JSON_TYPE = /^(?:application\/(?:[a-z0-9.+-]+\+)?json|text\/plain)\s*(?:;|$)/i;

const NDJSON_TYPE = /^(?:application\/(?:x-)?ndjson|text\/plain)\s*(?:;|$)/i;

/** Reads the JSON body of a request. An absent one counts as `{}`, for calls whose members are all optional. */
export async function readBody<S extends z.ZodType>(
  request: Request,
  schema: S,
  maxBytes: number = MAX_ADMIN_BODY_BYTES,
): Promise<Result<z.output<S>>> {
  const text = await readText(request, { maxBytes, type: JSON_TYPE, typeName: 'application/json' });
  if (!text.ok) return text;
  return text.value === '' ? validate({}, schema) : readJson(text.value, schema);
}

export interface Lines<T> {
  readonly values: readonly T[];
  /** Of the body as it was sent, hex. */
  readonly sha256: string;
}

/** Reads a body of NDJSON, one value a line; empty lines are passed over. What is wrong is said with its line. */
export async function readLines<S extends z.ZodType>(
  request: Request,
  schema: S,
  { maxBytes, maxLines }: { readonly maxBytes: number; readonly maxLines: number },
): Promise<Result<Lines<z.output<S>>>> {
  const text = await readText(request, { maxBytes, type: NDJSON_TYPE, typeName: 'application/x-ndjson' });
  if (!text.ok) return text;
  const values: z.output<S>[] = [];
  for (const [index, line] of text.value.split('\n').entries()) {
    if (line.trim() === '') continue;
    if (values.length === maxLines) return refused('body-too-large', `The body has more than ${maxLines} lines.`);
    const value = readJson(line, schema);
    if (!value.ok) return refused(value.denial.code, `Line ${index + 1}: ${value.denial.detail}`);
    values.push(value.value);
  }
  return accepted({ values, sha256: createHash('sha256').update(text.value).digest('hex') });
}

/** The text of a body; empty where there is none. */
async function readText(
  request: Request,
  { maxBytes, type, typeName }: { readonly maxBytes: number; readonly type: RegExp; readonly typeName: string },
): Promise<Result<string>> {
  const encoding = request.headers.get('content-encoding');
  if (encoding !== null && encoding !== 'identity')
    return refused('encoding-unsupported', 'The body must not be compressed.');
  const bytes = await readBounded(request, maxBytes);
  if (bytes === null) return refused('body-too-large', `The body is larger than ${maxBytes} bytes.`);
  const sent = request.headers.get('content-type');
  if (bytes.length > 0 && sent !== null && !type.test(sent))
    return refused('encoding-unsupported', `The body must be sent as content-type ${typeName}.`);
  try {
    return accepted(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch {
    return refused('bad-request', 'The body is not UTF-8.');
  }
}

function readJson<S extends z.ZodType>(text: string, schema: S): Result<z.output<S>> {
  const reading = readStrictJson(text);
  return reading.ok
    ? validate(reading.value, schema)
    : refused('bad-request', `The body is not JSON: ${reading.reason}.`);
}

/** Reads the query of a URL; a name that is given twice is refused. */
export function readQuery<S extends z.ZodType>(url: string, schema: S): Result<z.output<S>> {
  const members: Record<string, string> = {};
  for (const [name, value] of new URL(url).searchParams) {
    if (Object.hasOwn(members, name)) return refused('bad-request', `The query has "${name.slice(0, 64)}" twice.`);
    Object.defineProperty(members, name, { value, enumerable: true });
  }
  return validate(members, schema);
}

function validate<S extends z.ZodType>(value: unknown, schema: S): Result<z.output<S>> {
  const parsed = schema.safeParse(value);
  if (parsed.success) return accepted(parsed.data);
  const problems = parsed.error.issues.flatMap((issue) => sentences(issue, schema));
  return refused('bad-request', `${problems.slice(0, MAX_PROBLEMS_TOLD).join('; ')}.`);
}

function sentences(issue: z.core.$ZodIssue, schema: z.ZodType): readonly string[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map(
      (key) => `${place([...issue.path, key.slice(0, 64)])} ${unknownKey(key, issue.path, schema)}`,
    );
  }
  if (issue.code === 'invalid_union') {
    // The deepest of the alternatives' complaints says more than "none of them".
    const inner = issue.errors.flat().find((alternative) => alternative.path.length > 0);
    if (inner !== undefined) return [`${place([...issue.path, ...inner.path])} ${inner.message}`];
  }
  return [`${place(issue.path)} ${issue.message}`];
}

function unknownKey(key: string, path: readonly PropertyKey[], schema: z.ZodType): string {
  if (LATER_KEYS.has(key)) return 'is not supported by this version';
  const known =
    path.length === 0 && 'shape' in schema && typeof schema.shape === 'object' && schema.shape !== null
      ? Object.keys(schema.shape)
      : [];
  const meant = nearest(key, known);
  return meant === null ? 'is not known' : `is not known; did you mean "${meant}"?`;
}

function place(path: readonly PropertyKey[]): string {
  if (path.length === 0) return 'the body';
  return path
    .map((key, index) => (typeof key === 'number' ? `[${key}]` : `${index === 0 ? '' : '.'}${String(key)}`))
    .join('');
}

/** The body's bytes, or null where there are too many. Never holds more than the bound and one chunk. */
async function readBounded(request: Request, maxBytes: number): Promise<Uint8Array | null> {
  if (request.body === null) return new Uint8Array();
  const chunks: Uint8Array[] = [];
  let length = 0;
  // Leaving the loop early cancels the stream.
  for await (const chunk of request.body as ReadableStream<Uint8Array>) {
    length += chunk.length;
    if (length > maxBytes) return null;
    chunks.push(chunk);
  }
  return joinBytes(chunks);
}
