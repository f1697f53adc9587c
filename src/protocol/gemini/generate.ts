// generateContent and streamGenerateContent. Unknown members of the body are passed on, because those that change what a
// request costs are known and listed here; unknown tools are refused, unknown parts count as the whole context window.
import { accepted, refused, type Result } from '../../denial.ts';
import { GEMINI_HOSTED_TOOLS } from '../bounds.ts';
import { generation } from '../call.ts';
import { firstDenial, objectOf, optionalCount, readBody, textOf } from '../fields.ts';
import { InputBound } from '../input-bound.ts';
import { appendElement, setInnerMember, setMember, type Edit } from '../json-edit.ts';
import { reasonsInSecret } from '../models.ts';
import { priceOfModel } from '../prices.ts';
import type { Call, ReadContext, RouteRequest } from '../protocol.ts';
import { LIST_PRICE_PERMILLE } from '../rate-card.ts';
import type { JsonObject, StrictJson } from '../strict-json.ts';
import { WARNING_TEXT, WARNING_TOKENS } from '../warning.ts';
import { GeminiMeter } from './gemini-meter.ts';
import { camelNamed, spellingOf } from './names.ts';
import { countContents } from './parts.ts';
import { askedPermille } from './tier.ts';
import { countTools } from './tools.ts';

const MAX_CANDIDATES = 8;

/** Models that refuse an instruction of the system, so that the warning has no place in their requests. */
const WITHOUT_SYSTEM_INSTRUCTION = /^gemma|-tts|-image|gemini-(1\.0|pro)/;

/** From the third generation on grounding is billed per query. */
const GROUNDED_PER_PROMPT = /gemini-(1|2)\./;

/** Reads and prices generateContent, or with `stream` streamGenerateContent. `sse` says in which form its answer comes. */
export function readGenerate(
  request: RouteRequest,
  context: ReadContext,
  target: { readonly model: string; readonly stream: boolean; readonly sse: boolean },
): Result<Call> {
  const body = readBody(request.body);
  if (!body.ok) return body;
  const json = body.value;
  const named = camelNamed(json.value);
  if (!named.ok) return named;
  const { value } = named;
  const { bounds } = context.policy;
  const disagreement = modelDisagreement(value['model'], target.model);
  if (disagreement !== null) return disagreement;
  if (value['contents'] === undefined) return refused('bad-request', '"contents" is missing.');
  const priced = priceOfModel(context.policy, 'google', target.model, context.nowMs);
  if (priced === null) return refused('unpriced-model', `Nobody prices the model "${target.model}".`, { evidence: { model: target.model } });

  const config = readConfig(value);
  if (!config.ok) return config;
  const { settings, thinking } = config.value;
  const ceiling = optionalCount(settings, 'maxOutputTokens', 1);
  const candidates = optionalCount(settings, 'candidateCount', 1);
  const tier = askedPermille(value['serviceTier']);
  if (!ceiling.ok || !candidates.ok || !tier.ok) {
    return { ok: false, denial: firstDenial(ceiling, candidates, tier) ?? { code: 'bad-request', detail: '' } };
  }
  const choices = candidates.value ?? 1;
  if (choices > MAX_CANDIDATES) return refused('bad-request', `"candidateCount" must be at most ${MAX_CANDIDATES}.`);

  const input = new InputBound({ bounds, imageTokens: bounds.imageTokens, bodyBytes: request.body?.length ?? 0 });
  input.text(WARNING_TOKENS);
  const counted = countAll(value, input, context);
  if (!counted.ok) return counted;
  // Finer pictures than the declared bound speaks of.
  if (textOf(settings['mediaResolution'])?.includes('HIGH') === true) input.opaque();

  const budget = typeof thinking['thinkingBudget'] === 'number' ? thinking['thinkingBudget'] : null;
  const outerName = spellingOf(json.value, 'generationConfig');
  const innerName = spellingOf(objectOf(json.value[outerName]) ?? {}, 'maxOutputTokens');
  return accepted(
    generation({
      request,
      context,
      json,
      provider: 'google',
      action: target.stream ? 'streamGenerateContent' : 'generateContent',
      model: target.model,
      priced,
      stream: target.stream && target.sse,
      input,
      hostedUsesMax: null,
      readingsMax: Number.POSITIVE_INFINITY,
      cacheWrites: [],
      windowed: true,
      worstPermille: tier.value,
      usualPermille: LIST_PRICE_PERMILLE,
      extraMicroUsd: 0,
      output: {
        field: 'maxOutputTokens',
        clientTokens: ceiling.value,
        floorTokens: Math.max(0, budget ?? 0) + 1,
        choices,
        edit: (tokens) => setInnerMember(json, outerName, innerName, String(tokens)),
      },
      hiddenOutput: (reasonsInSecret('google', target.model) && budget !== 0) || input.hasHostedTools,
      always: [],
      warning: () => (WITHOUT_SYSTEM_INSTRUCTION.test(target.model) ? [] : warning(json)),
      meter: (tariff) =>
        new GeminiMeter(tariff, {
          feeOf: (tool) => bounds.hostedTools.get(tool) ?? GEMINI_HOSTED_TOOLS.get(tool),
          groundedPerQuery: !GROUNDED_PER_PROMPT.test(target.model),
        }),
    }),
  );
}

/** The model in the body, where it is named too, must be the one in the path. */
export function modelDisagreement(inBody: unknown, inPath: string): ReturnType<typeof refused> | null {
  if (inBody === undefined || inBody === null) return null;
  const name = textOf(inBody)?.replace(/^(tunedModels|models)\//, '');
  return name === inPath ? null : refused('bad-request', 'The body names another model than the path.');
}

function readConfig(value: JsonObject): Result<{ readonly settings: JsonObject; readonly thinking: JsonObject }> {
  const config = value['generationConfig'];
  if (config !== undefined && config !== null && objectOf(config) === null) {
    return refused('bad-request', '"generationConfig" must be an object.');
  }
  const settings = camelNamed(objectOf(config) ?? {});
  if (!settings.ok) return settings;
  const thinking = camelNamed(objectOf(settings.value['thinkingConfig']) ?? {});
  if (!thinking.ok) return thinking;
  return accepted({ settings: settings.value, thinking: thinking.value });
}

function countAll(value: JsonObject, input: InputBound, context: ReadContext): Result<null> {
  for (const contents of [value['contents'], value['systemInstruction']]) {
    const counted = countContents(contents, input);
    if (!counted.ok) return counted;
  }
  if (value['cachedContent'] !== undefined && value['cachedContent'] !== null) input.opaque();
  return countTools(value['tools'], input, context.policy.bounds);
}

function warning(json: StrictJson): readonly Edit[] {
  const name = spellingOf(json.value, 'systemInstruction');
  const instruction = objectOf(json.value[name]);
  const part = JSON.stringify({ text: WARNING_TEXT });
  if (instruction === null) {
    return textOf(json.value[name]) === null ? [setMember(json, name, `{"parts":[${part}]}`)] : [];
  }
  const parts = instruction['parts'];
  const span = json.members.get(name)?.members?.get('parts');
  if (span === undefined) return [setInnerMember(json, name, 'parts', `[${part}]`)];
  return Array.isArray(parts) ? [appendElement(span, parts.length === 0, part)] : [];
}
