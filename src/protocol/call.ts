// Builds the Call of a generating endpoint from what its adapter has read: the demand, the writing of a grant, the terms
// of its meter. Must not know any wire format beyond the edits it is given.
import type { Demand } from '../rpc/session-rpc.ts';
import { microUsd } from '../money.ts';
import { FIRST_OUTPUT_TOKENS } from './bounds.ts';
import type { InputBound } from './input-bound.ts';
import { applyEdits, type Edit } from './json-edit.ts';
import type { Provider } from './models.ts';
import type { PricedModel } from './prices.ts';
import { priceOfModel } from './prices.ts';
import type { Call, Grant, Meter, OutboundRequest, ReadContext, RouteRequest } from './protocol.ts';
import { costAt, costOf, scaledRate, worstRate, type Counts, type RateCard, type Unit } from './rate-card.ts';
import type { StrictJson } from '../json/body-json.ts';
import type { Served, Tariff } from './tally.ts';

const TEXT_UNITS: readonly Unit[] = ['input', 'cacheRead'];
const MEDIA_UNITS: readonly Unit[] = [
  'inputAudio',
  'inputImage',
  'inputVideo',
  'cacheReadAudio',
  'cacheReadImage',
  'cacheReadVideo',
];
const OUTPUT_UNITS: readonly Unit[] = ['output', 'reasoning', 'outputAudio', 'outputImage', 'outputVideo'];

/** What an adapter found out about one request. */
export interface GenerationTerms {
  readonly request: RouteRequest;
  readonly context: ReadContext;
  readonly json: StrictJson;
  readonly provider: Provider;
  readonly action: string;
  readonly model: string;
  readonly priced: PricedModel;
  readonly stream: boolean;
  readonly input: InputBound;
  /** Uses of all hosted tools together, where the request bounds them; null where each has its own bound. */
  readonly hostedUsesMax: number | null;
  /** How often hosted tools can make the provider read the context again. */
  readonly readingsMax: number;
  /** Kinds of cache writes that the request can cause. */
  readonly cacheWrites: readonly Unit[];
  /** Whether the context window bounds a reading; embeddings read each text by itself. */
  readonly windowed: boolean;
  /** The dearest terms that can serve it, and the usual ones, in thousandths of the list price. */
  readonly worstPermille: number;
  readonly usualPermille: number;
  /** Costs besides input tokens, output tokens and hosted tools' fees. */
  readonly extraMicroUsd: number;
  readonly output: OutputTerms | null;
  readonly hiddenOutput: boolean;
  /** Changes that are made whatever is granted. */
  readonly always: readonly Edit[];
  /** The soft warning, in this endpoint's form; empty where it has no place for one. */
  readonly warning: () => readonly Edit[];
  /** Adjusts a card to what the request turns on: a premium for long contexts. */
  readonly adjusted?: (card: RateCard) => RateCard;
  readonly meter: (tariff: Tariff) => Meter;
}

/** How an endpoint's output ceiling is written. */
export interface OutputTerms {
  /** The client's own ceiling for one choice; null where it names none. */
  readonly clientTokens: number | null;
  /** The least useful output of one choice. */
  readonly floorTokens: number;
  readonly choices: number;
  /** Writes the ceiling for one choice; null where the endpoint has none, so that the model's maximum is held. */
  readonly edits: ((tokens: number) => readonly Edit[]) | null;
}

/** The call, priced at its worst. */
export function generation(terms: GenerationTerms): Call {
  const { priced, context, json } = terms;
  const adjusted = terms.adjusted ?? ((card: RateCard) => card);
  const card = adjusted(priced.card);
  const { inputTokens, mediaTokens, feesMicroUsd } = terms.input.bound({
    contextTokens: terms.windowed ? priced.contextTokens : Number.POSITIVE_INFINITY,
    usesMax: terms.hostedUsesMax,
    readingsMax: terms.readingsMax,
  });
  const textUnits = [...TEXT_UNITS, ...terms.cacheWrites];
  const textRate = worstRate(card, textUnits, inputTokens);
  const mediaRate = worstRate(card, [...textUnits, ...MEDIA_UNITS], inputTokens);
  const fixedMicroUsd = microUsd(
    costAt(inputTokens - mediaTokens, textRate, terms.worstPermille) +
      costAt(mediaTokens, mediaRate, terms.worstPermille) +
      feesMicroUsd +
      terms.extraMicroUsd,
  );
  const outputRate = scaledRate(worstRate(card, OUTPUT_UNITS, inputTokens), terms.worstPermille);
  const output = terms.output === null ? null : outputDemand(terms, terms.output, { inputTokens, outputRate });
  const demand: Demand = { fixedMicroUsd, inputTokens, output };

  const price = (counts: Counts, served: Served): ReturnType<typeof costOf> => {
    const asked = costOf(card, counts, served.permille);
    if (served.model === null || served.model === terms.model) return asked;
    // The operator's price for a model holds for its dated versions too, whatever the library says of those.
    if (priced.declared && isVersionOf(served.model, terms.model)) return asked;
    const other = priceOfModel(context.policy, terms.provider, served.model, context.nowMs);
    return other === null ? asked : microUsd(Math.max(asked, costOf(adjusted(other.card), counts, served.permille)));
  };
  const tariff: Tariff = {
    price,
    isAsked: (served) => isVersionOf(served, terms.model) || isSamePrice(served, terms),
    worstPermille: terms.worstPermille,
    usualPermille: terms.usualPermille,
    fixedMicroUsd,
    inputTokens,
    outputMicroUsdPerMillion: outputRate,
    hiddenOutput: terms.hiddenOutput,
  };

  return {
    action: terms.action,
    scopes: [],
    model: terms.model,
    stream: terms.stream,
    demand,
    write: (grant) => written(terms, grant),
    meter: () => terms.meter(tariff),
  };

  function written(from: GenerationTerms, grant: Grant): OutboundRequest {
    const edits: Edit[] = [...from.always];
    const clamp = ceilingOf(from, grant, output?.askedTokens ?? null);
    if (clamp !== null) edits.push(...clamp.edits);
    if (grant.warnings.length > 0) edits.push(...from.warning());
    const body = edits.length === 0 ? from.request.body : new TextEncoder().encode(applyEdits(json.text, edits));
    return { path: from.request.path, query: from.request.query, body, clamped: clamp?.announced ?? null };
  }
}

function outputDemand(
  terms: GenerationTerms,
  output: OutputTerms,
  { inputTokens, outputRate }: { readonly inputTokens: number; readonly outputRate: number },
): NonNullable<Demand['output']> {
  const { choices } = output;
  const most = terms.priced.maxOutputTokens;
  const wished = output.clientTokens ?? (output.edits === null ? most : defaultTokens(terms, inputTokens));
  const perChoice = Math.min(wished, most);
  const askedTokens = Math.max(perChoice, 1) * choices;
  const floorTokens =
    output.edits === null ? askedTokens : Math.min(askedTokens, Math.max(1, output.floorTokens) * choices);
  const extendable = terms.stream && !terms.hiddenOutput && output.edits !== null;
  const firstTokens = extendable
    ? Math.min(askedTokens, Math.max(floorTokens, FIRST_OUTPUT_TOKENS * choices))
    : askedTokens;
  return { microUsdPerMillion: outputRate, askedTokens, floorTokens, firstTokens, choices };
}

/** The policy's default, never more than what the window leaves for small models that share it, if it leaves anything. */
function defaultTokens(terms: GenerationTerms, inputTokens: number): number {
  const left = terms.priced.contextTokens - inputTokens;
  const wanted = Math.max(terms.context.policy.sessions.defaultOutputTokens, terms.output?.floorTokens ?? 1);
  return left > 0 && left < wanted ? left : wanted;
}

function ceilingOf(
  terms: GenerationTerms,
  grant: Grant,
  askedTokens: number | null,
): { readonly edits: readonly Edit[]; readonly announced: string } | null {
  const { output } = terms;
  if (output === null || output.edits === null || askedTokens === null) return null;
  const granted = Math.min(grant.outputTokens ?? askedTokens, askedTokens);
  const perChoice = Math.floor(granted / output.choices);
  if (output.clientTokens !== null && output.clientTokens <= perChoice) return null;
  return { edits: output.edits(perChoice), announced: `max_tokens=${perChoice}` };
}

/** "gpt-4o" and "gpt-4o-2024-08-06" are one model; "gpt-4o-mini" is another. */
const DATED = /^[-@]\d{3,8}(-\d{2}-\d{2})?$/;

function isVersionOf(served: string, asked: string): boolean {
  if (served === asked) return true;
  const [short, long] = served.length < asked.length ? [served, asked] : [asked, served];
  return long.startsWith(short) && DATED.test(long.slice(short.length));
}

/** Two names of one model in the price book: an alias and its dated version. */
function isSamePrice(served: string, terms: GenerationTerms): boolean {
  const other = priceOfModel(terms.context.policy, terms.provider, served, terms.context.nowMs);
  return other !== null && other.card === terms.priced.card;
}
