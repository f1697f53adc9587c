// Every problem that Fusebox can answer with: its status, its title, and whether waiting helps. One exhaustive table;
// http/problem.ts puts it on the wire, http/problem-help.ts has more words for people.
import type { DenialCode } from '../denial.ts';
import { SPEND_HELD_RETRY_SECONDS } from '../limits.ts';

/** The codes that only the control plane and the front door use, beside those that an agent can meet. */
export type ProblemCode =
  | DenialCode
  | 'session-unknown'
  | 'session-ended'
  | 'archive-changed'
  | 'resource-unknown'
  | 'kill-switch-unknown'
  | 'kill-switches-full'
  | 'revocations-full'
  | 'drill-running'
  | 'method-not-allowed'
  | 'internal-error';

/** The words in which the SDKs of Anthropic and OpenAI sort errors: `error.type` of the body. */
type ErrorType =
  | 'invalid_request_error'
  | 'authentication_error'
  | 'permission_error'
  | 'not_found_error'
  | 'conflict_error'
  | 'request_too_large'
  | 'rate_limit_error'
  | 'api_error'
  | 'overloaded_error'
  | 'timeout_error';

export interface ProblemKind {
  readonly status: number;
  readonly title: string;
  readonly errorType: ErrorType;
  /** google.rpc.Code, by name. */
  readonly googleStatus: string;
  /** Seconds told in `Retry-After` when the denial names none; null where waiting cannot help unless the denial says so. */
  readonly retryAfterSeconds: number | null;
  /** RFC 9110 section 11.6.1; on 401 only. */
  readonly wwwAuthenticate?: string;
  /** Replaces the denial's own detail on the outside: what is wrong with a credential is told to the log alone. */
  readonly publicDetail?: string;
}

const ONE_MESSAGE =
  'A valid credential is needed, and exactly one: a session token in Authorization: Bearer, x-api-key, x-goog-api-key or ' +
  'api-key; for the control plane an admin token in Authorization: Bearer, or Cloudflare Access. The reason is in the log of the gateway, under this request id.';
const BEARER = 'Bearer realm="fusebox"';
const BEARER_INVALID = 'Bearer realm="fusebox", error="invalid_token"';
/** The whole window of the request limit: the longest that a refusal for velocity can last. */
const VELOCITY_RETRY_SECONDS = 60;

export const PROBLEMS: Readonly<Record<ProblemCode, ProblemKind>> = {
  'bad-request': {
    status: 400,
    title: 'The request cannot be read',
    errorType: 'invalid_request_error',
    googleStatus: 'INVALID_ARGUMENT',
    retryAfterSeconds: null,
  },
  'ambiguous-path': {
    status: 400,
    title: 'The path can be read in more than one way',
    errorType: 'invalid_request_error',
    googleStatus: 'INVALID_ARGUMENT',
    retryAfterSeconds: null,
  },
  'ambiguous-credential': {
    status: 400,
    title: 'Two different credentials',
    errorType: 'invalid_request_error',
    googleStatus: 'INVALID_ARGUMENT',
    retryAfterSeconds: null,
  },
  'credential-missing': {
    status: 401,
    title: 'No credential',
    errorType: 'authentication_error',
    googleStatus: 'UNAUTHENTICATED',
    retryAfterSeconds: null,
    wwwAuthenticate: BEARER,
    publicDetail: ONE_MESSAGE,
  },
  'credential-invalid': {
    status: 401,
    title: 'The credential is not valid',
    errorType: 'authentication_error',
    googleStatus: 'UNAUTHENTICATED',
    retryAfterSeconds: null,
    wwwAuthenticate: BEARER_INVALID,
    publicDetail: ONE_MESSAGE,
  },
  'credential-expired': {
    status: 401,
    title: 'The credential has expired',
    errorType: 'authentication_error',
    googleStatus: 'UNAUTHENTICATED',
    retryAfterSeconds: null,
    wwwAuthenticate: BEARER_INVALID,
    publicDetail: ONE_MESSAGE,
  },
  'session-revoked': {
    status: 401,
    title: 'The session is revoked',
    errorType: 'authentication_error',
    googleStatus: 'UNAUTHENTICATED',
    retryAfterSeconds: null,
    wwwAuthenticate: BEARER_INVALID,
  },
  'proof-invalid': {
    status: 401,
    title: 'The proof of possession is not valid',
    errorType: 'authentication_error',
    googleStatus: 'UNAUTHENTICATED',
    retryAfterSeconds: null,
    wwwAuthenticate: BEARER_INVALID,
    publicDetail: ONE_MESSAGE,
  },
  'scope-denied': {
    status: 403,
    title: 'Outside the scope of the credential',
    errorType: 'permission_error',
    googleStatus: 'PERMISSION_DENIED',
    retryAfterSeconds: null,
  },
  'policy-denied': {
    status: 403,
    title: 'The policy does not allow this',
    errorType: 'permission_error',
    googleStatus: 'PERMISSION_DENIED',
    retryAfterSeconds: null,
  },
  'unpriced-model': {
    status: 403,
    title: 'The model has no price',
    errorType: 'permission_error',
    googleStatus: 'PERMISSION_DENIED',
    retryAfterSeconds: null,
  },
  'kill-switch-active': {
    status: 403,
    title: 'Stopped by an operator',
    errorType: 'permission_error',
    googleStatus: 'PERMISSION_DENIED',
    retryAfterSeconds: null,
  },
  'approval-required': {
    status: 403,
    title: 'A person must approve this',
    errorType: 'permission_error',
    googleStatus: 'PERMISSION_DENIED',
    retryAfterSeconds: null,
  },
  'route-unknown': {
    status: 404,
    title: 'No such route',
    errorType: 'not_found_error',
    googleStatus: 'NOT_FOUND',
    retryAfterSeconds: null,
  },
  'body-too-large': {
    status: 413,
    title: 'The body is too large',
    errorType: 'request_too_large',
    googleStatus: 'INVALID_ARGUMENT',
    retryAfterSeconds: null,
  },
  'encoding-unsupported': {
    status: 415,
    title: 'The encoding of the body is not supported',
    errorType: 'invalid_request_error',
    googleStatus: 'INVALID_ARGUMENT',
    retryAfterSeconds: null,
  },
  'idempotency-in-flight': {
    status: 409,
    title: 'The same request is still running',
    errorType: 'conflict_error',
    googleStatus: 'ABORTED',
    retryAfterSeconds: 1,
  },
  'idempotency-completed': {
    status: 409,
    title: 'The same request has already been charged',
    errorType: 'conflict_error',
    googleStatus: 'ABORTED',
    retryAfterSeconds: null,
  },
  'idempotency-mismatch': {
    status: 422,
    title: 'The idempotency key belongs to another request',
    errorType: 'invalid_request_error',
    googleStatus: 'FAILED_PRECONDITION',
    retryAfterSeconds: null,
  },
  'spend-limit-exceeded': {
    status: 429,
    title: 'The spend limit does not allow this',
    errorType: 'rate_limit_error',
    googleStatus: 'RESOURCE_EXHAUSTED',
    retryAfterSeconds: null,
  },
  'token-limit-exceeded': {
    status: 429,
    title: 'The token limit does not allow this',
    errorType: 'rate_limit_error',
    googleStatus: 'RESOURCE_EXHAUSTED',
    retryAfterSeconds: null,
  },
  'spend-held': {
    status: 429,
    title: 'Other requests hold what is left',
    errorType: 'rate_limit_error',
    googleStatus: 'RESOURCE_EXHAUSTED',
    retryAfterSeconds: SPEND_HELD_RETRY_SECONDS,
  },
  'velocity-exceeded': {
    status: 429,
    title: 'Too many requests',
    errorType: 'rate_limit_error',
    googleStatus: 'RESOURCE_EXHAUSTED',
    retryAfterSeconds: VELOCITY_RETRY_SECONDS,
  },
  'breaker-open': {
    status: 429,
    title: 'The breaker of the session is open',
    errorType: 'rate_limit_error',
    googleStatus: 'RESOURCE_EXHAUSTED',
    retryAfterSeconds: null,
  },
  'upstream-refused': {
    status: 502,
    title: 'The answer of the upstream was refused',
    errorType: 'api_error',
    googleStatus: 'UNAVAILABLE',
    retryAfterSeconds: null,
  },
  'upstream-unavailable': {
    status: 503,
    title: 'The upstream cannot be used',
    errorType: 'api_error',
    googleStatus: 'UNAVAILABLE',
    retryAfterSeconds: null,
  },
  'enforcement-unavailable': {
    status: 503,
    title: 'Limits cannot be enforced at the moment',
    errorType: 'overloaded_error',
    googleStatus: 'UNAVAILABLE',
    retryAfterSeconds: 1,
  },
  'upstream-timeout': {
    status: 504,
    title: 'The upstream did not answer in time',
    errorType: 'timeout_error',
    googleStatus: 'DEADLINE_EXCEEDED',
    // A request that was sent is charged in full when its answer is lost: an automatic retry would pay again.
    retryAfterSeconds: null,
  },
  'session-unknown': {
    status: 404,
    title: 'No such session',
    errorType: 'not_found_error',
    googleStatus: 'NOT_FOUND',
    retryAfterSeconds: null,
  },
  'session-ended': {
    status: 409,
    title: 'The session has ended',
    errorType: 'conflict_error',
    googleStatus: 'FAILED_PRECONDITION',
    retryAfterSeconds: null,
  },
  'archive-changed': {
    status: 409,
    title: 'The archive of the session was changed',
    errorType: 'conflict_error',
    googleStatus: 'DATA_LOSS',
    retryAfterSeconds: null,
  },
  'resource-unknown': {
    status: 404,
    title: 'No such resource',
    errorType: 'not_found_error',
    googleStatus: 'NOT_FOUND',
    retryAfterSeconds: null,
  },
  'kill-switch-unknown': {
    status: 404,
    title: 'The kill switch is not pulled',
    errorType: 'not_found_error',
    googleStatus: 'NOT_FOUND',
    retryAfterSeconds: null,
  },
  'kill-switches-full': {
    status: 409,
    title: 'No room for another kill switch',
    errorType: 'conflict_error',
    googleStatus: 'RESOURCE_EXHAUSTED',
    retryAfterSeconds: null,
  },
  'revocations-full': {
    status: 409,
    title: 'No room for so many revocations',
    errorType: 'conflict_error',
    googleStatus: 'RESOURCE_EXHAUSTED',
    retryAfterSeconds: null,
  },
  'drill-running': {
    status: 409,
    title: 'A drill is running',
    errorType: 'conflict_error',
    googleStatus: 'ABORTED',
    retryAfterSeconds: 30,
  },
  'method-not-allowed': {
    status: 405,
    title: 'The method is not allowed here',
    errorType: 'invalid_request_error',
    googleStatus: 'INVALID_ARGUMENT',
    retryAfterSeconds: null,
  },
  'internal-error': {
    status: 500,
    title: 'An error of the gateway',
    errorType: 'api_error',
    googleStatus: 'INTERNAL',
    retryAfterSeconds: null,
    publicDetail: 'The gateway failed to handle this request. The reason is in its log, under this request id.',
  },
};
