// The Responses API: POST /v1/responses, its compaction, and its free token count. Unknown members of the body are passed
// on, because those that change what a request costs are known and listed here; unknown types of tools are refused,
// unknown items count as the whole context window.
import { accepted, refused, type Denial, type Result } from '../../denial.ts';
import type { HostedToolBound, UsageBounds } from '../../policy/policy.ts';
import { OPENAI_HOSTED_TOOLS } from '../bounds.ts';
import { generation, type OutputTerms } from '../call.ts';
import { objectsOf, optionalCounts, optionalSwitch, textOf, unboundedMember } from '../fields.ts';
import { hostedUse, InputBound } from '../input-bound.ts';
import { appendElement, setMember, wrapValue, type Edit } from '../json-edit.ts';
import { readModelled } from '../modelled.ts';
import { imageTokensOf, reasonsInSecret } from '../models.ts';
import type { Call, ReadContext, RouteRequest } from '../protocol.ts';
import type { JsonObject, StrictJson } from '../../json/body-json.ts';
import { WARNING_TEXT, WARNING_TOKENS } from '../warning.ts';
import { countInput } from './responses-input.ts';
import { ResponsesMeter } from './responses-meter.ts';
import { tierTerms } from './tier.ts';
import { countTools, UNBOUNDED_MEMBERS } from './tools.ts';

/** The API refuses a lower ceiling. */
const LEAST_OUTPUT_TOKENS = 16;

/** Reads and prices POST /v1/responses. */
export function readResponses(request: RouteRequest, context: ReadContext): Result<Call> {
  return read(request, context, 'responses');
}

/** Reads and prices POST /v1/responses/compact, which has no output ceiling: the model's own is held. */
export function readCompaction(request: RouteRequest, context: ReadContext): Result<Call> {
  return read(request, context, 'responses.compact');
}

function read(request: RouteRequest, context: ReadContext, action: 'responses' | 'responses.compact'): Result<Call> {
  const modelled = readModelled(request, context, 'openai');
  if (!modelled.ok) return modelled;
  const { json, model, priced } = modelled.value;
  const { value } = json;
  const { bounds } = context.policy;
  const unbounded = refuseUnbounded(value);
  if (unbounded !== null) return unbounded;
  const counts = optionalCounts(value, { max_output_tokens: 1, max_tool_calls: 0 });
  if (!counts.ok) return counts;
  const stream = optionalSwitch(value, 'stream');
  if (!stream.ok) return stream;
  const tier = tierTerms(value['service_tier'], model, priced.declared);
  if (!tier.ok) return tier;

  const input = new InputBound({
    bounds,
    imageTokens: imageTokensOf(model, bounds.imageTokens),
    bodyBytes: request.body?.length ?? 0,
  });
  const counted = countAll(value, input, bounds);
  if (!counted.ok) return counted;
  const compacts = action === 'responses.compact';
  const output: OutputTerms = {
    clientTokens: compacts ? null : counts.value.max_output_tokens,
    floorTokens: LEAST_OUTPUT_TOKENS,
    choices: 1,
    edits: compacts ? null : (tokens) => [setMember(json, 'max_output_tokens', String(tokens))],
  };
  return accepted(
    generation({
      request,
      context,
      json,
      provider: 'openai',
      action,
      model,
      priced,
      stream: stream.value,
      input,
      hostedUsesMax: counts.value.max_tool_calls,
      readingsMax: Number.POSITIVE_INFINITY,
      cacheWrites: ['cacheWrite'],
      windowed: true,
      worstPermille: tier.value.worstPermille,
      usualPermille: tier.value.usualPermille,
      extraMicroUsd: 0,
      output,
      // A compaction's output is encrypted.
      hiddenOutput: compacts || reasonsInSecret('openai', model) || input.hasHostedTools,
      always: [],
      warning: () => (compacts ? [] : warning(json)),
      meter: (tariff) => new ResponsesMeter(tariff, { tier: tier.value, feeOf: feeOf(bounds) }),
    }),
  );
}

/** What no bound can be put on. */
function refuseUnbounded(value: JsonObject): { readonly ok: false; readonly denial: Denial } | null {
  const background = optionalSwitch(value, 'background');
  if (!background.ok) return background;
  if (background.value)
    return refused('policy-denied', 'Responses in the background outlive their request, so nothing meters them.');
  // A stored prompt can bring tools and settings that the request does not show.
  return unboundedMember(value, ['prompt', ...UNBOUNDED_MEMBERS]);
}

function countAll(value: JsonObject, input: InputBound, bounds: UsageBounds): Result<null> {
  input.text(WARNING_TOKENS);
  const items = countInput(value['input'], input, bounds);
  if (!items.ok) return items;
  const tools = countTools(value['tools'], input, bounds);
  if (!tools.ok) return tools;
  if (isGiven(value['previous_response_id']) || isGiven(value['conversation'])) input.opaque();
  if (objectsOf(value['context_management']).length > 0) {
    const use = hostedUse({ name: 'compaction', defaults: OPENAI_HOSTED_TOOLS, bounds, usesAsked: null });
    if (!use.ok) return use;
    input.hosted(use.value);
  }
  return accepted(null);
}

function isGiven(value: unknown): boolean {
  return value !== undefined && value !== null;
}

function feeOf(bounds: UsageBounds): (tool: string) => HostedToolBound | undefined {
  return (tool) => bounds.hostedTools.get(tool) ?? OPENAI_HOSTED_TOOLS.get(tool);
}

function warning(json: StrictJson): readonly Edit[] {
  const message = JSON.stringify({ role: 'system', content: WARNING_TEXT });
  const span = json.members.get('input');
  const items = json.value['input'];
  if (span === undefined || items === null) return [setMember(json, 'input', `[${message}]`)];
  if (Array.isArray(items)) return [appendElement(span, items.length === 0, message)];
  if (textOf(items) === null) return [];
  return wrapValue(span, '[{"role":"user","content":', `},${message}]`);
}
