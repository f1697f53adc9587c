// Chat completions: POST /v1/chat/completions. Unknown members of the body are passed on, because the ones that change
// what a request costs are known and listed here; unknown types of tools are refused, unknown parts of messages count as
// the whole context window.
import { accepted, refused, type Result } from '../../denial.ts';
import { microUsd } from '../../money.ts';
import { OPENAI_HOSTED_TOOLS } from '../bounds.ts';
import { generation } from '../call.ts';
import { firstDenial, objectOf, optionalCount, readBody, requiredText } from '../fields.ts';
import { hostedUse, InputBound } from '../input-bound.ts';
import { appendElement, setInnerMember, setMember, type Edit } from '../json-edit.ts';
import { alwaysSearches, imageTokensOf, reasonsInSecret } from '../models.ts';
import { priceOfModel } from '../prices.ts';
import type { Call, ReadContext, RouteRequest } from '../protocol.ts';
import { costAt, worstRate } from '../rate-card.ts';
import type { StrictJson } from '../strict-json.ts';
import { utf8Length } from '../tally.ts';
import { WARNING_TEXT, WARNING_TOKENS } from '../warning.ts';
import { ChatMeter } from './chat-meter.ts';
import { countMessages } from './chat-input.ts';
import { tierTerms } from './tier.ts';
import { countTools } from './tools.ts';

/** Choices that one request may ask for; the API's own limit. */
const MAX_CHOICES = 128;
/** The first reasoning models know neither system nor developer messages. */
const WITHOUT_SYSTEM_MESSAGES = /^o1-(mini|preview)/;

/** Reads and prices a chat completion. */
export function readChat(request: RouteRequest, context: ReadContext): Result<Call> {
  const body = readBody(request.body);
  if (!body.ok) return body;
  const json = body.value;
  const { value } = json;
  const { bounds } = context.policy;
  const model = requiredText(value, 'model');
  if (!model.ok) return model;
  const priced = priceOfModel(context.policy, 'openai', model.value, context.nowMs);
  if (priced === null) return refused('unpriced-model', `Nobody prices the model "${model.value}".`, { evidence: { model: model.value } });

  const n = optionalCount(value, 'n', 1);
  const bestOf = optionalCount(value, 'best_of', 1);
  const maxTokens = optionalCount(value, 'max_tokens', 1);
  const maxCompletionTokens = optionalCount(value, 'max_completion_tokens', 1);
  const tier = tierTerms(value['service_tier'], model.value, priced.declared);
  if (!n.ok || !bestOf.ok || !maxTokens.ok || !maxCompletionTokens.ok || !tier.ok) {
    return { ok: false, denial: firstDenial(n, bestOf, maxTokens, maxCompletionTokens, tier) ?? { code: 'bad-request', detail: '' } };
  }
  if (maxTokens.value !== null && maxCompletionTokens.value !== null) {
    return refused('bad-request', 'Both "max_tokens" and "max_completion_tokens" are given; one of them must go.');
  }
  const choices = Math.max(n.value ?? 1, bestOf.value ?? 1);
  if (choices > MAX_CHOICES) return refused('bad-request', `"n" must be at most ${MAX_CHOICES}.`);
  const stream = value['stream'] ?? false;
  if (typeof stream !== 'boolean') return refused('bad-request', '"stream" must be true or false.');

  const input = new InputBound({
    bounds,
    imageTokens: imageTokensOf(model.value, bounds.imageTokens),
    bodyBytes: request.body?.length ?? 0,
  });
  input.text(WARNING_TOKENS);
  const messages = countMessages(value['messages'], input);
  if (!messages.ok) return messages;
  const tools = countTools(value['tools'], input, bounds);
  if (!tools.ok) return tools;
  if (Array.isArray(value['functions'])) input.tools(value['functions'].length);

  const searches = alwaysSearches(model.value) || objectOf(value['web_search_options']) !== null;
  let searchFeeMicroUsd = 0;
  if (searches) {
    const use = hostedUse({ name: 'web_search_options', defaults: OPENAI_HOSTED_TOOLS, bounds, usesAsked: null });
    if (!use.ok) return use;
    input.hosted(use.value);
    searchFeeMicroUsd = use.value.bound.microUsdPerUse;
  }

  // Predicted text that is not used is billed as output.
  const predictedBytes = utf8Length(JSON.stringify(objectOf(value['prediction'])?.['content'] ?? ''));
  const outputRate = worstRate(priced.card, ['output', 'reasoning'], predictedBytes);
  const field = maxTokens.value === null ? 'max_completion_tokens' : 'max_tokens';
  const usageAsked = objectOf(value['stream_options'])?.['include_usage'] === true;
  return accepted(
    generation({
      request,
      context,
      json,
      provider: 'openai',
      action: 'chat.completions',
      model: model.value,
      priced,
      stream,
      input,
      hostedUsesMax: null,
      readingsMax: Number.POSITIVE_INFINITY,
      cacheWrites: ['cacheWrite'],
      windowed: true,
      worstPermille: tier.value.worstPermille,
      usualPermille: tier.value.usualPermille,
      extraMicroUsd: value['prediction'] === undefined ? 0 : costAt(predictedBytes * choices, outputRate, tier.value.worstPermille),
      output: {
        field,
        clientTokens: maxTokens.value ?? maxCompletionTokens.value,
        floorTokens: 1,
        choices,
        edit: (tokens) => setMember(json, field, String(tokens)),
      },
      hiddenOutput: reasonsInSecret('openai', model.value) || searches || value['prediction'] !== undefined,
      always: stream && !usageAsked ? [setInnerMember(json, 'stream_options', 'include_usage', 'true')] : [],
      warning: () => warning(json, model.value),
      meter: (tariff) =>
        new ChatMeter(tariff, {
          usageHidden: stream && !usageAsked,
          tier: tier.value,
          searchFeeMicroUsd: microUsd(searchFeeMicroUsd),
        }),
    }),
  );
}

function warning(json: StrictJson, model: string): readonly Edit[] {
  const span = json.members.get('messages');
  const messages = json.value['messages'];
  if (span === undefined || !Array.isArray(messages)) return [];
  const role = WITHOUT_SYSTEM_MESSAGES.test(model) ? 'user' : 'system';
  return [appendElement(span, messages.length === 0, JSON.stringify({ role, content: WARNING_TEXT }))];
}
