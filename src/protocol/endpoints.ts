// The allow-list of a provider's endpoints: exact methods and paths, known query parameters, and a refusal for the rest.
import { accepted, refused, type Denial, type Result } from '../denial.ts';
import { microUsd } from '../money.ts';
import { fixedPriceCall } from './free-call.ts';
import { readBody, textOf } from './fields.ts';
import type { Call, RouteRequest } from './protocol.ts';

/** Refused because nothing on the route's list is meant by it. */
export function endpointRefused(request: RouteRequest): { readonly ok: false; readonly denial: Denial } {
  return refused(
    'policy-denied',
    `${request.method} ${request.path} is not among the endpoints that Fusebox can price.`,
  );
}

/** Null where the query has nothing but `allowed` parameters, each once; credentials do not belong into URLs. */
export function queryRefusal(
  query: string,
  allowed: ReadonlyMap<string, RegExp>,
): { readonly ok: false; readonly denial: Denial } | null {
  if (query === '' || query === '?') return null;
  const seen = new Set<string>();
  for (const pair of query.slice(1).split('&')) {
    const equals = pair.indexOf('=');
    const name = equals < 0 ? pair : pair.slice(0, equals);
    const pattern = allowed.get(name);
    if (pattern === undefined)
      return refused(
        'bad-request',
        'The query has a parameter that this route does not know; credentials go into headers.',
      );
    if (seen.has(name)) return refused('bad-request', `The query names "${name}" twice.`);
    seen.add(name);
    if (!pattern.test(equals < 0 ? '' : pair.slice(equals + 1)))
      return refused('bad-request', `The query parameter "${name}" has a value that cannot be read.`);
  }
  return null;
}

/** An endpoint that the provider does not bill: only its body must be readable. */
export function freeEndpoint(request: RouteRequest, action: string): Result<Call> {
  const body = readBody(request.body);
  if (!body.ok) return body;
  const model = textOf(body.value.value['model']);
  return accepted(fixedPriceCall({ request, action, scopes: [], model, microUsd: microUsd(0) }));
}
