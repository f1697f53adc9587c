// The demo's agents: the official OpenAI SDK, pointed at the gateway. Two do their work; one can fall into a retry loop.
import { setTimeout as sleep } from 'node:timers/promises';
import OpenAI, { APIError } from 'openai';
import type {
  ChatCompletion,
  ChatCompletionCreateParamsNonStreaming,
  ChatCompletionMessageParam,
} from 'openai/resources/chat/completions';

const MODEL = 'gpt-4o';
const SYSTEM =
  'You handle tickets of a web shop. Look things up with the tool before you answer, and answer in a few sentences.';
/** Between two tasks: even agents wait for people now and then. */
const PAUSE_MS = 300;
const TICKETS = 3;

/** Said by the looping agent only, so that its requests can be told apart at the upstream. */
export const LOOP_MARK = 'order 4411';
/** The model's part: the same tool call, whatever it is told, in an answer of a thousand tokens. */
const LOOP_TASK = `Find out why ${LOOP_MARK} was refunded twice. Do not stop before you are certain. [[loop]] [[tokens:1000]]`;
const WORK_TASK = 'and tell the customer what happens next. [[steps:1]]';

const TOOLS: ChatCompletionCreateParamsNonStreaming['tools'] = [
  {
    type: 'function',
    function: {
      name: 'look_up_order',
      description: 'Looks up an order and its ticket',
      parameters: {
        type: 'object',
        properties: { order: { type: 'string' }, why: { type: 'string' } },
        required: ['order'],
      },
    },
  },
];

interface Refusal {
  readonly status: number;
  readonly code: string;
  readonly message: string;
}

export interface Agent {
  readonly name: string;
  readonly sessionId: string;
  readonly token: string;
  readonly limitUsd: string;
  /** Calls to the model that were answered. */
  readonly answered: number;
  readonly tasksDone: number;
  /** The warnings that came with answers, by name. */
  readonly warnings: ReadonlySet<string>;
  readonly refusals: readonly Refusal[];
  /** From now on it repeats one step for ever. */
  fallIntoLoop(): void;
  /** Works until `stop`; resolves when it has stopped. */
  run(): Promise<void>;
  stop(): void;
}

export interface AgentOptions {
  readonly name: string;
  readonly gatewayUrl: string;
  readonly sessionId: string;
  readonly token: string;
  readonly limitUsd: string;
  /** How much it has to say. */
  readonly answerTokens: number;
}

export function createAgent(options: AgentOptions): Agent {
  const client = new OpenAI({ baseURL: `${options.gatewayUrl}/local-openai/v1`, apiKey: options.token });
  const state = {
    answered: 0,
    tasksDone: 0,
    warnings: new Set<string>(),
    refusals: [] as Refusal[],
    looping: false,
    stopped: false,
  };

  const ask = async (messages: ChatCompletionMessageParam[]): Promise<ChatCompletion> => {
    const request = { model: MODEL, max_completion_tokens: 1_200, tools: TOOLS ?? [], messages };
    const { data, response } = await client.chat.completions.create(request).withResponse();
    state.answered++;
    const warning = response.headers.get('x-fusebox-warning');
    if (warning !== null) state.warnings.add(warning);
    return data;
  };

  const lookUp = async (): Promise<string> => {
    // The tool is behind the gateway too, on the same session and the same cap.
    const ticket = (state.tasksDone % TICKETS) + 1;
    const answer = await fetch(`${options.gatewayUrl}/tickets/tickets/${ticket}`, {
      headers: { authorization: `Bearer ${options.token}` },
    });
    return answer.text();
  };

  const work = async (): Promise<void> => {
    const messages: ChatCompletionMessageParam[] = [
      { role: 'system', content: SYSTEM },
      {
        role: 'user',
        content: `Read ticket ${(state.tasksDone % TICKETS) + 1} ${WORK_TASK} [[tokens:${options.answerTokens}]]`,
      },
    ];
    for (;;) {
      const answer = await ask(messages);
      const message = answer.choices[0]?.message;
      const [call] = message?.tool_calls ?? [];
      if (message === undefined || call === undefined) break;
      messages.push(message, { role: 'tool', tool_call_id: call.id, content: await lookUp() });
    }
    state.tasksDone++;
    await sleep(PAUSE_MS);
  };

  const retry = async (): Promise<void> => {
    // Each time from the same checkpoint, because the last attempt "was not conclusive": no error, no end.
    await ask([
      { role: 'system', content: SYSTEM },
      { role: 'user', content: LOOP_TASK },
    ]);
  };

  return {
    ...options,
    get answered() {
      return state.answered;
    },
    get tasksDone() {
      return state.tasksDone;
    },
    warnings: state.warnings,
    refusals: state.refusals,
    fallIntoLoop() {
      state.looping = true;
    },
    async run() {
      while (!state.stopped) {
        try {
          await (state.looping ? retry() : work());
        } catch (error) {
          state.refusals.push(refusalOf(error));
          // A loop does not read error messages: it tries again.
          await sleep(PAUSE_MS / 3);
        }
      }
    },
    stop() {
      state.stopped = true;
    },
  };
}

function refusalOf(error: unknown): Refusal {
  if (error instanceof APIError)
    return { status: Number(error.status ?? 0), code: error.code ?? '', message: error.message };
  return { status: 0, code: '', message: String(error) };
}
