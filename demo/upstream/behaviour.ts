// How the pretend upstream misbehaves, as written in a request: `[[loop]]`, `[[tokens:500]]`, `[[behave:slow]]` in the last user
// message, the same words in the query of a ticket call (`?behave=status:500,delay:200`) or at the control endpoint.
import { isObject, listOf, objectOf, textOf, type Json, type JsonObject } from './json.ts';

export type UsageLie = 'none' | 'null' | 'negative' | 'nan' | 'huge' | 'small' | 'strings' | 'fraction' | 'twice';

const USAGE_LIES: ReadonlySet<string> = new Set<UsageLie>([
  'none',
  'null',
  'negative',
  'nan',
  'huge',
  'small',
  'strings',
  'fraction',
  'twice',
]);

export interface Behaviour {
  /** Always asks for the same tool call again. */
  readonly loop: boolean;
  /** Asks for a tool this many times before it answers. */
  readonly steps: number;
  /** Before the headers. */
  readonly delayMs: number;
  /** Before every event of a stream (or the second half of a JSON body). */
  readonly paceMs: number;
  /** Destroys the connection after this many events (JSON: after half of the body). */
  readonly resetAfter: number | null;
  /** Ends cleanly in the middle of the body. */
  readonly truncate: boolean;
  /** Accepts the request and never answers. */
  readonly hang: boolean;
  /** Goes on for ever. */
  readonly endless: boolean;
  readonly usage: UsageLie | null;
  /** Answers with this status and the provider's error body. */
  readonly status: number | null;
  /** Reports a failure inside a stream that began well. */
  readonly errorEvent: boolean;
  /** Answers with a redirect to this place. */
  readonly redirect: string | null;
  /** Puts the credential that it received into headers and text. */
  readonly echoKey: boolean;
  /** Adds this many bytes of text. */
  readonly oversizedBytes: number;
  /** Compresses this many bytes of spaces into the body. */
  readonly bombBytes: number;
  /** Names another model than the one asked for. */
  readonly model: string | null;
  readonly tokens: number | null;
  readonly reasoningTokens: number;
  readonly cachedTokens: number;
  /** Generates past the ceiling of the request. */
  readonly ignoreMax: boolean;
  readonly tokensPerEvent: number;
  /** Answers with a page instead of JSON. */
  readonly html: boolean;
}

const MIB = 1024 * 1024;

export const NORMAL: Behaviour = {
  loop: false,
  steps: 0,
  delayMs: 0,
  paceMs: 0,
  resetAfter: null,
  truncate: false,
  hang: false,
  endless: false,
  usage: null,
  status: null,
  errorEvent: false,
  redirect: null,
  echoKey: false,
  oversizedBytes: 0,
  bombBytes: 0,
  model: null,
  tokens: null,
  reasoningTokens: 0,
  cachedTokens: 0,
  ignoreMax: false,
  tokensPerEvent: 4,
  html: false,
};

type Change = Partial<Behaviour>;

/** Every directive, with what it does when written without a value. Unknown ones are ignored, as a model would. */
const DIRECTIVES: Readonly<Record<string, (value: string) => Change>> = {
  normal: () => ({}),
  loop: () => ({ loop: true }),
  steps: (value) => ({ steps: number(value, 1) }),
  slow: () => ({ delayMs: 1_500, paceMs: 150 }),
  delay: (value) => ({ delayMs: number(value, 1_000) }),
  pace: (value) => ({ paceMs: number(value, 100) }),
  reset: (value) => ({ resetAfter: number(value, 3) }),
  truncate: () => ({ truncate: true }),
  hang: () => ({ hang: true }),
  endless: () => ({ endless: true }),
  usage: (value) => ({ usage: isUsageLie(value) ? value : 'none' }),
  status: (value) => ({ status: number(value, 500) }),
  'error-event': () => ({ errorEvent: true }),
  redirect: (value) => ({ redirect: value === '' ? 'http://127.0.0.1:9/elsewhere' : value }),
  'echo-key': () => ({ echoKey: true }),
  oversized: (value) => ({ oversizedBytes: number(value, 40 * MIB) }),
  bomb: (value) => ({ bombBytes: number(value, 300 * MIB) }),
  model: (value) => (value === '' ? {} : { model: value }),
  tokens: (value) => ({ tokens: number(value, 40) }),
  reasoning: (value) => ({ reasoningTokens: number(value, 100) }),
  cached: (value) => ({ cachedTokens: number(value, 100) }),
  'ignore-max': () => ({ ignoreMax: true }),
  chunk: (value) => ({ tokensPerEvent: Math.max(1, number(value, 4)) }),
  html: () => ({ html: true }),
};

const IN_TEXT = /\[\[([a-z-]+)(?::([^\]]{0,200}))?\]\]/g;

/** Applies the directives written as `[[name:value]]` anywhere in `text`. */
export function directivesInText(text: string, base: Behaviour): Behaviour {
  let behaviour = base;
  for (const [, name = '', value = ''] of text.matchAll(IN_TEXT)) behaviour = apply(behaviour, name, value);
  return behaviour;
}

/** Applies a comma-separated list: `status:500,delay:200`. */
export function directivesInList(list: string, base: Behaviour): Behaviour {
  let behaviour = base;
  for (const item of list.split(',')) {
    const colon = item.indexOf(':');
    const name = (colon < 0 ? item : item.slice(0, colon)).trim();
    behaviour = apply(behaviour, name, colon < 0 ? '' : item.slice(colon + 1).trim());
  }
  return behaviour;
}

/** The text of the last message that a user wrote, in any of the providers' request shapes; tool results do not count. */
export function lastUserText(body: JsonObject): string {
  const single = textOf(body['input']);
  if (single !== null) return single;
  const messages = [body['messages'], body['input'], body['contents']].find((list) => Array.isArray(list));
  for (const message of listOf(messages).toReversed()) {
    const { role, content, parts } = objectOf(message);
    if (role !== undefined && role !== 'user') continue;
    const text = writtenText(content ?? parts);
    if (text !== '') return text;
  }
  return '';
}

function writtenText(content: Json | undefined): string {
  if (typeof content === 'string') return content;
  return listOf(content)
    .filter(isObject)
    .map((part) => (part['type'] === 'tool_result' ? '' : (textOf(part['text']) ?? '')))
    .join('');
}

function apply(behaviour: Behaviour, name: string, value: string): Behaviour {
  // `[[behave:slow]]` is `[[slow]]`; `[[behave:reset:2]]` is `[[reset:2]]`.
  if (name === 'behave') return directivesInList(value, behaviour);
  const directive = Object.hasOwn(DIRECTIVES, name) ? DIRECTIVES[name] : undefined;
  return directive === undefined ? behaviour : { ...behaviour, ...directive(value) };
}

function number(value: string, fallback: number): number {
  return /^\d{1,12}$/.test(value) ? Number(value) : fallback;
}

function isUsageLie(value: string): value is UsageLie {
  return USAGE_LIES.has(value);
}
