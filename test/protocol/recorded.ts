// Real traffic of the providers, for the tests that replay it. It is not part of the repository.
import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { calcPrice } from '@pydantic/genai-prices';
import { createParser } from 'eventsource-parser';
import type { PriceOverride, ProtocolName } from '../../src/policy/policy.ts';
import type { Call, StreamEvent } from '../../src/protocol/protocol.ts';
import { protocolFor } from '../../src/protocol/registry.ts';
import { contextFor, NOW_MS, requestOf } from './fixtures.ts';

const DIRECTORY = resolve(process.env['RECORDINGS_DIR'] ?? resolve(import.meta.dirname, '../../../shared/recordings'));
const FILE = resolve(DIRECTORY, 'provider-traffic.json');
export const PRESENT = existsSync(FILE);

/** Without the recordings their tests are skipped, and say so. */
export function sayIfAbsent(): void {
  if (!PRESENT) console.warn(`skipped: there is no provider-traffic.json in RECORDINGS_DIR (${DIRECTORY})`);
}

export interface Recording {
  readonly id: string;
  readonly provider: 'openai' | 'anthropic' | 'google';
  readonly path: string;
  readonly request: { readonly [name: string]: unknown };
  readonly status: number;
  readonly content_type: string;
  readonly body: string;
  readonly usage: {
    readonly input: number;
    readonly output: number;
    readonly cache_read: number;
    readonly cache_write?: number;
    readonly reasoning?: number;
    readonly model: string;
  } | null;
}

const LISTED =
  /^\/v1\/(chat\/completions|responses|responses\/compact|responses\/input_tokens|embeddings|messages|messages\/count_tokens)$|:(generateContent|streamGenerateContent|countTokens|embedContent|batchEmbedContents)$/;

const PROTOCOL: Readonly<Record<Recording['provider'], ProtocolName>> = {
  openai: 'openai',
  anthropic: 'anthropic',
  google: 'gemini',
};

/** What the test's policy says of models that the price library lacks. */
function testPrice(model: string): PriceOverride {
  return {
    match: model,
    inputMicroUsdPerMillion: 1_000_000,
    outputMicroUsdPerMillion: 2_000_000,
    cachedInputMicroUsdPerMillion: null,
    cacheWriteMicroUsdPerMillion: null,
    contextTokens: 1_000_000,
    maxOutputTokens: 64_000,
  };
}

export function modelOf(recording: Recording): string {
  const { model } = recording.request;
  return typeof model === 'string' ? model : (/models\/([^:]+):/.exec(recording.path)?.[1] ?? '');
}

export function isStream(recording: Recording): boolean {
  return recording.content_type.includes('event-stream');
}

export function eventsOf(body: string): readonly StreamEvent[] {
  const events: StreamEvent[] = [];
  const parser = createParser({ onEvent: ({ event, data }) => events.push({ event, data }) });
  parser.feed(body);
  // The last event of a recording may lack its blank line.
  parser.feed('\n\n');
  return events;
}

const parsed: unknown = PRESENT ? JSON.parse(readFileSync(FILE, 'utf8')) : [];
// Data of a fixed form, described beside it.
export const recordings = parsed as readonly Recording[];
export const listed = recordings.filter(
  (recording) => LISTED.test(recording.path) && recording.request['background'] !== true,
);

export function readRecording(recording: Recording): ReturnType<ReturnType<typeof protocolFor>['read']> {
  const protocol = PROTOCOL[recording.provider];
  const model = modelOf(recording);
  const priced = calcPrice({}, model, { providerId: recording.provider, timestamp: new Date(NOW_MS) }) !== null;
  const context = contextFor(protocol, priced ? {} : { prices: [testPrice(model)] });
  const query = recording.path.endsWith(':streamGenerateContent') ? '?alt=sse' : '';
  return protocolFor(protocol).read(requestOf(recording.path, recording.request, { query }), context);
}

export function callFor(recording: Recording): Call {
  const read = readRecording(recording);
  if (!read.ok) throw new Error(`${recording.id}: ${read.denial.code}: ${read.denial.detail}`);
  return read.value;
}
