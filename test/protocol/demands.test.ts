// What a request can cost at most: every field that changes it is in the worst case, or the request is refused.
import { describe, expect, it } from 'vitest';
import { microUsd } from '../../src/money.ts';
import { DEFAULT_BOUNDS } from '../../src/policy/defaults.ts';
import type { ProtocolName } from '../../src/policy/policy.ts';
import type { Demand } from '../../src/rpc/session-rpc.ts';
import { callOf, codeOf, type PolicyParts, type RequestParts } from './fixtures.ts';

const chat = (more: object = {}): object => ({
  model: 'gpt-4o',
  messages: [{ role: 'user', content: 'Hi' }],
  max_tokens: 100,
  ...more,
});
const response = (more: object = {}): object => ({ model: 'gpt-4o', input: 'Hi', max_output_tokens: 100, ...more });
const message = (more: object = {}): object => ({
  model: 'claude-opus-5',
  max_tokens: 100,
  messages: [{ role: 'user', content: 'Hi' }],
  ...more,
});
const generate = (more: object = {}): object => ({
  contents: [{ parts: [{ text: 'Hi' }] }],
  generationConfig: { maxOutputTokens: 100 },
  ...more,
});

const PATHS: Readonly<Record<string, readonly [ProtocolName, string]>> = {
  chat: ['openai', '/v1/chat/completions'],
  response: ['openai', '/v1/responses'],
  message: ['anthropic', '/v1/messages'],
  generate: ['gemini', '/v1beta/models/gemini-2.5-flash:generateContent'],
};

function endpointOf(kind: string): readonly [ProtocolName, string] {
  const endpoint = PATHS[kind];
  if (endpoint === undefined) throw new Error(kind);
  return endpoint;
}

function demandOf(kind: string, body: object, parts: PolicyParts & RequestParts = {}): Demand {
  return callOf(...endpointOf(kind), body, parts).demand;
}

function refusalOf(kind: string, body: object, parts: PolicyParts & RequestParts = {}): string {
  return codeOf(...endpointOf(kind), body, parts);
}

/** Everything held, in micro-USD. */
function heldOf({ fixedMicroUsd, output }: Demand): number {
  return fixedMicroUsd + ((output?.askedTokens ?? 0) * (output?.microUsdPerMillion ?? 0)) / 1_000_000;
}

function outputRate(model: string, chars: number): number | undefined {
  const body = generate({ systemInstruction: { parts: [{ text: 'x'.repeat(chars) }] } });
  return callOf('gemini', `/v1/models/${model}:generateContent`, body).demand.output?.microUsdPerMillion;
}

const GPT_4O_WINDOW = 128_000;
const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${'A'.repeat(400_000)}` } };
const inParts = (...parts: object[]): object => chat({ messages: [{ role: 'user', content: parts }] });

describe('a demand', () => {
  it('holds every byte of the request as a token of input, and what is put around it', () => {
    const small = demandOf('chat', chat());
    const large = demandOf('chat', chat({ user: 'x'.repeat(1_000) }));
    const bytes = new TextEncoder().encode(JSON.stringify(chat())).length;
    expect(small.inputTokens).toBeGreaterThan(bytes);
    expect(large.inputTokens - small.inputTokens).toBe(1_000 + ',"user":""'.length);
  });

  it('never holds more input than the context window', () => {
    expect(demandOf('chat', chat({ user: 'x'.repeat(200_000) })).inputTokens).toBe(GPT_4O_WINDOW);
  });

  const dearer: readonly (readonly [string, string, object, object])[] = [
    ['n', 'chat', chat({ n: 1 }), chat({ n: 3 })],
    ['best_of', 'chat', chat(), chat({ best_of: 3 })],
    ['a tier of priority', 'chat', chat({ service_tier: 'default' }), chat({ service_tier: 'priority' })],
    [
      'a tier that a project can default to priority',
      'chat',
      chat({ service_tier: 'default' }),
      chat({ service_tier: 'auto' }),
    ],
    ['no tier, which is the same', 'response', response({ service_tier: 'default' }), response()],
    [
      'a prediction',
      'chat',
      chat({ user: 'x'.repeat(100) }),
      chat({ prediction: { type: 'content', content: 'x'.repeat(50) } }),
    ],
    ['a web search', 'chat', chat(), chat({ web_search_options: {} })],
    ['a picture', 'chat', inParts({ type: 'text', text: 'x' }), inParts(image)],
    ['more tools', 'chat', chat({ tools: [] }), chat({ tools: [{ type: 'function', function: {} }] })],
    ['a hosted search', 'response', response(), response({ tools: [{ type: 'web_search' }] })],
    [
      'more hosted uses',
      'response',
      response({ max_tool_calls: 1, tools: [{ type: 'web_search' }] }),
      response({ max_tool_calls: 5, tools: [{ type: 'web_search' }] }),
    ],
    ['a bigger container', 'response', container('1g'), container('16g')],
    ['a picture to be made', 'response', response(), response({ tools: [{ type: 'image_generation' }] })],
    ['a compaction', 'response', response(), response({ context_management: [{ type: 'compaction' }] })],
    [
      'a cache of five minutes',
      'message',
      message({ metadata: { a: 'ephemeral-cache' } }),
      message({ cache_control: { type: 'ephemeral' } }),
    ],
    [
      'a cache of an hour',
      'message',
      message({ cache_control: { type: 'ephemeral', ttl: '5m' } }),
      message({ cache_control: { type: 'ephemeral', ttl: '1h' } }),
    ],
    ['fast mode', 'message', message({ speed: 'standard' }), message({ speed: 'fast' })],
    ['inference in one country', 'message', message({ inference_geo: 'global' }), message({ inference_geo: 'us' })],
    ['a place that a workspace can default to', 'message', message({ inference_geo: 'global' }), message()],
    [
      'a hosted search of its own number of uses',
      'message',
      message({ tools: [search(1)] }),
      message({ tools: [search(4)] }),
    ],
    [
      'an adviser',
      'message',
      message(),
      message({ tools: [{ type: 'advisor_20260301', name: 'advisor', model: 'claude-opus-5' }] }),
    ],
    ['a fallback', 'message', message(), message({ fallbacks: [{ model: 'claude-opus-5' }] })],
    [
      'a remote server',
      'message',
      message(),
      message({ mcp_servers: [{ type: 'url', url: 'https://mcp.example', name: 'x' }] }),
    ],
    ['candidates', 'generate', generate(), generate({ generationConfig: { maxOutputTokens: 100, candidateCount: 4 } })],
    ['a priority tier', 'generate', generate({ serviceTier: 'standard' }), generate({ serviceTier: 'priority' })],
    ['grounding', 'generate', generate(), generate({ tools: [{ googleSearch: {} }] })],
    ['cached content', 'generate', generate(), generate({ cachedContent: 'cachedContents/x' })],
    [
      'a video by its address',
      'generate',
      generate(),
      generate({ contents: [{ parts: [{ fileData: { fileUri: 'https://video.example/v' } }] }] }),
    ],
  ];
  it.each(dearer)('is larger for %s', (_what, kind, cheap, dear) => {
    expect(heldOf(demandOf(kind, dear))).toBeGreaterThan(heldOf(demandOf(kind, cheap)));
  });

  it('multiplies input, output and nothing else by the tier', () => {
    const standard = demandOf(
      'chat',
      chat({ service_tier: 'default', model: 'gpt-5', max_tokens: undefined, max_completion_tokens: 10 }),
    );
    const priority = demandOf(
      'chat',
      chat({ service_tier: 'priority', model: 'gpt-5', max_tokens: undefined, max_completion_tokens: 10 }),
    );
    expect(priority.output?.microUsdPerMillion).toBe(2 * (standard.output?.microUsdPerMillion ?? 0));
    expect(priority.inputTokens - standard.inputTokens).toBe('priority'.length - 'default'.length);
  });

  it('prices output at the tier that its input can reach', () => {
    expect(outputRate('gemini-2.5-flash', 1_000)).toBe(2_500_000);
    expect(outputRate('gemini-2.5-pro', 1_000)).toBe(10_000_000);
    expect(outputRate('gemini-2.5-pro', 300_000)).toBe(15_000_000);
  });

  const opaque: readonly (readonly [string, string, object])[] = [
    ['a stored response', 'response', response({ previous_response_id: 'resp_1' })],
    ['a conversation', 'response', response({ conversation: { id: 'conv_1' } })],
    ['an item by reference', 'response', response({ input: [{ type: 'item_reference', id: 'msg_1' }] })],
    ['stored reasoning', 'response', response({ input: [{ type: 'reasoning', id: 'rs_1', summary: [] }] })],
    [
      'a file by its id',
      'response',
      response({ input: [{ role: 'user', content: [{ type: 'input_file', file_id: 'file-1' }] }] }),
    ],
    [
      'a document by its address',
      'response',
      response({ input: [{ role: 'user', content: [{ type: 'input_file', file_url: 'https://files.example/d' }] }] }),
    ],
    ['a file in a chat', 'chat', inParts({ type: 'file', file: { file_id: 'file-1' } })],
    ['speech by its id', 'chat', chat({ messages: [{ role: 'assistant', audio: { id: 'audio_1' } }] })],
    ['a part of an unknown type', 'chat', inParts({ type: 'hologram', id: '1' })],
    ['an item of an unknown type', 'response', response({ input: [{ type: 'dream', id: '1' }] })],
  ];
  it.each(opaque)('holds the context window for %s', (_what, kind, body) => {
    expect(demandOf(kind, body).inputTokens).toBe(GPT_4O_WINDOW);
  });

  it('reads stored state again with each use of a hosted tool', () => {
    const demand = demandOf(
      'response',
      response({ previous_response_id: 'resp_1', max_tool_calls: 3, tools: [{ type: 'web_search' }] }),
    );
    expect(demand.inputTokens).toBe(4 * GPT_4O_WINDOW);
  });

  it('does not count inline media as text, nor its text as media', () => {
    const { inputTokens } = demandOf('chat', inParts(image));
    expect(inputTokens).toBeLessThan(DEFAULT_BOUNDS.imageTokens + 2_000);
    const asText = demandOf('chat', inParts({ type: 'text', text: image.image_url.url }));
    expect(asText.inputTokens).toBe(GPT_4O_WINDOW);
    const plain = inParts({ type: 'file', file: { file_data: `data:text/plain;base64,${'A'.repeat(50_000)}` } });
    expect(demandOf('chat', plain).inputTokens).toBeGreaterThan(50_000);
  });

  it('finds a cache lifetime however its name is spelt', () => {
    const escaped = JSON.stringify(message({ CACHE: { type: 'ephemeral', ttl: '1h' } })).replace(
      'CACHE',
      'cache\\u005fcontrol',
    );
    const plain = message({ cache_control: { type: 'ephemeral', ttl: '1h' } });
    const call = callOf('anthropic', '/v1/messages', escaped);
    expect(call.demand.fixedMicroUsd).toBeGreaterThanOrEqual(demandOf('message', plain).fixedMicroUsd);
  });

  it('holds the larger window, and its premium, where the beta is asked for', () => {
    const body = { ...message(), model: 'claude-sonnet-4-20250514', metadata: { user_id: 'x'.repeat(400_000) } };
    const plain = callOf('anthropic', '/v1/messages', body).demand;
    const beta = callOf('anthropic', '/v1/messages', body, {
      headers: { 'anthropic-beta': 'context-1m-2025-08-07' },
    }).demand;
    expect(plain.inputTokens).toBe(200_000);
    expect(beta.inputTokens).toBeGreaterThan(400_000);
    expect(beta.output?.microUsdPerMillion).toBe(22_500_000);
  });
});

describe('refused because nothing bounds or prices it', () => {
  const refused: readonly (readonly [string, string, object, string])[] = [
    ['an unknown model', 'chat', chat({ model: 'gpt-nobody' }), 'unpriced-model'],
    [
      'an adviser nobody prices',
      'message',
      message({ tools: [{ type: 'advisor_20260301', model: 'claude-nobody' }] }),
      'unpriced-model',
    ],
    ['the background', 'response', response({ background: true }), 'policy-denied'],
    ['a background that is no boolean', 'response', response({ background: 'yes' }), 'bad-request'],
    ['a stored prompt', 'response', response({ prompt: { id: 'pmpt_1' } }), 'policy-denied'],
    ['an unknown tier', 'chat', chat({ service_tier: 'turbo' }), 'policy-denied'],
    ['an unknown tier of Google', 'generate', generate({ serviceTier: 'turbo' }), 'policy-denied'],
    ['an unknown speed', 'message', message({ speed: 'ludicrous' }), 'policy-denied'],
    ['a fallback nobody prices', 'message', message({ fallbacks: [{ model: 'claude-nobody' }] }), 'unpriced-model'],
    ['other models of a router', 'chat', chat({ models: ['gpt-5-pro'] }), 'policy-denied'],
    ['an unknown hosted tool', 'response', response({ tools: [{ type: 'teleport' }] }), 'policy-denied'],
    [
      'one in a namespace',
      'response',
      response({ tools: [{ type: 'namespace', tools: [{ type: 'teleport' }] }] }),
      'policy-denied',
    ],
    [
      'one in the input',
      'response',
      response({ input: [{ type: 'additional_tools', tools: [{ type: 'teleport' }] }] }),
      'policy-denied',
    ],
    [
      'an unknown tool of Anthropic',
      'message',
      message({ tools: [{ type: 'teleport_20270101', name: 't' }] }),
      'policy-denied',
    ],
    ['an unknown tool of Google', 'generate', generate({ tools: [{ teleport: {} }] }), 'policy-denied'],
    ['a container of unknown size', 'response', container('1t'), 'policy-denied'],
    ['a tool without a type', 'response', response({ tools: [{ name: 'x' }] }), 'bad-request'],
    [
      'two spellings of a ceiling',
      'generate',
      generate({ generationConfig: { maxOutputTokens: 5, max_output_tokens: 50_000 } }),
      'bad-request',
    ],
    ['two spellings of a configuration', 'generate', generate({ generation_config: {} }), 'bad-request'],
    [
      "a model in the body that is not the path's",
      'generate',
      generate({ model: 'models/gemini-2.5-pro' }),
      'bad-request',
    ],
    ['a negative ceiling', 'chat', chat({ max_tokens: -1 }), 'bad-request'],
    ['a ceiling in words', 'chat', chat({ max_tokens: '100' }), 'bad-request'],
    ['a ceiling beyond all numbers', 'chat', chat({ max_tokens: 1e300 }), 'bad-request'],
    ['half a choice', 'chat', chat({ n: 1.5 }), 'bad-request'],
    ['no choice', 'chat', chat({ n: 0 }), 'bad-request'],
    ['a thousand choices', 'chat', chat({ n: 1_000 }), 'bad-request'],
    ['a stream that is no boolean', 'chat', chat({ stream: 'true' }), 'bad-request'],
    ['options of a stream that are no object', 'chat', chat({ stream_options: 5 }), 'bad-request'],
    ['no contents', 'generate', { generationConfig: {} }, 'bad-request'],
  ];
  it.each(refused)('%s', (_what, kind, body, code) => {
    expect(refusalOf(kind, body)).toBe(code);
  });

  it('a tool that the policy allows no use of, and says which', () => {
    const hostedTools = new Map([['web_search', { usesMax: 0, inputTokensPerUse: 0, microUsdPerUse: microUsd(0) }]]);
    expect(
      refusalOf('response', response({ tools: [{ type: 'web_search' }] }), {
        bounds: { ...DEFAULT_BOUNDS, hostedTools },
      }),
    ).toBe('policy-denied');
  });
});

describe('the policy', () => {
  it('can bound a tool that is unknown here', () => {
    const hostedTools = new Map([
      ['teleport', { usesMax: 2, inputTokensPerUse: 1_000, microUsdPerUse: microUsd(500) }],
    ]);
    const parts = { bounds: { ...DEFAULT_BOUNDS, hostedTools } };
    const demand = demandOf('response', response({ tools: [{ type: 'teleport' }] }), parts);
    expect(demand.inputTokens).toBeGreaterThan(2_000);
    expect(demand.fixedMicroUsd).toBeGreaterThan(1_000);
  });

  it('can bound a known tool otherwise', () => {
    const hostedTools = new Map([['web_search', { usesMax: 1, inputTokensPerUse: 10, microUsdPerUse: microUsd(1) }]]);
    const body = response({ tools: [{ type: 'web_search' }] });
    const own = demandOf('response', body, { bounds: { ...DEFAULT_BOUNDS, hostedTools } });
    expect(heldOf(own)).toBeLessThan(heldOf(demandOf('response', body)));
  });

  it('prices a model that nobody else does, and is taken at its word about tiers', () => {
    const prices = [
      {
        match: 'my-finetune*',
        inputMicroUsdPerMillion: 3_000_000,
        outputMicroUsdPerMillion: 15_000_000,
        cachedInputMicroUsdPerMillion: 300_000,
        cacheWriteMicroUsdPerMillion: null,
        contextTokens: 1_000,
        maxOutputTokens: 50,
      },
    ];
    const demand = demandOf('chat', chat({ model: 'my-finetune-7', user: 'x'.repeat(5_000) }), { prices });
    expect(demand).toMatchObject({ inputTokens: 1_000, fixedMicroUsd: 3_000 });
    expect(demand.output).toMatchObject({ microUsdPerMillion: 15_000_000, askedTokens: 50 });
  });
});

function container(memory: string): object {
  return response({ tools: [{ type: 'code_interpreter', container: { type: 'auto', memory_limit: memory } }] });
}

function search(uses: number): object {
  return { type: 'web_search_20250305', name: 'web_search', max_uses: uses };
}
