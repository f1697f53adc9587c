// What the pretend model says in one turn, and what that counts: the same request always gets the same words and usage.
// One word is one token, so that an answer of N tokens can be asked for exactly. Knows no provider's wire format.
import type { Behaviour } from './behaviour.ts';

export interface TurnRequest {
  readonly model: string;
  /** UTF-8 bytes of everything that a provider would count as input. */
  readonly promptBytes: number;
  /** Names of the functions that the model may call. */
  readonly tools: readonly string[];
  /** Tool results that follow the last user message. */
  readonly toolResults: number;
  /** The request's own output ceiling, per choice. */
  readonly maxTokens: number | null;
  readonly choices: number;
  readonly behaviour: Behaviour;
  /** The credential as received, for `echo-key`. */
  readonly key: string | null;
}

interface TurnUsage {
  readonly input: number;
  /** Over all choices, reasoning included. */
  readonly output: number;
  readonly reasoning: number;
  readonly cached: number;
}

interface ToolCall {
  readonly name: string;
  /** As JSON text. */
  readonly arguments: string;
}

export interface Turn {
  readonly model: string;
  readonly choices: number;
  /** The text of each choice, in pieces of one event each. Without end for `endless`. */
  pieces(): Iterable<string>;
  /** The whole text; finite even for `endless`. */
  readonly text: string;
  readonly toolCall: ToolCall | null;
  readonly finish: 'stop' | 'length' | 'tool';
  readonly usage: TurnUsage;
}

const DEFAULT_OUTPUT_TOKENS = 40;
/** Nobody needs more from a pretend model, and a test must not fill memory by a typing error. */
const MAX_OUTPUT_TOKENS = 2_000_000;
const BYTES_PER_TOKEN = 4;
const MESSAGE_OVERHEAD_TOKENS = 3;

const WORDS = (
  'the ticket was checked and the customer has been told that the refund is on its way while the report lists every order that ' +
  'still waits for an answer so the next step is to close what is done and to ask again where something is missing'
).split(' ');

/** Makes the model's turn. Pure: everything follows from the request. */
export function takeTurn(request: TurnRequest): Turn {
  const { behaviour } = request;
  const model = behaviour.model ?? request.model;
  const input = MESSAGE_OVERHEAD_TOKENS + Math.ceil(request.promptBytes / BYTES_PER_TOKEN);
  const cached = Math.min(behaviour.cachedTokens, input);
  const ceiling = behaviour.ignoreMax
    ? MAX_OUTPUT_TOKENS
    : Math.min(request.maxTokens ?? MAX_OUTPUT_TOKENS, MAX_OUTPUT_TOKENS);
  const reasoning = Math.min(behaviour.reasoningTokens, ceiling);
  const left = ceiling - reasoning;

  const toolCall = wantedToolCall(request);
  const toolTokens =
    toolCall === null ? 0 : Math.ceil((toolCall.name.length + toolCall.arguments.length) / BYTES_PER_TOKEN);
  const calls = toolCall !== null && toolTokens <= left;
  const wanted = behaviour.tokens ?? (toolCall === null ? DEFAULT_OUTPUT_TOKENS : 0);
  const textTokens = Math.min(wanted, left - (calls ? toolTokens : 0));
  const cut = textTokens < wanted || (toolCall !== null && !calls);

  const words = sentence(textTokens) + decoration(request);
  return {
    model,
    choices: request.choices,
    pieces: () => (behaviour.endless ? endlessly() : pieces(words, textTokens, behaviour.tokensPerEvent)),
    text: words,
    toolCall: calls ? toolCall : null,
    finish: cut ? 'length' : calls ? 'tool' : 'stop',
    usage: {
      input,
      output: (reasoning + textTokens + (calls ? toolTokens : 0)) * request.choices,
      reasoning: reasoning * request.choices,
      cached,
    },
  };
}

function wantedToolCall(request: TurnRequest): ToolCall | null {
  const [name] = request.tools;
  if (name === undefined) return null;
  const { loop, steps } = request.behaviour;
  if (loop)
    return { name, arguments: '{"order":"4411","why":"the last answer was not conclusive, so look once more"}' };
  if (request.toolResults < steps) return { name, arguments: `{"order":"${4_400 + request.toolResults}"}` };
  return null;
}

function sentence(tokens: number): string {
  const words: string[] = [];
  for (let index = 0; index < tokens; index++) words.push(wordAt(index));
  return words.join('');
}

function wordAt(index: number): string {
  const word = WORDS[index % WORDS.length] ?? 'and';
  return index === 0 ? word : ` ${word}`;
}

function decoration({ behaviour, key }: TurnRequest): string {
  const echo = behaviour.echoKey && key !== null ? ` (the key was ${key})` : '';
  return echo + 'x'.repeat(behaviour.oversizedBytes);
}

function* pieces(text: string, tokens: number, tokensPerEvent: number): Iterable<string> {
  let at = 0;
  for (let index = 0; index < tokens; index += tokensPerEvent) {
    let end = at;
    for (let word = index; word < Math.min(index + tokensPerEvent, tokens); word++) end += wordAt(word).length;
    yield text.slice(at, end);
    at = end;
  }
  const rest = 64 * 1024;
  for (; at < text.length; at += rest) yield text.slice(at, at + rest);
}

function* endlessly(): Iterable<string> {
  for (let index = 0; ; index++) yield wordAt(index);
}
