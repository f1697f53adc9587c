// What each problem means and what to do about it, for the people who read the pages under /problems/.
import type { ProblemCode } from './problems.ts';

interface ProblemHelp {
  readonly meaning: string;
  readonly remedy: string;
}

export const PROBLEM_HELP: Readonly<Record<ProblemCode, ProblemHelp>> = {
  'bad-request': {
    meaning:
      'A part of the request is malformed, missing, or not known to Fusebox, so what it would do or cost cannot be said.',
    remedy: 'Correct the part that the detail names and send the request again.',
  },
  'ambiguous-path': {
    meaning:
      'The path has encoded dots, slashes or backslashes, doubled slashes, semicolons or the like. Two programs may read it differently, so what is authorised could differ from what is executed.',
    remedy: 'Send the path in its plain form, and encode only characters that need it.',
  },
  'ambiguous-credential': {
    meaning: 'The request carries two credentials that are not the same. Fusebox does not choose between them.',
    remedy:
      'Send one. A common cause is an SDK that also finds a provider key in its environment, such as ANTHROPIC_AUTH_TOKEN beside ANTHROPIC_API_KEY.',
  },
  'credential-missing': {
    meaning: 'The request carries no session token in any of the places where one is looked for.',
    remedy: "Give the session token to your SDK as its API key, or send it as 'Authorization: Bearer TOKEN'.",
  },
  'credential-invalid': {
    meaning: 'The credential is malformed, signed by a key that is not trusted here, or meant for another gateway.',
    remedy:
      "Ask for a new credential. The gateway's operator finds the exact reason in its log, under the request id of the answer.",
  },
  'credential-expired': {
    meaning: 'The credential was valid, but its time is over.',
    remedy: 'Ask for another credential of the same session, or for a new session.',
  },
  'session-revoked': {
    meaning:
      'The session was stopped for good: by an operator, by the agent itself, or because it reached a limit. Neither a reset nor a raised limit revives it.',
    remedy: 'Stop. If the work should go on, a person issues a new session after looking at why this one ended.',
  },
  'proof-invalid': {
    meaning: 'The credential is bound to a key, and the request does not prove that its sender holds it.',
    remedy: 'This version of Fusebox accepts bearer tokens only: ask for a credential that is not bound to a key.',
  },
  'scope-denied': {
    meaning: 'The credential is valid, but does not grant what the request does.',
    remedy: 'Use a credential that was issued with the scope (or, for operators, the role) that the detail names.',
  },
  'policy-denied': {
    meaning: 'The policy of this gateway has no rule that allows the request, or one that forbids it.',
    remedy: 'Do something else, or have the policy changed.',
  },
  'unpriced-model': {
    meaning: 'What cannot be priced cannot be held to a limit, so it is not forwarded.',
    remedy: "Use a model with a known price, or have its price added under 'prices' in the policy.",
  },
  'kill-switch-active': {
    meaning:
      'An operator has stopped everything, or the agent, feature, customer or segment that this request belongs to.',
    remedy: 'Wait for the operator. Retrying does not help.',
  },
  'approval-required': {
    meaning:
      'A second person has to agree: a global kill switch is lifted by an operator and an approver, who are two people.',
    remedy:
      'An operator asks for the lift; someone else with the role approver sends the same call within the time that the answer names.',
  },
  'route-unknown': {
    meaning: 'The first segment of the path names no route of the policy.',
    remedy: 'Check the base URL: it is the address of the gateway, a slash, and the name of a route.',
  },
  'body-too-large': {
    meaning: 'The body of the request is larger than this gateway reads.',
    remedy: 'Send less.',
  },
  'encoding-unsupported': {
    meaning: 'The body is compressed, or of a type that cannot be read here.',
    remedy: 'Send the body uncompressed, with the content type that the interface expects.',
  },
  'idempotency-in-flight': {
    meaning: 'A request with this idempotency key has been admitted and has not ended.',
    remedy: 'Wait as long as Retry-After says, and ask again.',
  },
  'idempotency-completed': {
    meaning: 'A request with this idempotency key was forwarded and charged. Its answer is not kept.',
    remedy: 'Use the answer that was received, or send a new request under a new key.',
  },
  'idempotency-mismatch': {
    meaning: 'The idempotency key was used before with a different body.',
    remedy: 'Use a new key for a new request.',
  },
  'spend-limit-exceeded': {
    meaning:
      'What is left of the spend limit of the session cannot pay for this request. Where next to nothing is left, or after ten such requests in a row, the session is stopped.',
    remedy: 'Ask for less (a shorter answer, a cheaper model), finish the work, or have an operator raise the limit.',
  },
  'token-limit-exceeded': {
    meaning:
      'What is left of the token limit of the session, or the limit for one request, does not cover this request. Where next to nothing is left, the session is stopped.',
    remedy: 'Ask for less, finish the work, or have an operator raise the limit.',
  },
  'spend-held': {
    meaning: 'The request fits into the limit of the session, but not beside what its running requests may still cost.',
    remedy: 'Wait as long as Retry-After says: holds are freed as soon as those requests end.',
  },
  'velocity-exceeded': {
    meaning: 'The caller sends more requests in a minute than it may.',
    remedy: 'Wait as long as Retry-After says.',
  },
  'breaker-open': {
    meaning: 'The session was stopped automatically, and not for good.',
    remedy: 'If there is a Retry-After, wait that long; otherwise an operator closes the breaker or raises the limit.',
  },
  'upstream-refused': {
    meaning: 'The upstream answered with something that is not passed on, such as a redirect.',
    remedy: 'Tell the operator of the gateway: the upstream in the policy may be wrong.',
  },
  'upstream-unavailable': {
    meaning: 'The upstream could not be reached, or the key that it needs is not configured here.',
    remedy: 'If there is a Retry-After, wait that long; otherwise tell the operator of the gateway.',
  },
  'enforcement-unavailable': {
    meaning: 'What decides about requests could not be asked, so nothing is forwarded.',
    remedy: 'Wait as long as Retry-After says.',
  },
  'upstream-timeout': {
    meaning:
      'The request was forwarded, and no answer came within the time that the policy gives the route. It is charged in full.',
    remedy: 'Ask for less, stream the answer, or have the timeout of the route raised.',
  },
  'session-unknown': {
    meaning: 'No session of this id is known to this gateway.',
    remedy: "Check the id; a session of another issuer is written 'issuer~id'.",
  },
  'session-ended': {
    meaning: 'The session is revoked or expired, and this is final.',
    remedy: 'Issue a new session.',
  },
  'archive-changed': {
    meaning:
      'The session was archived, and what lies in the place of its archive is not what was put there. Nothing of it is shown as if it were.',
    remedy:
      "Keep what is there as evidence. 'GET /admin/sessions/{id}/audit/verify' names what was changed. A copy that has the digest of the row session.archived in the deployment's log can be put back.",
  },
  'resource-unknown': {
    meaning: 'There is nothing at this address.',
    remedy: 'GET /admin/openapi.json lists the calls of the control plane.',
  },
  'kill-switch-unknown': {
    meaning: 'A kill switch of this level and target is not pulled, or has ended by itself.',
    remedy: 'GET /admin/kill-switches lists those that are. Two people may have lifted it at once.',
  },
  'kill-switches-full': {
    meaning: 'Every edge holds all kill switches in one small signed value, and it is full.',
    remedy: 'Lift switches that have done their work, or pull a wider one. The level global always has room.',
  },
  'drill-running': {
    meaning: 'Drills pull switches of one namespace, so only one can run at a time.',
    remedy: 'Wait for the other one to end: half a minute where all is well, ten minutes at most.',
  },
  'revocations-full': {
    meaning:
      'Every edge holds the whole revocation list in memory, and it has as many entries as it may. Nothing of the call was listed.',
    remedy:
      'Entries leave when their credentials expire. Revoke an agent, or pull a kill switch, instead of naming each session.',
  },
  'method-not-allowed': {
    meaning: 'The address exists, but does not answer to this method.',
    remedy: "Use one of the methods in the answer's Allow header.",
  },
  'internal-error': {
    meaning: 'Fusebox itself failed. Nothing more is told outside.',
    remedy: 'Tell the operator of the gateway the request id.',
  },
};
