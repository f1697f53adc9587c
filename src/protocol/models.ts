// What is known about models besides their price: windows, ceilings, hidden reasoning. The first pattern that matches
// decides; where none does, the defaults err on the side of holding more.
export type Provider = 'openai' | 'anthropic' | 'google';

/** Bigger than any window but Gemini 1.5 Pro's, which is listed. */
const DEFAULT_CONTEXT_TOKENS = 1_048_576;
const DEFAULT_MAX_OUTPUT_TOKENS: Readonly<Record<Provider, number>> = {
  openai: 128_000,
  anthropic: 128_000,
  google: 65_536,
};

type Facts = readonly (readonly [pattern: RegExp, tokens: number])[];

/** Windows that the price library lacks or rounds down. */
const CONTEXT_TOKENS: Readonly<Record<Provider, Facts>> = {
  openai: [
    [/^gpt-4\.1/, 1_047_576],
    [/^gpt-5\.5/, 1_050_000],
    [/^computer-use/, 8_192],
    [/^ft:gpt-4o|^gpt-4o|^gpt-4\.5/, 128_000],
    [/^gpt-5-chat/, 400_000],
  ],
  anthropic: [],
  google: [
    [/gemini-(pro-1\.5|1\.5-pro)/, 2_097_152],
    [/gemini-embedding-001/, 2_048],
    [/^gemma/, 262_144],
  ],
};

const MAX_OUTPUT_TOKENS: Readonly<Record<Provider, Facts>> = {
  openai: [
    [/^(ft:)?gpt-3\.5|^gpt-35/, 4_096],
    [/^gpt-4-32k/, 32_768],
    [/^gpt-4(-0|$)/, 8_192],
    [/^gpt-4-/, 4_096],
    [/^gpt-4o-2024-05-13/, 4_096],
    [/^(ft:)?gpt-4o|^chatgpt-4o|^gpt-4\.5|^gpt-audio/, 16_384],
    [/^gpt-4\.1|^o1-preview/, 32_768],
    [/^o1-mini/, 65_536],
    [/^o[134]|^codex-mini/, 100_000],
    [/^gpt-5(\.\d)?-chat|^gpt-chat/, 16_384],
    [/^gpt-5-pro/, 272_000],
  ],
  anthropic: [
    [/claude-(2|instant|v1)/, 4_096],
    [/claude-3[-.]5/, 8_192],
    [/claude-3[-.]7/, 128_000],
    [/claude-3/, 4_096],
    [/claude-(4-opus|opus-4(-0|-1|\.0|\.1|-2025|@|$))/, 32_000],
    [/claude-(4-sonnet|sonnet-4(-0|-5|\.0|\.5|-2025|@|$)|haiku-4|opus-4[-.]5)/, 64_000],
  ],
  google: [
    [/gemini-(1\.0|1\.5|2\.0|pro|flash-1\.5)|^gemma/, 8_192],
    [/-image/, 32_768],
  ],
};

/** Where one picture costs more than the declared bound: tiles of 5,667 tokens each. */
const IMAGE_TOKENS: Facts = [[/^gpt-4o-mini/, 48_169]];

/** How many tokens a model reads at most. `listed` is the price library's figure, rounded up to the power of two it stands for. */
export function contextTokensOf(provider: Provider, model: string, listed: number | undefined): number {
  const known = factOf(CONTEXT_TOKENS[provider], model);
  if (known !== null) return known;
  return listed === undefined ? DEFAULT_CONTEXT_TOKENS : listed === 1_000_000 ? DEFAULT_CONTEXT_TOKENS : listed;
}

/** How many tokens a model can generate in one answer, as far as is known. */
export function maxOutputTokensOf(provider: Provider, model: string): number {
  return factOf(MAX_OUTPUT_TOKENS[provider], model) ?? DEFAULT_MAX_OUTPUT_TOKENS[provider];
}

/** What one picture costs at most, where that is more than `declaredTokens`. */
export function imageTokensOf(model: string, declaredTokens: number): number {
  return Math.max(declaredTokens, factOf(IMAGE_TOKENS, model) ?? 0);
}

const OPENAI_WITHOUT_REASONING = /^(ft:)?(gpt-3\.5|gpt-35|gpt-4|chatgpt-4o|gpt-audio|gpt-5(\.\d)?-chat|text-embedding)/;
const GEMINI_WITHOUT_REASONING = /gemini-(1\.|2\.0|pro|flash-1\.5)|^gemma-[23]|embedding/;

/** Whether a model of OpenAI's or Google's can generate tokens that its answer does not show. Unknown models can. */
export function reasonsInSecret(provider: 'openai' | 'google', model: string): boolean {
  return !(provider === 'openai' ? OPENAI_WITHOUT_REASONING : GEMINI_WITHOUT_REASONING).test(model);
}

/** True for models whose every answer begins with a web search. */
export function alwaysSearches(model: string): boolean {
  return model.includes('-search-preview') || model.includes('-search-api');
}

/** What OpenAI's priority tier multiplies prices by, in thousandths. 1000 where a model is not offered there. */
const OPENAI_PRIORITY_PERMILLE: Facts = [
  [
    /^(ft:)?gpt-3|^gpt-4($|-)|-audio|-search-preview|-deep-research|-realtime|^o1|^o3-(mini|pro)|-pro($|-)|^text-embedding|^gpt-oss/,
    1_000,
  ],
  [/^(ft:)?gpt-4o-mini/, 1_667],
  [/^(ft:)?gpt-4o/, 1_700],
  [/^(ft:)?gpt-4\.1|^o3/, 1_750],
  [/^o4-mini/, 1_819],
  [/^gpt-5\.5/, 2_500],
];

/** The price of OpenAI's priority tier, in thousandths of the standard price. */
export function priorityPermilleOf(model: string): number {
  return factOf(OPENAI_PRIORITY_PERMILLE, model) ?? 2_000;
}

function factOf(facts: Facts, model: string): number | null {
  for (const [pattern, tokens] of facts) if (pattern.test(model)) return tokens;
  return null;
}

const CLAUDE_BEFORE_5 = /claude-(2|3|4|instant|v1)|claude-[a-z]+-[34]([-.@]|$)/;
const CLAUDE_BEFORE_4_6 = /claude-(2|3|4|instant|v1)|claude-[a-z]+-3|claude-[a-z]+-4(-0|-1|-5|\.0|\.1|\.5|-2025|@|$)/;

/** Whether a Claude model thinks where the request does not say. */
export function thinksByDefault(model: string): boolean {
  return !CLAUDE_BEFORE_5.test(model);
}

/** Whether Anthropic sells a model at a premium for inference in one country. */
export function hasRegionalPremium(model: string): boolean {
  return !CLAUDE_BEFORE_4_6.test(model);
}

/** The one model whose long-context premium the price library lacks. */
export function hasUnlistedLongContextPremium(model: string): boolean {
  return /claude-(sonnet-4(-0|-2025|@|$)|4-sonnet)/.test(model);
}
