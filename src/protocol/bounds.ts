// Declared worst cases for what a request's bytes do not bound: the tools that a provider runs in a loop of its own, and
// what it adds around texts. The policy overrides the tools one by one under `bounds.hosted_tools`. No rules.
import { microUsd } from '../money.ts';
import type { HostedToolBound } from '../policy/policy.ts';

/** Rate cards kept per isolate: model ids come from clients, so the cache must have an end. About 1 KB each. */
export const MAX_CACHED_MODELS = 1_000;

/** Until this many output tokens a stream without hidden reasoning holds at first; the rest is extended as it flows. */
export const FIRST_OUTPUT_TOKENS = 1_024;

/**
 * The longest runs of text that tokenizers turn into one token are about this many bytes (spaces, dashes), so that less
 * than bytes / 128 cannot have been generated.
 */
export const MAX_BYTES_PER_TOKEN = 128;

/** What a provider adds around a request, seen up to 350 tokens for tools, and a few per message. */
export const REQUEST_OVERHEAD_TOKENS = 64;
export const TOOLS_OVERHEAD_TOKENS = 1_024;
export const PER_TOOL_OVERHEAD_TOKENS = 64;
export const PER_MESSAGE_OVERHEAD_TOKENS = 16;

/** Generated beside the text that a stream shows: the framing of a message or of a tool call. */
export const OUTPUT_FRAME_TOKENS = 32;
/** A generated picture inside an answer; the largest that a model of Google's bills is 2,520. */
export const OUTPUT_IMAGE_TOKENS = 2_520;
/** Base64 characters of generated audio per token, at the lowest bit rate that the APIs offer. */
export const OUTPUT_AUDIO_CHARS_PER_TOKEN = 128;

function hosted(usesMax: number, inputTokensPerUse: number, microUsdPerUse: number): HostedToolBound {
  return { usesMax, inputTokensPerUse, microUsdPerUse: microUsd(microUsdPerUse) };
}

/**
 * OpenAI's tools. `usesMax` holds where the request's own `max_tool_calls` is absent. Fees: searches per 1,000 calls,
 * containers for their first 20 minutes at 1 GB, pictures at the highest quality and size.
 */
export const OPENAI_HOSTED_TOOLS: ReadonlyMap<string, HostedToolBound> = new Map([
  ['web_search', hosted(10, 32_768, 10_000)],
  ['web_search_preview', hosted(10, 32_768, 25_000)],
  ['web_search_options', hosted(1, 16_384, 50_000)],
  ['file_search', hosted(10, 32_768, 2_500)],
  ['code_interpreter', hosted(10, 16_384, 30_000)],
  ['shell', hosted(10, 16_384, 30_000)],
  ['image_generation', hosted(4, 8_192, 300_000)],
  ['mcp', hosted(10, 16_384, 0)],
  ['tool_search', hosted(5, 8_192, 0)],
  ['compaction', hosted(1, 16_384, 0)],
]);

/**
 * Anthropic's tools. `usesMax` holds where the tool's own `max_uses` is absent. A code execution container is billed for
 * five minutes at least.
 */
export const ANTHROPIC_HOSTED_TOOLS: ReadonlyMap<string, HostedToolBound> = new Map([
  ['web_search', hosted(10, 32_768, 10_000)],
  ['web_fetch', hosted(5, 131_072, 0)],
  ['code_execution', hosted(10, 16_384, 4_200)],
  ['tool_search_tool', hosted(5, 8_192, 0)],
  ['tool_search_tool_bm25', hosted(5, 8_192, 0)],
  ['tool_search_tool_regex', hosted(5, 8_192, 0)],
  ['mcp_toolset', hosted(10, 16_384, 0)],
  ['advisor', hosted(5, 8_192, 0)],
  ['compaction', hosted(1, 0, 0)],
]);

/** Google's tools, by their JSON names. Grounding is billed per prompt, from Gemini 3 on per query. */
export const GEMINI_HOSTED_TOOLS: ReadonlyMap<string, HostedToolBound> = new Map([
  ['googleSearch', hosted(10, 16_384, 14_000)],
  ['googleSearchRetrieval', hosted(1, 16_384, 35_000)],
  ['enterpriseWebSearch', hosted(1, 16_384, 45_000)],
  ['googleMaps', hosted(5, 16_384, 25_000)],
  ['urlContext', hosted(20, 32_768, 0)],
  ['fileSearch', hosted(5, 32_768, 0)],
  ['codeExecution', hosted(5, 32_768, 0)],
]);

/** What an adviser model may write per use where its tool names no ceiling, and what a summary of a long context takes. */
export const ADVICE_OUTPUT_TOKENS = 16_384;
/** What Anthropic's own client-side tools (bash, text editor, computer) put into the context. */
export const CLIENT_TOOL_TOKENS = 1_024;
