// generateContent and streamGenerateContent. Unknown members of the body are passed on, because those that change what a
// request costs are known and listed here; unknown tools are refused, unknown parts count as the whole context window.
import { accepted, refused, type Denial, type Result } from '../../denial.ts';
import { GEMINI_HOSTED_TOOLS } from '../bounds.ts';
import { generation } from '../call.ts';
import { objectOf, optionalCounts, readBody, textOf } from '../fields.ts';
import { InputBound } from '../input-bound.ts';
import { appendElement, setInnerMember, setMember, type Edit } from '../json-edit.ts';
import { priceModelled } from '../modelled.ts';
import { reasonsInSecret } from '../models.ts';
import type { Call, ReadContext, RouteRequest } from '../protocol.ts';
import { LIST_PRICE_PERMILLE } from '../rate-card.ts';
import type { JsonObject, StrictJson } from '../../json/body-json.ts';
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

export interface GenerateTarget {
  /** As the path names it. */
  readonly model: string;
  readonly stream: boolean;
  /** Whether a stream comes as server-sent events; otherwise it is one array of what would be its events. */
  readonly sse: boolean;
}

/** Reads and prices generateContent, or with `stream` streamGenerateContent. */
export function readGenerate(request: RouteRequest, context: ReadContext, target: GenerateTarget): Result<Call> {
  const body = readBody(request.body);
  if (!body.ok) return body;
  const json = body.value;
  const named = camelNamed(json.value);
  if (!named.ok) return named;
  const { value } = named;
  const { model } = target;
  const disagreement = modelDisagreement(value['model'], model);
  if (disagreement !== null) return disagreement;
  const modelled = priceModelled(json, model, context, 'google');
  if (!modelled.ok) return modelled;
  const settings = readSettings(value);
  if (!settings.ok) return settings;
  const { choices, clientTokens, thinkingBudget } = settings.value;
  const tier = askedPermille(value['serviceTier']);
  if (!tier.ok) return tier;
  const { bounds } = context.policy;
  const input = new InputBound({ bounds, imageTokens: bounds.imageTokens, bodyBytes: request.body?.length ?? 0 });
  const counted = countAll(value, input, context);
  if (!counted.ok) return counted;
  if (settings.value.finePictures) input.opaque();
  return accepted(
    generation({
      request,
      context,
      json,
      provider: 'google',
      action: target.stream ? 'streamGenerateContent' : 'generateContent',
      model,
      priced: modelled.value.priced,
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
        clientTokens,
        floorTokens: Math.max(0, thinkingBudget ?? 0) + 1,
        choices,
        edits: (tokens) => [ceilingEdit(json, tokens)],
      },
      hiddenOutput: (reasonsInSecret('google', model) && thinkingBudget !== 0) || input.hasHostedTools,
      always: [],
      warning: () => (WITHOUT_SYSTEM_INSTRUCTION.test(model) ? [] : warning(json)),
      meter: (tariff) =>
        new GeminiMeter(tariff, {
          feeOf: (tool) => bounds.hostedTools.get(tool) ?? GEMINI_HOSTED_TOOLS.get(tool),
          groundedPerQuery: !GROUNDED_PER_PROMPT.test(model),
        }),
    }),
  );
}

/** The model in the body, where it is named too, must be the one in the path. */
export function modelDisagreement(
  inBody: unknown,
  inPath: string,
): { readonly ok: false; readonly denial: Denial } | null {
  if (inBody === undefined || inBody === null) return null;
  const name = textOf(inBody)?.replace(/^(tunedModels|models)\//, '');
  return name === inPath ? null : refused('bad-request', 'The body names another model than the path.');
}

interface GenerateSettings {
  readonly choices: number;
  readonly clientTokens: number | null;
  /** Null where the request leaves it to the model, or to a level. */
  readonly thinkingBudget: number | null;
  /** Pictures in a finer resolution than the declared bound speaks of. */
  readonly finePictures: boolean;
}

function readSettings(value: JsonObject): Result<GenerateSettings> {
  if (value['contents'] === undefined) return refused('bad-request', '"contents" is missing.');
  const config = value['generationConfig'] ?? {};
  const given = objectOf(config);
  if (given === null) return refused('bad-request', '"generationConfig" must be an object.');
  const settings = camelNamed(given);
  if (!settings.ok) return settings;
  const thinking = camelNamed(objectOf(settings.value['thinkingConfig']) ?? {});
  if (!thinking.ok) return thinking;
  const counts = optionalCounts(settings.value, { maxOutputTokens: 1, candidateCount: 1 });
  if (!counts.ok) return counts;
  const choices = counts.value.candidateCount ?? 1;
  if (choices > MAX_CANDIDATES) return refused('bad-request', `"candidateCount" must be at most ${MAX_CANDIDATES}.`);
  const budget = thinking.value['thinkingBudget'];
  return accepted({
    choices,
    clientTokens: counts.value.maxOutputTokens,
    // -1 leaves it to the model.
    thinkingBudget: typeof budget === 'number' && Number.isSafeInteger(budget) ? budget : null,
    finePictures: textOf(settings.value['mediaResolution'])?.includes('HIGH') === true,
  });
}

function ceilingEdit(json: StrictJson, tokens: number): Edit {
  const config = spellingOf(json.value, 'generationConfig');
  const ceiling = spellingOf(objectOf(json.value[config]) ?? {}, 'maxOutputTokens');
  return setInnerMember(json, config, ceiling, String(tokens));
}

function countAll(value: JsonObject, input: InputBound, context: ReadContext): Result<null> {
  input.text(WARNING_TOKENS);
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
