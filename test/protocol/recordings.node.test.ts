// Real traffic of the providers, read and metered as the gateway would: nothing on the listed endpoints is refused, what
// was held covers what was billed, and the figures are the provider's own.
import { calcPrice, extractUsage, findProvider } from '@pydantic/genai-prices';
import { describe, expect, it } from 'vitest';
import type { Call, Reading } from '../../src/protocol/protocol.ts';
import { isJsonObject } from '../../src/json/body-json.ts';
import { fullGrant, NOW_MS } from './fixtures.ts';
import {
  callFor,
  eventsOf,
  isStream,
  listed,
  modelOf,
  PRESENT,
  readRecording,
  recordings,
  sayIfAbsent,
  type Recording,
} from './recorded.ts';

function readingOf(recording: Recording, call: Call): Reading {
  const meter = call.meter();
  if (isStream(recording)) for (const event of eventsOf(recording.body)) meter.event(event);
  else meter.answer(recording.body);
  return meter.reading();
}

const FLAVOR: Readonly<Record<string, string>> = {
  '/v1/chat/completions': 'chat',
  '/v1/responses': 'responses',
  '/v1/responses/compact': 'responses',
};

/**
 * The library's price in micro-USD, of the usage that it finds in an answer itself, without what tools read and searched;
 * of the recorded usage where the answer is a stream. Null where it knows no such model.
 */
function libraryMicroUsd(recording: Recording, model: string): number | null {
  const { usage } = recording;
  if (usage === null) return null;
  const recorded = {
    input_tokens: usage.input,
    output_tokens: usage.output,
    cache_read_tokens: usage.cache_read,
    cache_write_tokens: usage.cache_write ?? 0,
  };
  const provider = findProvider({ providerId: recording.provider });
  const found =
    isStream(recording) || provider === undefined
      ? recorded
      : extractUsage(provider, JSON.parse(recording.body), FLAVOR[recording.path] ?? 'default').usage;
  const details = Object.fromEntries(Object.entries(found).filter(([name]) => !/tool|searches/.test(name)));
  const price = calcPrice({ ...details, ...recorded }, model, {
    providerId: recording.provider,
    timestamp: new Date(NOW_MS),
  });
  return price === null ? null : price.total_price * 1_000_000;
}

const billed = listed.filter((recording) => recording.usage !== null && recording.status === 200);

sayIfAbsent();

describe.runIf(PRESENT)('recordings', () => {
  it('are read on every listed endpoint', () => {
    const refusals = listed.flatMap((recording) => {
      const read = readRecording(recording);
      return read.ok ? [] : [`${recording.id}: ${read.denial.code}: ${read.denial.detail}`];
    });
    expect(listed.length).toBeGreaterThan(0);
    expect(refusals).toEqual([]);
  });

  it('are refused when they run in the background, or ask for what is not listed', () => {
    const others = recordings.filter((recording) => !listed.includes(recording));
    const codes = others.map((recording) => {
      const read = readRecording(recording);
      return read.ok ? `${recording.id} accepted` : read.denial.code;
    });
    expect(new Set(codes)).toEqual(new Set(others.length > 0 ? ['policy-denied'] : []));
  });

  it('state the usage that a careful reader finds', () => {
    const mismatches = billed.flatMap((recording) => {
      const { stated, final } = readingOf(recording, callFor(recording));
      const { usage } = recording;
      if (usage === null) return [];
      const read = stated && {
        input: stated.inputTokens,
        output: stated.outputTokens,
        cache_read: stated.cacheReadTokens,
        cache_write: usage.cache_write === undefined ? undefined : stated.cacheWriteTokens,
        reasoning: usage.reasoning === undefined ? undefined : stated.reasoningTokens,
      };
      const same =
        read !== null &&
        final &&
        read.input === usage.input &&
        read.output === usage.output &&
        read.cache_read === usage.cache_read &&
        read.cache_write === usage.cache_write &&
        read.reasoning === usage.reasoning;
      return same ? [] : [{ id: recording.id, final, read, usage }];
    });
    expect(mismatches).toEqual([]);
  });

  it('are held at no less than they were billed', () => {
    const violations = billed.flatMap((recording) => {
      const call = callFor(recording);
      const { usage } = recording;
      if (usage === null) return [];
      const reading = readingOf(recording, call);
      const { inputTokens, fixedMicroUsd, output } = call.demand;
      const held = fixedMicroUsd + ((output?.askedTokens ?? 0) * (output?.microUsdPerMillion ?? 0)) / 1_000_000;
      const facts = {
        id: recording.id,
        inputTokens,
        input: usage.input,
        asked: output?.askedTokens ?? 0,
        output: usage.output,
        held,
        cost: reading.statedMicroUsd,
      };
      const covered =
        usage.input <= inputTokens &&
        reading.statedTokens <= inputTokens + (output?.askedTokens ?? 0) &&
        reading.statedMicroUsd <= held;
      return covered ? [] : [facts];
    });
    expect(violations).toEqual([]);
  });

  it('cost what the price library says, within a micro-dollar, besides tools', () => {
    const differences = billed.flatMap((recording) => {
      const expected =
        libraryMicroUsd(recording, recording.usage?.model ?? modelOf(recording)) ??
        libraryMicroUsd(recording, modelOf(recording));
      if (expected === null) return [];
      const call = callFor(recording);
      const { statedMicroUsd } = readingOf(recording, call);
      const difference = statedMicroUsd - expected;
      return difference >= -1e-6 && difference <= 1
        ? []
        : [{ id: recording.id, tools: toolsOf(recording), statedMicroUsd, expected }];
    });
    expect(differences.filter(({ tools }) => tools.length === 0)).toEqual([]);
    // Tools are charged on top, never instead.
    expect(differences.filter(({ statedMicroUsd, expected }) => statedMicroUsd < expected)).toEqual([]);
  });

  it('are sent on as they were, but for what is announced', () => {
    for (const recording of listed) {
      const call = callFor(recording);
      const { body, clamped } = call.write(fullGrant(call));
      const sent: unknown = JSON.parse(new TextDecoder().decode(body ?? new Uint8Array()));
      expect(withoutAnnounced(sent, clamped), recording.id).toEqual(withoutAnnounced(recording.request, clamped));
    }
  });

  it('are never charged less than what had been seen, wherever a stream is cut', () => {
    const streams = listed.filter(isStream);
    expect(streams.length).toBeGreaterThan(0);
    for (const recording of streams) {
      const meter = callFor(recording).meter();
      let leastSoFar = 0;
      let tokensSoFar = 0;
      for (const event of eventsOf(recording.body)) {
        meter.event(event);
        const reading = meter.reading();
        const charge = Math.max(
          reading.statedMicroUsd,
          reading.leastMicroUsd,
          reading.final ? 0 : reading.meteredMicroUsd,
        );
        expect(charge, recording.id).toBeGreaterThanOrEqual(leastSoFar);
        leastSoFar = Math.max(leastSoFar, reading.statedMicroUsd, reading.leastMicroUsd);
        expect(Math.max(reading.leastTokens, reading.meteredTokens), recording.id).toBeGreaterThanOrEqual(tokensSoFar);
        tokensSoFar = Math.max(tokensSoFar, reading.statedTokens);
      }
      expect(meter.reading().ended, recording.id).toBe(true);
    }
  });

  it('never show more text than the bound of their output, where nothing is hidden', () => {
    const violations = billed.flatMap((recording) => {
      const reading = readingOf(recording, callFor(recording));
      if (reading.hiddenOutput || reading.stated === null) return [];
      const { outputTokensBound } = reading;
      return outputTokensBound >= reading.stated.outputTokens
        ? []
        : [{ id: recording.id, outputTokensBound, output: reading.stated.outputTokens }];
    });
    expect(violations).toEqual([]);
  });

  it('raise no doubt about honest usage', () => {
    const doubted = billed.flatMap((recording) => {
      const { flags } = readingOf(recording, callFor(recording));
      return flags.length === 0 ? [] : [{ id: recording.id, flags }];
    });
    expect(doubted).toEqual([]);
  });
});

/** Hosted tools that a recording asks for, or that its answer shows. */
function toolsOf(recording: Recording): readonly string[] {
  const tools = recording.request['tools'];
  const named = (Array.isArray(tools) ? tools : [tools]).filter(isJsonObject).flatMap((tool) => {
    const { type } = tool;
    if (typeof type === 'string') return type === 'function' || type === 'custom' ? [] : [type];
    return Object.keys(tool).filter((name) => /^(google|code|url|file)/.test(name) && recording.provider === 'google');
  });
  const model = modelOf(recording);
  return [
    ...named,
    ...(recording.request['web_search_options'] === undefined && !model.includes('search') ? [] : ['web_search']),
  ];
}

const CEILINGS: ReadonlySet<string> = new Set(['max_tokens', 'max_completion_tokens', 'max_output_tokens']);

/** A body without the ceiling that was set, if one was, and the usage option that was forced. */
function withoutAnnounced(body: unknown, clamped: string | null): unknown {
  if (!isJsonObject(body)) return body;
  const { stream_options: _options, ...rest } = body;
  if (clamped === null) return rest;
  const others = Object.fromEntries(Object.entries(rest).filter(([name]) => !CEILINGS.has(name)));
  const { maxOutputTokens: _ceiling, ...config } = isJsonObject(rest['generationConfig'])
    ? rest['generationConfig']
    : {};
  return { ...others, generationConfig: config };
}
