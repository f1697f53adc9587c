// Plain HTTP tools: any request, at the fee that the policy sets for its method and path. Bodies are not read.
import { accepted, refused, type Result } from '../../denial.ts';
import type { Fee } from '../../policy/policy.ts';
import { fixedPriceCall } from '../free-call.ts';
import { globMatches } from '../glob.ts';
import type { Call, Protocol } from '../protocol.ts';
import { toolError } from '../stream-error.ts';

export const http: Protocol = {
  requestHeaders: [
    'accept-language',
    'if-match',
    'if-modified-since',
    'if-none-match',
    'if-unmodified-since',
    'prefer',
    'range',
  ],
  responseHeaders: [
    'accept-ranges',
    'allow',
    'cache-control',
    'content-disposition',
    'content-language',
    'content-range',
    'etag',
    'expires',
    'last-modified',
    'link',
    'location',
    'vary',
    'x-ratelimit-*',
  ],
  errorShape: 'problem',

  read(request, context): Result<Call> {
    // What an upstream reads is compared: "%74ickets" is "tickets" to it, and must not find a cheaper fee.
    const path = decodedPath(request.path);
    if (path === null) return refused('bad-request', 'The path has a percent sign that encodes nothing.');
    const fee = context.route.fees.find((candidate) => feeMatches(candidate, request.method, path));
    if (fee === undefined) {
      return refused('policy-denied', `The policy sets no fee for ${request.method} ${request.path} on this route.`);
    }
    return accepted(
      fixedPriceCall({
        request,
        action: `${request.method} ${fee.path ?? '*'}`,
        scopes: fee.scope === null ? [] : [fee.scope],
        model: null,
        microUsd: fee.microUsd,
      }),
    );
  },

  cut: toolError,
};

/**
 * Whether a fee is meant for a request. In its path `*` stands for one segment or less, and a final `/*` for everything
 * below, and for the path itself.
 */
export function feeMatches(fee: Fee, method: string, path: string): boolean {
  if (fee.method !== null && fee.method !== method) return false;
  if (fee.path === null) return true;
  const open = fee.path.endsWith('/*');
  const wanted = segmentsOf(open ? fee.path.slice(0, -2) : fee.path);
  const given = segmentsOf(path);
  if (open ? given.length < wanted.length : given.length !== wanted.length) return false;
  return wanted.every((pattern, index) => globMatches(pattern, given[index] ?? ''));
}

function segmentsOf(path: string): readonly string[] {
  return path === '' ? [''] : path.split('/');
}

function decodedPath(path: string): string | null {
  try {
    return path.split('/').map(decodeURIComponent).join('/');
  } catch {
    return null;
  }
}
