// OpenAI's tools: which run at the client, which at OpenAI in loops that are billed, and what bounds those.
import { accepted, refused, type Result } from '../../denial.ts';
import { microUsd } from '../../money.ts';
import type { UsageBounds } from '../../policy/policy.ts';
import { OPENAI_HOSTED_TOOLS } from '../bounds.ts';
import { objectOf, objectsOf, textOf } from '../fields.ts';
import { hostedUse, type InputBound } from '../input-bound.ts';
import type { JsonObject } from '../../json/body-json.ts';

/** Run by the client: nothing but their definitions is billed. */
const CLIENT_TOOLS: ReadonlySet<string> = new Set([
  'function',
  'custom',
  'computer_use_preview',
  'computer_use',
  'computer',
  'local_shell',
  'apply_patch',
]);

/** Containers are priced by their memory; the declared fee is for one gigabyte. */
const CONTAINER_GIGABYTES: ReadonlyMap<unknown, number> = new Map<unknown, number>([
  [undefined, 1],
  [null, 1],
  ['1g', 1],
  ['4g', 4],
  ['16g', 16],
  ['64g', 64],
]);

/**
 * Members that compatible providers take: other models to fall back on, searches and plugins that are billed. OpenAI's own
 * API has none of them.
 */
export const UNBOUNDED_MEMBERS: readonly string[] = [
  'models',
  'fallbacks',
  'plugins',
  'search_parameters',
  'enable_search',
];

/** Dates and preview versions aside: "web_search_preview_2025_03_11" is "web_search_preview". */
function toolName(type: string): string {
  return type.replace(/_20\d\d_\d\d_\d\d$/, '');
}

/** Counts a request's tools into `input`. Refused: types that nothing bounds, and tools without a type. */
export function countTools(tools: unknown, input: InputBound, bounds: UsageBounds): Result<null> {
  if (tools === undefined || tools === null) return accepted(null);
  if (!Array.isArray(tools)) return refused('bad-request', '"tools" must be an array.');
  input.tools(tools.length);
  for (const tool of objectsOf(tools)) {
    const counted = countTool(tool, input, bounds);
    if (!counted.ok) return counted;
  }
  return accepted(null);
}

function countTool(tool: JsonObject, input: InputBound, bounds: UsageBounds): Result<null> {
  const type = textOf(tool['type']);
  if (type === null) return refused('bad-request', 'Each of "tools" must have a "type".');
  const name = toolName(type);
  if (CLIENT_TOOLS.has(name)) return accepted(null);
  if (name === 'namespace') return countTools(tool['tools'], input, bounds);
  if (name === 'tool_search' && tool['execution'] === 'client') return accepted(null);
  const environment = objectOf(tool['environment']) ?? objectOf(tool['container']);
  if (name === 'shell' && environment?.['type'] === 'local') return accepted(null);

  const use = hostedUse({ name, defaults: OPENAI_HOSTED_TOOLS, bounds, usesAsked: null });
  if (!use.ok) return use;
  let { bound } = use.value;
  if (name === 'code_interpreter' || name === 'shell') {
    const gigabytes = CONTAINER_GIGABYTES.get(environment?.['memory_limit']);
    if (gigabytes === undefined) return refused('policy-denied', 'Nothing prices a container of this memory_limit.');
    bound = { ...bound, microUsdPerUse: microUsd(bound.microUsdPerUse * gigabytes) };
    // Files given to a container, or left in one, are read by the tool and can be shown to the model once.
    if (environment === null || environment['type'] !== 'auto' || environment['file_ids'] !== undefined)
      input.listing();
  }
  if (name === 'mcp') input.listing();
  input.hosted({ name, bound });
  return accepted(null);
}
