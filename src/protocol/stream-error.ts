// The last words of a stream that Fusebox cuts: each provider's own error event, so that its SDK raises an error.
import type { Denial } from '../denial.ts';

/**
 * Ends whatever line or event was half sent when the stream was cut. An SDK that takes the half for an event fails on it,
 * which is an error as well.
 */
const END_OF_EVENT = '\n\n';

/** Chat completions: SDKs raise on any chunk that has an `error`. */
export function chatError(denial: Denial): string {
  return `${END_OF_EVENT}data: ${JSON.stringify({ error: openaiError(denial) })}\n\n`;
}

/** Responses: an `error` event, with the error both as the API writes it and where SDKs look for it. */
export function responsesError(denial: Denial): string {
  const { type: _type, ...error } = openaiError(denial);
  const event = { type: 'error', ...error, error: openaiError(denial) };
  return `${END_OF_EVENT}event: error\ndata: ${JSON.stringify(event)}\n\n`;
}

/** Messages: an `error` event. */
export function anthropicError(denial: Denial): string {
  const event = { type: 'error', error: { type: 'permission_error', code: denial.code, message: denial.detail } };
  return `${END_OF_EVENT}event: error\ndata: ${JSON.stringify(event)}\n\n`;
}

/** A tool's own events: an `error` event, as whoever reads server-sent events would name it. */
export function toolError(denial: Denial): string {
  return `${END_OF_EVENT}event: error\ndata: ${JSON.stringify({ error: openaiError(denial) })}\n\n`;
}

/** What Google calls the reasons for a cut; the rest is about an exhausted limit. */
const GOOGLE_STATUS: ReadonlyMap<string, { readonly code: number; readonly status: string }> = new Map([
  ['session-revoked', { code: 401, status: 'UNAUTHENTICATED' }],
  ['credential-expired', { code: 401, status: 'UNAUTHENTICATED' }],
  ['kill-switch-active', { code: 403, status: 'PERMISSION_DENIED' }],
  ['upstream-unavailable', { code: 503, status: 'UNAVAILABLE' }],
  ['enforcement-unavailable', { code: 503, status: 'UNAVAILABLE' }],
  ['upstream-timeout', { code: 504, status: 'DEADLINE_EXCEEDED' }],
]);

/** Gemini: a chunk that is nothing but an error with a status; its SDK looks for a code from 400 to 599. */
export function geminiError(denial: Denial): string {
  const { code, status } = GOOGLE_STATUS.get(denial.code) ?? { code: 429, status: 'RESOURCE_EXHAUSTED' };
  const error = { code, status, message: `${denial.code}: ${denial.detail}` };
  return `${END_OF_EVENT}data: ${JSON.stringify({ error })}\n\n`;
}

function openaiError(denial: Denial): {
  readonly type: string;
  readonly code: string;
  readonly message: string;
  readonly param: null;
} {
  return { type: 'fusebox_error', code: denial.code, message: denial.detail, param: null };
}
