// Why a request is refused: one value for the whole product, from the raw URL to the session's ledger.
// It knows no HTTP; http/problem.ts gives each code its status and its page.

/** Every refusal that an agent can meet, by the code it is shown as. */
export type DenialCode =
  | 'bad-request'
  | 'ambiguous-path'
  | 'ambiguous-credential'
  | 'credential-missing'
  | 'credential-invalid'
  | 'credential-expired'
  | 'session-revoked'
  | 'proof-invalid'
  | 'scope-denied'
  | 'policy-denied'
  | 'unpriced-model'
  | 'kill-switch-active'
  | 'approval-required'
  | 'route-unknown'
  | 'body-too-large'
  | 'encoding-unsupported'
  | 'idempotency-in-flight'
  | 'idempotency-completed'
  | 'idempotency-mismatch'
  | 'spend-limit-exceeded'
  | 'token-limit-exceeded'
  | 'spend-held'
  | 'velocity-exceeded'
  | 'breaker-open'
  | 'upstream-refused'
  | 'upstream-unavailable'
  | 'enforcement-unavailable'
  | 'upstream-timeout';

export interface Denial {
  readonly code: DenialCode;
  /** One sentence for the person who reads the error: what is wrong and where, never a secret. */
  readonly detail: string;
  /** Whole seconds after which the same request may succeed. Absent where waiting cannot help. */
  readonly retryAfterSeconds?: number;
  /** Facts shown beside the detail as members of the problem document: snake_case names with their unit. */
  readonly evidence?: Readonly<Record<string, string | number | boolean | null>>;
}

/** A value, or the reason why there is none. Expected refusals travel this way; bugs throw. */
export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly denial: Denial };

export function accepted<T>(value: T): Result<T> {
  return { ok: true, value };
}

export function refused(
  code: DenialCode,
  detail: string,
  more: Omit<Denial, 'code' | 'detail'> = {},
): { readonly ok: false; readonly denial: Denial } {
  return { ok: false, denial: { code, detail, ...more } };
}
