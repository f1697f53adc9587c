// Finds the one credential of a request, in the headers in which SDKs put their API key. Reads; verifies nothing.
// A `key` in the query is not a carrier: URLs end up in logs.
import { refused, type Result } from '../denial.ts';

const MISSING = refused('credential-missing', 'The request carries no credential.');
const NOT_BEARER = refused('credential-invalid', 'The Authorization header does not carry a bearer token.');
const CERTIFICATE = refused('credential-invalid', 'Session certificates are not supported by this version.');
const TWO_DIFFERENT = refused(
  'ambiguous-credential',
  'The request carries two different credentials. Send exactly one of Authorization, x-api-key, x-goog-api-key and api-key.',
);

/**
 * The token that a request carries: `Authorization: Bearer` (RFC 6750 section 2.1), `x-api-key`, `x-goog-api-key` or
 * `api-key`. The same token in several places is one credential; two different ones are 400 `ambiguous-credential`.
 */
export function readCredential(headers: Headers): Result<string> {
  const authorization = headers.get('authorization');
  const bearer = authorization === null ? null : bearerToken(authorization);
  if (bearer === false) return NOT_BEARER;
  let token = bearer;
  for (const name of ['x-api-key', 'x-goog-api-key', 'api-key']) {
    const value = headers.get(name);
    if (value === null || value === '') continue;
    if (token !== null && token !== value) return oneOf([token, value]);
    token = value;
  }
  // A header that was sent twice arrives as one value joined by commas, which are in no token.
  if (token?.includes(',') === true) return oneOf([token]);
  if (headers.has('x-agent-certificate')) return token === null ? CERTIFICATE : TWO_DIFFERENT;
  return token === null ? MISSING : { ok: true, value: token };
}

/** Of an Authorization value; false where it is of another kind. */
function bearerToken(authorization: string): string | false {
  const scheme = authorization.slice(0, 7);
  if (scheme !== 'Bearer ' && scheme.toLowerCase() !== 'bearer ') return false;
  return authorization.slice(7).trim();
}

function oneOf(values: readonly string[]): Result<string> {
  const tokens = new Set(
    values
      .flatMap((value) => value.split(','))
      .map((value) => value.trim())
      .map((value) => (value.toLowerCase().startsWith('bearer ') ? value.slice(7).trim() : value)),
  );
  const [token] = tokens;
  return tokens.size === 1 && token !== undefined ? { ok: true, value: token } : TWO_DIFFERENT;
}
