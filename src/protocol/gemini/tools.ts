// Gemini's tools: which are only declared to the model, which run at Google and are billed, and what bounds those.
import { accepted, refused, type Result } from '../../denial.ts';
import type { UsageBounds } from '../../policy/policy.ts';
import { CLIENT_TOOL_TOKENS, GEMINI_HOSTED_TOOLS } from '../bounds.ts';
import { objectsOf } from '../fields.ts';
import { hostedUse, type InputBound } from '../input-bound.ts';
import { isJsonObject } from '../../json/body-json.ts';
import { camelNamed } from './names.ts';

/** Counts a request's tools into `input`. Refused: those that nothing bounds. */
export function countTools(tools: unknown, input: InputBound, bounds: UsageBounds): Result<null> {
  if (tools === undefined || tools === null) return accepted(null);
  const list = isJsonObject(tools) ? [tools] : tools;
  if (!Array.isArray(list)) return refused('bad-request', '"tools" must be an array.');
  for (const tool of objectsOf(list)) {
    const named = camelNamed(tool);
    if (!named.ok) return named;
    for (const [name, value] of Object.entries(named.value)) {
      if (value === null) continue;
      if (name === 'functionDeclarations') {
        input.tools(isJsonObject(value) ? 1 : objectsOf(value).length);
        continue;
      }
      if (name === 'computerUse') {
        input.text(CLIENT_TOOL_TOKENS);
        continue;
      }
      const use = hostedUse({ name, defaults: GEMINI_HOSTED_TOOLS, bounds, usesAsked: null });
      if (!use.ok) return use;
      input.hosted(use.value);
    }
  }
  return accepted(null);
}
