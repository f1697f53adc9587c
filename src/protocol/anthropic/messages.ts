// Messages: POST /v1/messages. Unknown members of the body are passed on, because those that change what a request costs
// are known and listed here; unknown types of tools are refused, unknown blocks count as the whole context window.
import { accepted, refused, type Result } from '../../denial.ts';
import type { HostedToolBound } from '../../policy/policy.ts';
import { ADVICE_OUTPUT_TOKENS, ANTHROPIC_HOSTED_TOOLS } from '../bounds.ts';
import { generation } from '../call.ts';
import { objectOf, objectsOf, optionalCount, optionalCounts, optionalSwitch, textOf, unpriced } from '../fields.ts';
import { hostedUse, InputBound } from '../input-bound.ts';
import { appendElement, setMember, wrapValue, type Edit } from '../json-edit.ts';
import { readModelled } from '../modelled.ts';
import { imageTokensOf, thinksByDefault } from '../models.ts';
import { priceOfModel, type PricedModel } from '../prices.ts';
import type { Call, ReadContext, RouteRequest } from '../protocol.ts';
import { costAt, worstRate, type Unit } from '../rate-card.ts';
import type { JsonObject, StrictJson } from '../../json/body-json.ts';
import { WARNING_TEXT, WARNING_TOKENS } from '../warning.ts';
import { countMessages } from './content.ts';
import { MessagesMeter } from './messages-meter.ts';
import { cacheWritesOf, longContextCard, priceTerms, wantsLongContext, withLongContext } from './terms.ts';
import { countTools, type OtherModelUse } from './tools.ts';

/** Anthropic's own loop of hosted tools pauses the turn after this many rounds. */
const ROUNDS_MAX = 10;
/** What another model can be billed for what it reads; it may cache by a lifetime of its own. */
const PASS_INPUT: readonly Unit[] = ['input', 'cacheWrite', 'cacheWrite5m', 'cacheWrite1h'];

/** Reads and prices a request for a message. */
export function readMessages(request: RouteRequest, context: ReadContext): Result<Call> {
  const modelled = readModelled(request, context, 'anthropic');
  if (!modelled.ok) return modelled;
  const { json, model } = modelled.value;
  const longContext = wantsLongContext(request.headers);
  const priced = longContext ? withLongContext(modelled.value.priced) : modelled.value.priced;
  const settings = readSettings(json.value, model);
  if (!settings.ok) return settings;
  const { clientTokens, floorTokens, stream, thinks } = settings.value;
  const terms = priceTerms(json.value, model, priced.declared);
  if (!terms.ok) return terms;
  const { worstPermille, usualPermille } = terms.value;
  const { bounds } = context.policy;
  const input = new InputBound({
    bounds,
    imageTokens: imageTokensOf(model, bounds.imageTokens),
    bodyBytes: request.body?.length ?? 0,
  });
  const extra = countAll(json.value, { input, context, priced, permille: worstPermille, clientTokens });
  if (!extra.ok) return extra;
  return accepted(
    generation({
      request,
      context,
      json,
      provider: 'anthropic',
      action: 'messages',
      model,
      priced,
      stream,
      input,
      hostedUsesMax: null,
      readingsMax: ROUNDS_MAX,
      cacheWrites: cacheWritesOf(json.text),
      windowed: true,
      worstPermille,
      usualPermille,
      extraMicroUsd: extra.value,
      output: {
        clientTokens,
        floorTokens,
        choices: 1,
        edits: (tokens) => [setMember(json, 'max_tokens', String(tokens))],
      },
      hiddenOutput: thinks || input.hasHostedTools,
      always: [],
      warning: () => warning(json),
      ...(longContext ? { adjusted: longContextCard(model) } : {}),
      meter: (tariff) =>
        new MessagesMeter(tariff, {
          terms: terms.value,
          feeOf: (tool): HostedToolBound | undefined =>
            bounds.hostedTools.get(tool) ?? ANTHROPIC_HOSTED_TOOLS.get(tool),
          priceOf: (name) => priceOfModel(context.policy, 'anthropic', name ?? model, context.nowMs) ?? priced,
        }),
    }),
  );
}

interface MessageSettings {
  readonly clientTokens: number | null;
  readonly floorTokens: number;
  readonly stream: boolean;
  readonly thinks: boolean;
}

function readSettings(value: JsonObject, model: string): Result<MessageSettings> {
  const maxTokens = optionalCounts(value, { max_tokens: 0 });
  if (!maxTokens.ok) return maxTokens;
  const stream = optionalSwitch(value, 'stream');
  if (!stream.ok) return stream;
  const thinking = objectOf(value['thinking']);
  const budget = optionalCount(thinking ?? {}, 'budget_tokens', 0);
  if (!budget.ok) return budget;
  return accepted({
    clientTokens: maxTokens.value.max_tokens,
    // The API wants more than what is thought.
    floorTokens: (budget.value ?? 0) + 1,
    stream: stream.value,
    thinks: thinking === null ? thinksByDefault(model) : thinking['type'] !== 'disabled',
  });
}

interface Counting {
  readonly input: InputBound;
  readonly context: ReadContext;
  readonly priced: PricedModel;
  readonly permille: number;
  readonly clientTokens: number | null;
}

/** Counts everything into `input`; returns what other passes cost besides it, in micro-USD. */
function countAll(value: JsonObject, counting: Counting): Result<number> {
  const { input, context, priced, permille } = counting;
  input.text(WARNING_TOKENS);
  const messages = countMessages(value['messages'], input);
  if (!messages.ok) return messages;
  const advisors = countTools(value, input, context.policy.bounds);
  if (!advisors.ok) return advisors;
  const fallbacks = readFallbacks(value);
  if (!fallbacks.ok) return fallbacks;
  const compaction = countKeptState(value, input, context);
  if (!compaction.ok) return compaction;
  const outputTokens = Math.max(counting.clientTokens ?? 0, context.policy.sessions.defaultOutputTokens);
  const passes = passesCost([...advisors.value, ...fallbacks.value], { ...counting, outputTokens });
  if (!passes.ok) return passes;
  return accepted(passes.value + (compaction.value ? summaryCost(priced, permille) : 0));
}

/** Containers and compactions; true where a summary is written besides the answer. */
function countKeptState(value: JsonObject, input: InputBound, context: ReadContext): Result<boolean> {
  // What a container that is used again holds, or what its skills say, is known to Anthropic only.
  if (value['container'] !== undefined && value['container'] !== null) input.listing();
  const edits = objectsOf(objectOf(value['context_management'])?.['edits']);
  const compacts = edits.some((edit) => textOf(edit['type'])?.startsWith('compact') === true);
  if (!compacts) return accepted(false);
  const { bounds } = context.policy;
  const use = hostedUse({ name: 'compaction', defaults: ANTHROPIC_HOSTED_TOOLS, bounds, usesAsked: null });
  if (!use.ok) return use;
  input.hosted(use.value);
  return accepted(true);
}

function summaryCost(priced: PricedModel, permille: number): number {
  return costAt(ADVICE_OUTPUT_TOKENS, worstRate(priced.card, ['output', 'reasoning'], priced.contextTokens), permille);
}

/** Models that answer where the one asked for declines: each may read and write as much as the request allows. */
function readFallbacks(value: JsonObject): Result<readonly OtherModelUse[]> {
  const uses: OtherModelUse[] = [];
  for (const fallback of objectsOf(value['fallbacks'])) {
    const model = textOf(fallback['model']);
    if (model === null) return refused('bad-request', 'Each of "fallbacks" must name its "model".');
    const maxTokens = optionalCount({ ...value, ...fallback }, 'max_tokens', 0);
    if (!maxTokens.ok) return maxTokens;
    uses.push({ model, usesMax: 1, inputTokensPerUse: 0, maxTokens: maxTokens.value });
  }
  return accepted(uses);
}

/**
 * What other models cost at most, at their own prices: each use reads the context once, with what was written and found
 * meanwhile, and writes up to its ceiling.
 */
function passesCost(
  passes: readonly OtherModelUse[],
  { input, context, priced, permille, outputTokens }: Counting & { readonly outputTokens: number },
): Result<number> {
  let sum = 0;
  for (const pass of passes) {
    const other = priceOfModel(context.policy, 'anthropic', pass.model, context.nowMs);
    if (other === null) return unpriced(pass.model);
    const window = Math.min(priced.contextTokens, other.contextTokens);
    const grown = input.once(window) + outputTokens + pass.usesMax * pass.inputTokensPerUse;
    const read = Math.min(window, grown);
    const written = pass.maxTokens ?? ADVICE_OUTPUT_TOKENS;
    sum +=
      pass.usesMax *
      (costAt(read, worstRate(other.card, PASS_INPUT, read), permille) +
        costAt(written, worstRate(other.card, ['output', 'reasoning'], read), permille));
  }
  return accepted(sum);
}

function warning(json: StrictJson): readonly Edit[] {
  const block = JSON.stringify({ type: 'text', text: WARNING_TEXT });
  const span = json.members.get('system');
  const system = json.value['system'];
  if (span === undefined || system === null) return [setMember(json, 'system', `[${block}]`)];
  if (Array.isArray(system)) return [appendElement(span, system.length === 0, block)];
  if (textOf(system) === null) return [];
  // The API takes no empty text block.
  if (system === '') return [setMember(json, 'system', `[${block}]`)];
  return wrapValue(span, '[{"type":"text","text":', `},${block}]`);
}
