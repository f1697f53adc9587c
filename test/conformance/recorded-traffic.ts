// Recorded exchanges as black-box tests need them: what the gateway must send on, give back and charge for each, worked
// out from the recording and the price library alone.
import { calcPrice, extractUsage, findProvider } from '@pydantic/genai-prices';
import type { LedgerEntryJson } from '../../src/http/session-json.ts';
import { isStream, listed, modelOf, type Recording } from '../protocol/recorded.ts';

export interface JsonObject {
  readonly [name: string]: unknown;
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const ROUTES: Readonly<Record<Recording['provider'], string>> = {
  openai: 'openai',
  anthropic: 'anthropic',
  google: 'gemini',
};
const MODEL_FIELDS =
  'input_usd_per_million: "1", output_usd_per_million: "2", context_tokens: 1000000, max_output_tokens: 64000';

/** A policy with every provider `lanes` times over, so that each lane's requests come to the upstream one after another. */
export function lanePolicy(lanes: number): (upstream: string) => string {
  const unpriced = new Set(listed.filter((recording) => priceOf(recording, {}) === null).map(modelOf));
  return (upstream) =>
    [
      'version: 1',
      'sessions: { ttl_seconds_max: 86400, limits: { spend_usd: "100000" } }',
      'routes:',
      ...Array.from({ length: lanes }, (_, lane) =>
        Object.values(ROUTES).map(
          (name) =>
            `  lane${lane}-${name}: { upstream: ${upstream}/lane${lane}/${name}, protocol: ${name}, scope: llm:${name} }`,
        ),
      ).flat(),
      ...(unpriced.size === 0
        ? []
        : ['prices:', ...[...unpriced].map((model) => `  - { match: ${JSON.stringify(model)}, ${MODEL_FIELDS} }`)]),
      '',
    ].join('\n');
}

export function pathOf(recording: Recording, lane: number): string {
  const query = recording.path.endsWith(':streamGenerateContent') ? '?alt=sse' : '';
  return `/lane${lane}-${ROUTES[recording.provider]}${recording.path}${query}`;
}

/** How the endpoint of a recording writes the ceiling that the client did not. */
function ceilingField({ provider, path }: Recording): string {
  if (provider === 'google') return 'maxOutputTokens';
  if (provider === 'anthropic') return 'max_tokens';
  return path === '/v1/chat/completions' ? 'max_completion_tokens' : 'max_output_tokens';
}

/** The body that must reach the upstream: as recorded, but for the ceiling that was announced and the usage option. */
export function outboundBody(recording: Recording, clamped: string | null): JsonObject {
  const body: Record<string, unknown> = { ...recording.request };
  const tokens = clamped?.split('=')[1];
  const field = tokens === undefined ? undefined : ceilingField(recording);
  if (field === 'maxOutputTokens') {
    body['generationConfig'] = {
      ...(isObject(body['generationConfig']) ? body['generationConfig'] : {}),
      maxOutputTokens: Number(tokens),
    };
  } else if (field !== undefined) {
    body[field] = Number(tokens);
  }
  if (forcesUsage(recording)) {
    body['stream_options'] = {
      ...(isObject(body['stream_options']) ? body['stream_options'] : {}),
      include_usage: true,
    };
  }
  return body;
}

function asksForUsage({ request }: Recording): boolean {
  return isObject(request['stream_options']) && request['stream_options']['include_usage'] === true;
}

function forcesUsage(recording: Recording): boolean {
  return recording.path === '/v1/chat/completions' && recording.request['stream'] === true && !asksForUsage(recording);
}

/** The whole events of a stream, each with the empty line that ends it. */
export function framesOf(body: string): readonly string[] {
  const frames = body.match(/[\s\S]*?(?:\r\n\r\n|\n\n)/g) ?? [];
  const rest = body.slice(frames.join('').length);
  return rest === '' ? frames : [...frames, rest];
}

/** What of an answer the client gets to see: all of it, but for a usage chunk that it did not ask for. */
export function visible(recording: Recording, frames: readonly string[]): string {
  return frames.filter((frame) => !(forcesUsage(recording) && isUsageChunk(dataOf(frame)))).join('');
}

function isUsageChunk(data: JsonObject | null): boolean {
  return data !== null && isObject(data['usage']) && Array.isArray(data['choices']) && data['choices'].length === 0;
}

function dataOf(frame: string): JsonObject | null {
  const text = /^data: ?(.*)$/m.exec(frame)?.[1] ?? '';
  try {
    const data: unknown = JSON.parse(text);
    return isObject(data) ? data : null;
  } catch {
    return null;
  }
}

// -------------------------------------------------------------------------------------------------------------- prices

const FLAVOR: Readonly<Record<string, string>> = {
  '/v1/chat/completions': 'chat',
  '/v1/responses': 'responses',
  '/v1/responses/compact': 'responses',
};

function priceOf(
  recording: Recording,
  usage: Parameters<typeof calcPrice>[0],
  model = modelOf(recording),
): number | null {
  const price = calcPrice(usage, model, { providerId: recording.provider, timestamp: new Date() });
  return price === null ? null : price.total_price * 1_000_000;
}

/** The library's price of the tokens that a recording states, in micro-USD; null where it has no such model. */
export function libraryMicroUsd(recording: Recording): number | null {
  const { usage } = recording;
  if (usage === null) return null;
  const counts = {
    input_tokens: usage.input,
    output_tokens: usage.output,
    cache_read_tokens: usage.cache_read,
    cache_write_tokens: usage.cache_write ?? 0,
  };
  const provider = findProvider({ providerId: recording.provider });
  // Whole answers state kinds of tokens that the recorded usage does not tell apart: audio, lifetimes of caches.
  const found =
    isStream(recording) || provider === undefined
      ? {}
      : extractUsage(provider, JSON.parse(recording.body), FLAVOR[recording.path] ?? 'default').usage;
  const tokens = Object.fromEntries(Object.entries(found).filter(([name]) => !/tool|searches/.test(name)));
  return (
    priceOf(recording, { ...tokens, ...counts }, usage.model ?? undefined) ??
    priceOf(recording, { ...tokens, ...counts })
  );
}

/** Tools that the provider runs itself and bills for beside the tokens. */
export function hasHostedTools({ request, provider, ...recording }: Recording): boolean {
  const tools = [request['tools']].flat().filter(isObject);
  const hosted = tools.some(({ type, ...names }) =>
    typeof type === 'string'
      ? !['function', 'custom'].includes(type)
      : provider === 'google' && Object.keys(names).some((name) => /^(google|code|url|file)/i.test(name)),
  );
  const model = typeof request['model'] === 'string' ? request['model'] : recording.path;
  return hosted || request['web_search_options'] !== undefined || model.includes('search');
}

/**
 * What the provider's own counts in the first events of a stream had cost by then, in micro-USD: the dearest that any of
 * them stated.
 */
export function seenMicroUsd(recording: Recording, frames: readonly string[]): number {
  let dearest = 0;
  const stated: Record<string, unknown> = {};
  for (const frame of frames) {
    const data = dataOf(frame);
    if (data === null) continue;
    const message = isObject(data['message']) ? data['message'] : {};
    const response = isObject(data['response']) ? data['response'] : {};
    const usage = [data['usage'], message['usage'], response['usage'], data['usageMetadata']].find(isObject);
    if (usage === undefined) continue;
    Object.assign(stated, usage);
    dearest = Math.max(dearest, priceOf(recording, countsOf(recording, stated)) ?? 0);
  }
  return dearest;
}

function count(from: unknown, ...names: readonly string[]): number {
  const value = isObject(from) ? names.map((name) => from[name]).find((member) => typeof member === 'number') : 0;
  return typeof value === 'number' ? value : 0;
}

function countsOf({ provider }: Recording, usage: JsonObject): Parameters<typeof calcPrice>[0] {
  if (provider === 'google') {
    return {
      input_tokens: count(usage, 'promptTokenCount') + count(usage, 'toolUsePromptTokenCount'),
      output_tokens: count(usage, 'candidatesTokenCount') + count(usage, 'thoughtsTokenCount'),
      cache_read_tokens: count(usage, 'cachedContentTokenCount'),
    };
  }
  if (provider === 'anthropic') {
    const read = count(usage, 'cache_read_input_tokens');
    const written = count(usage, 'cache_creation_input_tokens');
    return {
      input_tokens: count(usage, 'input_tokens') + read + written,
      output_tokens: count(usage, 'output_tokens'),
      cache_read_tokens: read,
      cache_write_tokens: written,
    };
  }
  return {
    input_tokens: count(usage, 'input_tokens', 'prompt_tokens'),
    output_tokens: count(usage, 'output_tokens', 'completion_tokens'),
    cache_read_tokens: count(usage['input_tokens_details'] ?? usage['prompt_tokens_details'], 'cached_tokens'),
  };
}

/** The ledger's usage in the recording's own words, as far as the recording speaks of it. */
export function usageInLedger({ usage }: LedgerEntryJson, recorded: NonNullable<Recording['usage']>): object | null {
  if (usage === null) return null;
  return {
    input: usage.input_tokens,
    output: usage.output_tokens,
    cache_read: usage.cache_read_tokens,
    ...(recorded.cache_write === undefined ? {} : { cache_write: usage.cache_write_tokens }),
    ...(recorded.reasoning === undefined ? {} : { reasoning: usage.reasoning_tokens }),
    model: recorded.model,
  };
}
