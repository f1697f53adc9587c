// Every problem that Fusebox can answer with: its status, its words for people, and whether waiting helps.
// One exhaustive table; http/problem.ts puts it on the wire and http/problem-page.ts shows it.
import type { DenialCode } from '../denial.ts';
import { SPEND_HELD_RETRY_SECONDS } from '../limits.ts';

/** The codes that only the control plane and the front door use, beside those that an agent can meet. */
export type ProblemCode =
  | DenialCode
  | 'session-unknown'
  | 'session-ended'
  | 'resource-unknown'
  | 'method-not-allowed'
  | 'internal-error';

/** The words in which the SDKs of Anthropic and OpenAI sort errors: `error.type` of the body. */
export type ErrorType =
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
  /** For the page: what it means, and what to do. */
  readonly meaning: string;
  readonly remedy: string;
}

const ONE_MESSAGE =
  'A valid credential is needed, and exactly one: a session token in Authorization: Bearer, x-api-key, x-goog-api-key or ' +
  'api-key; an admin token in Authorization: Bearer for the control plane. The reason is in the log of the gateway, under this request id.';
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
    meaning:
      'A part of the request is malformed, missing, or not known to Fusebox, so what it would do or cost cannot be said.',
    remedy: 'Correct the part that the detail names and send the request again.',
  },
  'ambiguous-path': {
    status: 400,
    title: 'The path can be read in more than one way',
    errorType: 'invalid_request_error',
    googleStatus: 'INVALID_ARGUMENT',
    retryAfterSeconds: null,
    meaning:
      'The path has encoded dots, slashes or backslashes, doubled slashes, semicolons or the like. Two programs may read it differently, so what is authorised could differ from what is executed.',
    remedy: 'Send the path in its plain form, and encode only characters that need it.',
  },
  'ambiguous-credential': {
    status: 400,
    title: 'Two different credentials',
    errorType: 'invalid_request_error',
    googleStatus: 'INVALID_ARGUMENT',
    retryAfterSeconds: null,
    meaning: 'The request carries two credentials that are not the same. Fusebox does not choose between them.',
    remedy:
      'Send one. A common cause is an SDK that also finds a provider key in its environment, such as ANTHROPIC_AUTH_TOKEN beside ANTHROPIC_API_KEY.',
  },
  'credential-missing': {
    status: 401,
    title: 'No credential',
    errorType: 'authentication_error',
    googleStatus: 'UNAUTHENTICATED',
    retryAfterSeconds: null,
    wwwAuthenticate: BEARER,
    publicDetail: ONE_MESSAGE,
    meaning: 'The request carries no session token in any of the places where one is looked for.',
    remedy: "Give the session token to your SDK as its API key, or send it as 'Authorization: Bearer TOKEN'.",
  },
  'credential-invalid': {
    status: 401,
    title: 'The credential is not valid',
    errorType: 'authentication_error',
    googleStatus: 'UNAUTHENTICATED',
    retryAfterSeconds: null,
    wwwAuthenticate: BEARER_INVALID,
    publicDetail: ONE_MESSAGE,
    meaning: 'The credential is malformed, signed by a key that is not trusted here, or meant for another gateway.',
    remedy:
      "Ask for a new credential. The gateway's operator finds the exact reason in its log, under the request id of the answer.",
  },
  'credential-expired': {
    status: 401,
    title: 'The credential has expired',
    errorType: 'authentication_error',
    googleStatus: 'UNAUTHENTICATED',
    retryAfterSeconds: null,
    wwwAuthenticate: BEARER_INVALID,
    publicDetail: ONE_MESSAGE,
    meaning: 'The credential was valid, but its time is over.',
    remedy: 'Ask for another credential of the same session, or for a new session.',
  },
  'session-revoked': {
    status: 401,
    title: 'The session is revoked',
    errorType: 'authentication_error',
    googleStatus: 'UNAUTHENTICATED',
    retryAfterSeconds: null,
    wwwAuthenticate: BEARER_INVALID,
    meaning:
      'The session was stopped for good: by an operator, by the agent itself, or because it reached a limit. Neither a reset nor a raised limit revives it.',
    remedy: 'Stop. If the work should go on, a person issues a new session after looking at why this one ended.',
  },
  'proof-invalid': {
    status: 401,
    title: 'The proof of possession is not valid',
    errorType: 'authentication_error',
    googleStatus: 'UNAUTHENTICATED',
    retryAfterSeconds: null,
    wwwAuthenticate: BEARER_INVALID,
    publicDetail: ONE_MESSAGE,
    meaning: 'The credential is bound to a key, and the request does not prove that its sender holds it.',
    remedy: 'This version of Fusebox accepts bearer tokens only: ask for a credential that is not bound to a key.',
  },
  'scope-denied': {
    status: 403,
    title: 'Outside the scope of the credential',
    errorType: 'permission_error',
    googleStatus: 'PERMISSION_DENIED',
    retryAfterSeconds: null,
    meaning: 'The credential is valid, but does not grant what the request does.',
    remedy: 'Use a credential that was issued with the scope (or, for operators, the role) that the detail names.',
  },
  'policy-denied': {
    status: 403,
    title: 'The policy does not allow this',
    errorType: 'permission_error',
    googleStatus: 'PERMISSION_DENIED',
    retryAfterSeconds: null,
    meaning: 'The policy of this gateway has no rule that allows the request, or one that forbids it.',
    remedy: 'Do something else, or have the policy changed.',
  },
  'unpriced-model': {
    status: 403,
    title: 'The model has no price',
    errorType: 'permission_error',
    googleStatus: 'PERMISSION_DENIED',
    retryAfterSeconds: null,
    meaning: 'What cannot be priced cannot be held to a limit, so it is not forwarded.',
    remedy: "Use a model with a known price, or have its price added under 'prices' in the policy.",
  },
  'kill-switch-active': {
    status: 403,
    title: 'Stopped by an operator',
    errorType: 'permission_error',
    googleStatus: 'PERMISSION_DENIED',
    retryAfterSeconds: null,
    meaning:
      'An operator has stopped everything, or the agent, feature, customer or segment that this request belongs to.',
    remedy: 'Wait for the operator. Retrying does not help.',
  },
  'approval-required': {
    status: 403,
    title: 'A person must approve this',
    errorType: 'permission_error',
    googleStatus: 'PERMISSION_DENIED',
    retryAfterSeconds: null,
    meaning: 'The policy asks for the approval of a person before this request is forwarded.',
    remedy: 'Ask for the approval, then send the request again.',
  },
  'route-unknown': {
    status: 404,
    title: 'No such route',
    errorType: 'not_found_error',
    googleStatus: 'NOT_FOUND',
    retryAfterSeconds: null,
    meaning: 'The first segment of the path names no route of the policy.',
    remedy: 'Check the base URL: it is the address of the gateway, a slash, and the name of a route.',
  },
  'body-too-large': {
    status: 413,
    title: 'The body is too large',
    errorType: 'request_too_large',
    googleStatus: 'INVALID_ARGUMENT',
    retryAfterSeconds: null,
    meaning: 'The body of the request is larger than this gateway reads.',
    remedy: 'Send less.',
  },
  'encoding-unsupported': {
    status: 415,
    title: 'The encoding of the body is not supported',
    errorType: 'invalid_request_error',
    googleStatus: 'INVALID_ARGUMENT',
    retryAfterSeconds: null,
    meaning: 'The body is compressed, or of a type that cannot be read here.',
    remedy: 'Send the body uncompressed, with the content type that the interface expects.',
  },
  'idempotency-in-flight': {
    status: 409,
    title: 'The same request is still running',
    errorType: 'conflict_error',
    googleStatus: 'ABORTED',
    retryAfterSeconds: 1,
    meaning: 'A request with this idempotency key has been admitted and has not ended.',
    remedy: 'Wait as long as Retry-After says, and ask again.',
  },
  'idempotency-completed': {
    status: 409,
    title: 'The same request has already been charged',
    errorType: 'conflict_error',
    googleStatus: 'ABORTED',
    retryAfterSeconds: null,
    meaning: 'A request with this idempotency key was forwarded and charged. Its answer is not kept.',
    remedy: 'Use the answer that was received, or send a new request under a new key.',
  },
  'idempotency-mismatch': {
    status: 422,
    title: 'The idempotency key belongs to another request',
    errorType: 'invalid_request_error',
    googleStatus: 'FAILED_PRECONDITION',
    retryAfterSeconds: null,
    meaning: 'The idempotency key was used before with a different body.',
    remedy: 'Use a new key for a new request.',
  },
  'spend-limit-exceeded': {
    status: 429,
    title: 'The spend limit is reached',
    errorType: 'rate_limit_error',
    googleStatus: 'RESOURCE_EXHAUSTED',
    retryAfterSeconds: null,
    meaning: 'What is left of the spend limit of the session cannot pay for this request.',
    remedy: 'Ask for less (a shorter answer, a cheaper model), finish the work, or have an operator raise the limit.',
  },
  'token-limit-exceeded': {
    status: 429,
    title: 'The token limit is reached',
    errorType: 'rate_limit_error',
    googleStatus: 'RESOURCE_EXHAUSTED',
    retryAfterSeconds: null,
    meaning:
      'What is left of the token limit of the session, or the limit for one request, does not cover this request.',
    remedy: 'Ask for less, finish the work, or have an operator raise the limit.',
  },
  'spend-held': {
    status: 429,
    title: 'Other requests hold what is left',
    errorType: 'rate_limit_error',
    googleStatus: 'RESOURCE_EXHAUSTED',
    retryAfterSeconds: SPEND_HELD_RETRY_SECONDS,
    meaning: 'The request fits into the limit of the session, but not beside what its running requests may still cost.',
    remedy: 'Wait as long as Retry-After says: holds are freed as soon as those requests end.',
  },
  'velocity-exceeded': {
    status: 429,
    title: 'Too many requests',
    errorType: 'rate_limit_error',
    googleStatus: 'RESOURCE_EXHAUSTED',
    retryAfterSeconds: VELOCITY_RETRY_SECONDS,
    meaning: 'The caller sends more requests in a minute than it may.',
    remedy: 'Wait as long as Retry-After says.',
  },
  'breaker-open': {
    status: 429,
    title: 'The breaker of the session is open',
    errorType: 'rate_limit_error',
    googleStatus: 'RESOURCE_EXHAUSTED',
    retryAfterSeconds: null,
    meaning: 'The session was stopped automatically, and not for good.',
    remedy: 'If there is a Retry-After, wait that long; otherwise an operator closes the breaker or raises the limit.',
  },
  'upstream-refused': {
    status: 502,
    title: 'The answer of the upstream was refused',
    errorType: 'api_error',
    googleStatus: 'UNAVAILABLE',
    retryAfterSeconds: null,
    meaning: 'The upstream answered with something that is not passed on, such as a redirect.',
    remedy: 'Tell the operator of the gateway: the upstream in the policy may be wrong.',
  },
  'upstream-unavailable': {
    status: 503,
    title: 'The upstream cannot be used',
    errorType: 'api_error',
    googleStatus: 'UNAVAILABLE',
    retryAfterSeconds: null,
    meaning: 'The upstream could not be reached, or the key that it needs is not configured here.',
    remedy: 'If there is a Retry-After, wait that long; otherwise tell the operator of the gateway.',
  },
  'enforcement-unavailable': {
    status: 503,
    title: 'Limits cannot be enforced at the moment',
    errorType: 'overloaded_error',
    googleStatus: 'UNAVAILABLE',
    retryAfterSeconds: 1,
    meaning: 'What decides about requests could not be asked, so nothing is forwarded.',
    remedy: 'Wait as long as Retry-After says.',
  },
  'upstream-timeout': {
    status: 504,
    title: 'The upstream did not answer in time',
    errorType: 'timeout_error',
    googleStatus: 'DEADLINE_EXCEEDED',
    // A request that was sent is charged in full when its answer is lost: an automatic retry would pay again.
    retryAfterSeconds: null,
    meaning:
      'The request was forwarded, and no answer came within the time that the policy gives the route. It is charged in full.',
    remedy: 'Ask for less, stream the answer, or have the timeout of the route raised.',
  },
  'session-unknown': {
    status: 404,
    title: 'No such session',
    errorType: 'not_found_error',
    googleStatus: 'NOT_FOUND',
    retryAfterSeconds: null,
    meaning: 'No session of this id is known to this gateway.',
    remedy: "Check the id; a session of another issuer is written 'issuer~id'.",
  },
  'session-ended': {
    status: 409,
    title: 'The session has ended',
    errorType: 'conflict_error',
    googleStatus: 'FAILED_PRECONDITION',
    retryAfterSeconds: null,
    meaning: 'The session is revoked or expired, and this is final.',
    remedy: 'Issue a new session.',
  },
  'resource-unknown': {
    status: 404,
    title: 'No such resource',
    errorType: 'not_found_error',
    googleStatus: 'NOT_FOUND',
    retryAfterSeconds: null,
    meaning: 'There is nothing at this address.',
    remedy: 'GET /admin/openapi.json lists the calls of the control plane.',
  },
  'method-not-allowed': {
    status: 405,
    title: 'The method is not allowed here',
    errorType: 'invalid_request_error',
    googleStatus: 'INVALID_ARGUMENT',
    retryAfterSeconds: null,
    meaning: 'The address exists, but does not answer to this method.',
    remedy: "Use one of the methods in the answer's Allow header.",
  },
  'internal-error': {
    status: 500,
    title: 'An error of the gateway',
    errorType: 'api_error',
    googleStatus: 'INTERNAL',
    retryAfterSeconds: null,
    publicDetail: 'The gateway failed to handle this request. The reason is in its log, under this request id.',
    meaning: 'Fusebox itself failed. Nothing more is told outside.',
    remedy: 'Tell the operator of the gateway the request id.',
  },
};
