// Anthropic's tools: which run at the client, which at Anthropic in loops that are billed, and what bounds those.
import { accepted, refused, type Result } from '../../denial.ts';
import type { UsageBounds } from '../../policy/policy.ts';
import { ANTHROPIC_HOSTED_TOOLS, CLIENT_TOOL_TOKENS } from '../bounds.ts';
import { objectsOf, optionalCount, textOf } from '../fields.ts';
import { hostedUse, type InputBound } from '../input-bound.ts';
import type { JsonObject } from '../../json/body-json.ts';

const CLIENT_TOOLS: ReadonlySet<string> = new Set(['custom', 'bash', 'text_editor', 'computer', 'memory']);

/** Another model that takes part in an answer, at a price of its own. */
export interface OtherModelUse {
  readonly model: string;
  readonly usesMax: number;
  /** What each use reads besides the request's own context. */
  readonly inputTokensPerUse: number;
  readonly maxTokens: number | null;
}

/** The name of a tool's type without its date: "web_search_20250305" is "web_search". */
function toolName(type: string): string {
  return type.replace(/_20\d{6}$/, '');
}

/**
 * Counts a request's tools and remote servers into `input`; returns the advisers among them, which are billed at prices of
 * their own. Refused: types that nothing bounds.
 */
export function countTools(body: JsonObject, input: InputBound, bounds: UsageBounds): Result<readonly OtherModelUse[]> {
  const tools = body['tools'] ?? [];
  if (!Array.isArray(tools)) return refused('bad-request', '"tools" must be an array.');
  input.tools(tools.length);
  const advisors: OtherModelUse[] = [];
  for (const tool of objectsOf(tools)) {
    const name = toolName(textOf(tool['type']) ?? 'custom');
    if (CLIENT_TOOLS.has(name)) {
      if (name !== 'custom') input.text(CLIENT_TOOL_TOKENS);
      continue;
    }
    // Its servers are counted below, with or without a toolset of their own.
    if (name === 'mcp_toolset') continue;
    const asked = optionalCount(tool, 'max_uses', 0);
    if (!asked.ok) return asked;
    const use = hostedUse({ name, defaults: ANTHROPIC_HOSTED_TOOLS, bounds, usesAsked: asked.value });
    if (!use.ok) return use;
    const contentMax = optionalCount(tool, 'max_content_tokens', 0);
    if (!contentMax.ok) return contentMax;
    const inputTokensPerUse = contentMax.value ?? use.value.bound.inputTokensPerUse;
    input.hosted({ name, bound: { ...use.value.bound, inputTokensPerUse } });
    if (name !== 'advisor') continue;
    const maxTokens = optionalCount(tool, 'max_tokens', 1);
    if (!maxTokens.ok) return maxTokens;
    const model = textOf(tool['model']);
    if (model === null) return refused('bad-request', 'An adviser must name its "model".');
    advisors.push({ model, usesMax: use.value.bound.usesMax, inputTokensPerUse, maxTokens: maxTokens.value });
  }
  for (const _server of objectsOf(body['mcp_servers'])) {
    const use = hostedUse({ name: 'mcp_toolset', defaults: ANTHROPIC_HOSTED_TOOLS, bounds, usesAsked: null });
    if (!use.ok) return use;
    input.hosted(use.value);
    // Only the server knows how much its tools' definitions take.
    input.listing();
  }
  return accepted(advisors);
}
