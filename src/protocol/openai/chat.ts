// Chat completions: POST /v1/chat/completions. Unknown members of the body are passed on, because the ones that change
// what a request costs are known and listed here; unknown types of tools are refused, unknown parts of messages count as
// the whole context window.
import { accepted, refused, type Result } from '../../denial.ts';
import { microUsd, type MicroUsd } from '../../money.ts';
import { OPENAI_HOSTED_TOOLS } from '../bounds.ts';
import { generation } from '../call.ts';
import { objectOf, optionalCounts, optionalSwitch, unboundedMember } from '../fields.ts';
import { hostedUse, InputBound } from '../input-bound.ts';
import { appendElement, setInnerMember, setMember, type Edit } from '../json-edit.ts';
import { readModelled } from '../modelled.ts';
import { alwaysSearches, imageTokensOf, reasonsInSecret } from '../models.ts';
import type { Call, ReadContext, RouteRequest } from '../protocol.ts';
import { costAt, worstRate } from '../rate-card.ts';
import type { JsonObject, StrictJson } from '../../json/body-json.ts';
import { utf8Length } from '../tally.ts';
import { WARNING_TEXT, WARNING_TOKENS } from '../warning.ts';
import { ChatMeter } from './chat-meter.ts';
import { countMessages } from './chat-input.ts';
import { tierTerms } from './tier.ts';
import { countTools, UNBOUNDED_MEMBERS } from './tools.ts';

/** Choices that one request may ask for; the API's own limit. */
const MAX_CHOICES = 128;
/** The first reasoning models know neither system nor developer messages. */
const WITHOUT_SYSTEM_MESSAGES = /^o1-(mini|preview)/;

/** Reads and prices a chat completion. */
export function readChat(request: RouteRequest, context: ReadContext): Result<Call> {
  const modelled = readModelled(request, context, 'openai');
  if (!modelled.ok) return modelled;
  const { json, model, priced } = modelled.value;
  const settings = readSettings(json.value);
  if (!settings.ok) return settings;
  const { choices, ceilings, clientTokens, stream, usageAsked } = settings.value;
  const tier = tierTerms(json.value['service_tier'], model, priced.declared);
  if (!tier.ok) return tier;
  const { worstPermille, usualPermille } = tier.value;
  const { bounds } = context.policy;
  const input = new InputBound({
    bounds,
    imageTokens: imageTokensOf(model, bounds.imageTokens),
    bodyBytes: request.body?.length ?? 0,
  });
  const searchFeeMicroUsd = countAll(json.value, { model, input, context });
  if (!searchFeeMicroUsd.ok) return searchFeeMicroUsd;

  // Predicted text that is not used is billed as output, for each choice.
  const predicted = objectOf(json.value['prediction'])?.['content'];
  const predictedTokens = predicted === undefined ? 0 : utf8Length(JSON.stringify(predicted)) * choices;
  input.text(predictedTokens);
  const predictionRate = worstRate(priced.card, ['output', 'reasoning'], priced.contextTokens);
  const reasons = reasonsInSecret('openai', model);
  return accepted(
    generation({
      request,
      context,
      json,
      provider: 'openai',
      action: 'chat.completions',
      model,
      priced,
      stream,
      input,
      hostedUsesMax: null,
      readingsMax: Number.POSITIVE_INFINITY,
      cacheWrites: ['cacheWrite'],
      windowed: true,
      worstPermille,
      usualPermille,
      extraMicroUsd: costAt(predictedTokens, predictionRate, worstPermille),
      output: {
        clientTokens,
        floorTokens: 1,
        choices,
        edits: (tokens) => ceilings.map((name) => setMember(json, name, String(tokens))),
      },
      hiddenOutput: reasons || input.hasHostedTools || predictedTokens > 0,
      always: stream && !usageAsked ? [setInnerMember(json, 'stream_options', 'include_usage', 'true')] : [],
      warning: () => warning(json, model),
      meter: (tariff) =>
        new ChatMeter(tariff, {
          usageHidden: stream && !usageAsked,
          tier: tier.value,
          searchFeeMicroUsd: searchFeeMicroUsd.value,
        }),
    }),
  );
}

interface ChatSettings {
  readonly choices: number;
  /** The members that carry the ceiling: both, where both are given, because only the provider knows which one holds. */
  readonly ceilings: readonly [string, ...string[]];
  readonly clientTokens: number | null;
  readonly stream: boolean;
  /** Whether the client wants the usage chunk of a stream for itself. */
  readonly usageAsked: boolean;
}

function readSettings(value: JsonObject): Result<ChatSettings> {
  const unbounded = unboundedMember(value, UNBOUNDED_MEMBERS);
  if (unbounded !== null) return unbounded;
  const counts = optionalCounts(value, { n: 1, best_of: 1, max_tokens: 1, max_completion_tokens: 1 });
  if (!counts.ok) return counts;
  const stream = optionalSwitch(value, 'stream');
  if (!stream.ok) return stream;
  const { n, best_of, max_tokens, max_completion_tokens } = counts.value;
  const choices = Math.max(n ?? 1, best_of ?? 1);
  if (choices > MAX_CHOICES) return refused('bad-request', `"n" must be at most ${MAX_CHOICES}.`);
  const options = value['stream_options'] ?? {};
  const usage =
    objectOf(options) === null
      ? refused('bad-request', '"stream_options" must be an object.')
      : optionalSwitch({ ...options }, 'include_usage');
  if (!usage.ok) return usage;
  return accepted({
    choices,
    ceilings: ceilingsOf(max_tokens, max_completion_tokens),
    clientTokens:
      max_tokens === null ? max_completion_tokens : Math.max(max_tokens, max_completion_tokens ?? max_tokens),
    stream: stream.value,
    usageAsked: usage.value,
  });
}

function ceilingsOf(maxTokens: number | null, maxCompletionTokens: number | null): readonly [string, ...string[]] {
  if (maxTokens === null) return ['max_completion_tokens'];
  return maxCompletionTokens === null ? ['max_tokens'] : ['max_completion_tokens', 'max_tokens'];
}

/** Counts everything into `input`; returns the fee of a search, which such a request costs whatever its answer shows. */
function countAll(
  value: JsonObject,
  { model, input, context }: { readonly model: string; readonly input: InputBound; readonly context: ReadContext },
): Result<MicroUsd> {
  const { bounds } = context.policy;
  input.text(WARNING_TOKENS);
  const messages = countMessages(value['messages'], input);
  if (!messages.ok) return messages;
  const tools = countTools(value['tools'], input, bounds);
  if (!tools.ok) return tools;
  if (Array.isArray(value['functions'])) input.tools(value['functions'].length);
  if (!alwaysSearches(model) && objectOf(value['web_search_options']) === null) return accepted(microUsd(0));
  const use = hostedUse({ name: 'web_search_options', defaults: OPENAI_HOSTED_TOOLS, bounds, usesAsked: null });
  if (!use.ok) return use;
  input.hosted(use.value);
  return accepted(use.value.bound.microUsdPerUse);
}

function warning(json: StrictJson, model: string): readonly Edit[] {
  const span = json.members.get('messages');
  const messages = json.value['messages'];
  if (span === undefined || !Array.isArray(messages)) return [];
  const role = WITHOUT_SYSTEM_MESSAGES.test(model) ? 'user' : 'system';
  return [appendElement(span, messages.length === 0, JSON.stringify({ role, content: WARNING_TEXT }))];
}
