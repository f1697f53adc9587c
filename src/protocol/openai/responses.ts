// The Responses API: POST /v1/responses, its compaction, and its free token count. Unknown members of the body are passed
// on, because those that change what a request costs are known and listed here; unknown types of tools are refused,
// unknown items count as the whole context window.
import { accepted, refused, type Result } from '../../denial.ts';
import { OPENAI_HOSTED_TOOLS } from '../bounds.ts';
import { generation, type OutputTerms } from '../call.ts';
import { firstDenial, objectsOf, optionalCount, readBody, requiredText, textOf } from '../fields.ts';
import { hostedUse, InputBound } from '../input-bound.ts';
import { appendElement, setMember, wrapValue, type Edit } from '../json-edit.ts';
import { imageTokensOf, reasonsInSecret } from '../models.ts';
import { priceOfModel } from '../prices.ts';
import type { Call, ReadContext, RouteRequest } from '../protocol.ts';
import type { HostedToolBound, UsageBounds } from '../../policy/policy.ts';
import type { JsonObject, StrictJson } from '../strict-json.ts';
import { WARNING_TEXT, WARNING_TOKENS } from '../warning.ts';
import { countInput } from './responses-input.ts';
import { ResponsesMeter } from './responses-meter.ts';
import { tierTerms } from './tier.ts';
import { countTools } from './tools.ts';

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
  const body = readBody(request.body);
  if (!body.ok) return body;
  const json = body.value;
  const { value } = json;
  const { bounds } = context.policy;
  const unbounded = refuseUnbounded(value);
  if (unbounded !== null) return unbounded;
  const model = requiredText(value, 'model');
  if (!model.ok) return model;
  const priced = priceOfModel(context.policy, 'openai', model.value, context.nowMs);
  if (priced === null) return refused('unpriced-model', `Nobody prices the model "${model.value}".`, { evidence: { model: model.value } });

  const ceiling = optionalCount(value, 'max_output_tokens', 1);
  const callsMax = optionalCount(value, 'max_tool_calls', 0);
  const tier = tierTerms(value['service_tier'], model.value, priced.declared);
  if (!ceiling.ok || !callsMax.ok || !tier.ok) {
    return { ok: false, denial: firstDenial(ceiling, callsMax, tier) ?? { code: 'bad-request', detail: '' } };
  }
  const stream = value['stream'] ?? false;
  if (typeof stream !== 'boolean') return refused('bad-request', '"stream" must be true or false.');

  const input = new InputBound({
    bounds,
    imageTokens: imageTokensOf(model.value, bounds.imageTokens),
    bodyBytes: request.body?.length ?? 0,
  });
  input.text(WARNING_TOKENS);
  const counted = countAll(value, input, bounds);
  if (!counted.ok) return counted;

  const compacts = action === 'responses.compact';
  const output: OutputTerms = {
    field: 'max_output_tokens',
    clientTokens: compacts ? null : ceiling.value,
    floorTokens: LEAST_OUTPUT_TOKENS,
    choices: 1,
    edit: compacts ? null : (tokens) => setMember(json, 'max_output_tokens', String(tokens)),
  };
  return accepted(
    generation({
      request,
      context,
      json,
      provider: 'openai',
      action,
      model: model.value,
      priced,
      stream,
      input,
      hostedUsesMax: callsMax.value,
      readingsMax: Number.POSITIVE_INFINITY,
      cacheWrites: ['cacheWrite'],
      windowed: true,
      worstPermille: tier.value.worstPermille,
      usualPermille: tier.value.usualPermille,
      extraMicroUsd: 0,
      output,
      // A compaction's output is encrypted.
      hiddenOutput: compacts || reasonsInSecret('openai', model.value) || input.hasHostedTools,
      always: [],
      warning: () => (compacts ? [] : warning(json)),
      meter: (tariff) => new ResponsesMeter(tariff, { tier: tier.value, feeOf: feeOf(bounds) }),
    }),
  );
}

/** What no bound can be put on, before anything is priced. */
function refuseUnbounded(value: JsonObject): ReturnType<typeof refused> | null {
  const background = value['background'] ?? false;
  if (typeof background !== 'boolean') return refused('bad-request', '"background" must be true or false.');
  if (background) return refused('policy-denied', 'Responses in the background outlive their request, so nothing meters them.');
  if (value['prompt'] !== undefined && value['prompt'] !== null) {
    return refused('policy-denied', 'A stored prompt can bring tools and settings that the request does not show.');
  }
  return null;
}

function countAll(value: JsonObject, input: InputBound, bounds: UsageBounds): Result<null> {
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
