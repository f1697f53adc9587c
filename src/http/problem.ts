// Turns a refusal into its answer on the wire: RFC 9457 problem documents, with the members that provider SDKs show.
// It is the hot path of a flood of refused requests, so what can be written once per code is.
import { PROBLEMS, type ProblemCode, type ProblemKind } from './problems.ts';

/** A refusal, as `Denial`, or with a code that only the control plane and the front door use. */
export interface Problem {
  readonly code: ProblemCode;
  readonly detail: string;
  readonly retryAfterSeconds?: number;
  readonly evidence?: Readonly<Record<string, string | number | boolean | null>>;
}

export interface ProblemOptions {
  readonly requestId: string;
  /** `google` on Gemini routes, whose SDK reads google.rpc.Status. */
  readonly shape: 'problem' | 'google';
  /** Added to the answer's headers, lower case; they may not replace those that the problem sets. */
  readonly headers?: Readonly<Record<string, string>>;
}

/** The parts of an answer that depend on the code alone. */
interface Precomputed {
  readonly kind: ProblemKind;
  readonly problemHead: string;
  readonly errorHead: string;
  readonly googleHead: string;
  readonly publicDetail: string | null;
}

const PRECOMPUTED = precompute();
const RESERVED_MEMBERS = new Set([
  'type',
  'title',
  'status',
  'detail',
  'instance',
  'code',
  'request_id',
  'message',
  'error',
]);

/**
 * The answer for a refusal. `x-should-retry: false` (obeyed by the OpenAI and Anthropic SDKs) where waiting cannot
 * help, `Retry-After` where it can; `www-authenticate` on 401 (RFC 9110 section 11.6.1, RFC 6750 section 3). Details of
 * what is wrong with a credential are replaced by one constant message.
 */
export function problemResponse(problem: Problem, options: ProblemOptions): Response {
  const parts = PRECOMPUTED[problem.code];
  const { kind } = parts;
  const detail = parts.publicDetail ?? JSON.stringify(problem.detail);
  const body =
    options.shape === 'google'
      ? googleBody(parts, detail, problem, options)
      : problemBody(parts, detail, problem, options);
  const headers: Record<string, string> = {
    ...options.headers,
    'content-type': options.shape === 'google' ? 'application/json' : 'application/problem+json',
    'cache-control': 'no-store',
    'x-request-id': options.requestId,
  };
  const retryAfterSeconds = problem.retryAfterSeconds ?? kind.retryAfterSeconds;
  if (retryAfterSeconds === null) headers['x-should-retry'] = 'false';
  else headers['retry-after'] = String(Math.max(1, Math.ceil(retryAfterSeconds)));
  if (kind.wwwAuthenticate !== undefined) headers['www-authenticate'] = kind.wwwAuthenticate;
  return new Response(body, { status: kind.status, headers });
}

/** `detail` is JSON already. */
function problemBody(parts: Precomputed, detail: string, problem: Problem, options: ProblemOptions): string {
  let body = `${parts.problemHead}${detail},"message":${detail},"request_id":${JSON.stringify(options.requestId)}${parts.errorHead}${detail}}`;
  if (parts.publicDetail === null && problem.evidence !== undefined) {
    for (const [name, value] of Object.entries(problem.evidence)) {
      if (!RESERVED_MEMBERS.has(name)) body += `,${JSON.stringify(name)}:${JSON.stringify(value)}`;
    }
  }
  return `${body}}`;
}

/** google.rpc.Status in JSON, with the code as the reason of an ErrorInfo (AIP-193). `detail` is JSON already. */
function googleBody(parts: Precomputed, detail: string, problem: Problem, options: ProblemOptions): string {
  let metadata = `"request_id":${JSON.stringify(options.requestId)}`;
  if (parts.publicDetail === null && problem.evidence !== undefined) {
    for (const [name, value] of Object.entries(problem.evidence)) {
      metadata += `,${JSON.stringify(name)}:${JSON.stringify(String(value))}`;
    }
  }
  return `${parts.googleHead}${metadata}}}],"message":${detail}}}`;
}

function precompute(): Readonly<Record<ProblemCode, Precomputed>> {
  const parts: Partial<Record<ProblemCode, Precomputed>> = {};
  for (const [code, kind] of Object.entries(PROBLEMS) as [ProblemCode, ProblemKind][]) {
    const type = JSON.stringify(`/problems/${code}`);
    const quoted = JSON.stringify(code);
    parts[code] = {
      kind,
      problemHead: `{"type":${type},"title":${JSON.stringify(kind.title)},"status":${kind.status},"code":${quoted},"detail":`,
      errorHead: `,"error":{"type":${JSON.stringify(kind.errorType)},"code":${quoted},"message":`,
      googleHead:
        `{"error":{"code":${kind.status},"status":${JSON.stringify(kind.googleStatus)},` +
        `"details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":${quoted},"domain":"fusebox","metadata":{`,
      publicDetail: kind.publicDetail === undefined ? null : JSON.stringify(kind.publicDetail),
    };
  }
  return parts as Readonly<Record<ProblemCode, Precomputed>>;
}
