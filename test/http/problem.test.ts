import { describe, expect, it } from 'vitest';
import { type Problem, problemResponse } from '../../src/http/problem.ts';
import { PROBLEMS, type ProblemCode } from '../../src/http/problems.ts';

const CODES = Object.keys(PROBLEMS) as ProblemCode[];

/** The table of the contract. */
const STATUSES: Readonly<Record<number, readonly string[]>> = {
  400: ['bad-request', 'ambiguous-path', 'ambiguous-credential'],
  401: ['credential-missing', 'credential-invalid', 'credential-expired', 'session-revoked', 'proof-invalid'],
  403: ['scope-denied', 'policy-denied', 'unpriced-model', 'kill-switch-active', 'approval-required'],
  404: ['route-unknown', 'session-unknown', 'resource-unknown', 'kill-switch-unknown'],
  405: ['method-not-allowed'],
  409: [
    'idempotency-in-flight',
    'idempotency-completed',
    'session-ended',
    'archive-changed',
    'revocations-full',
    'kill-switches-full',
    'drill-running',
  ],
  413: ['body-too-large'],
  415: ['encoding-unsupported'],
  422: ['idempotency-mismatch'],
  429: ['spend-limit-exceeded', 'token-limit-exceeded', 'spend-held', 'velocity-exceeded', 'breaker-open'],
  500: ['internal-error'],
  502: ['upstream-refused'],
  503: ['upstream-unavailable', 'enforcement-unavailable'],
  504: ['upstream-timeout'],
};

async function answerTo(problem: Problem, shape: 'problem' | 'google' = 'problem') {
  const response = problemResponse(problem, { requestId: 'req-1', shape, headers: { 'x-fusebox-session': 's' } });
  return { response, body: await response.json<Record<string, unknown>>() };
}

describe('a problem document', () => {
  it('has the status of the contract', () => {
    const listed = Object.entries(STATUSES).flatMap(([status, codes]) =>
      codes.map((code) => [code, Number(status)] as const),
    );
    expect(Object.fromEntries(CODES.map((code) => [code, PROBLEMS[code].status]))).toEqual(Object.fromEntries(listed));
  });

  it.each(CODES)('is complete for %s', async (code) => {
    const { response, body } = await answerTo({ code, detail: 'What "is" wrong.\u2028' });
    const message = PROBLEMS[code].publicDetail ?? 'What "is" wrong.\u2028';
    expect(body).toEqual({
      type: `/problems/${code}`,
      title: PROBLEMS[code].title,
      status: PROBLEMS[code].status,
      detail: message,
      code,
      request_id: 'req-1',
      message,
      error: { type: PROBLEMS[code].errorType, code, message },
    });
    expect(response.status).toBe(PROBLEMS[code].status);
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.get('x-request-id')).toBe('req-1');
    expect(response.headers.get('x-fusebox-session')).toBe('s');
    expect(response.headers.has('www-authenticate')).toBe(response.status === 401);
    expect(response.headers.has('retry-after')).not.toBe(response.headers.get('x-should-retry') === 'false');
  });

  it('is never a 402: clients that pay would try to pay it', () => {
    expect(CODES.filter((code) => PROBLEMS[code].status === 402)).toEqual([]);
  });

  it('tells when to try again where waiting helps, and not to where it does not', async () => {
    for (const code of [
      'spend-held',
      'velocity-exceeded',
      'idempotency-in-flight',
      'enforcement-unavailable',
    ] as const) {
      expect((await answerTo({ code, detail: 'x' })).response.headers.get('retry-after'), code).toMatch(/^[1-9]\d*$/);
    }
    for (const code of [
      'spend-limit-exceeded',
      'session-revoked',
      'scope-denied',
      'breaker-open',
      'idempotency-completed',
    ] as const) {
      expect((await answerTo({ code, detail: 'x' })).response.headers.get('x-should-retry'), code).toBe('false');
    }
    const { response } = await answerTo({ code: 'breaker-open', detail: 'x', retryAfterSeconds: 12.2 });
    expect(response.headers.get('retry-after')).toBe('13');
    expect(response.headers.get('x-should-retry')).toBeNull();
  });

  it('says one thing outside, whatever is wrong with a credential', async () => {
    const bodies = await Promise.all(
      (['credential-missing', 'credential-invalid', 'credential-expired', 'proof-invalid'] as const).map((code) =>
        answerTo({ code, detail: 'kid k7 is unknown', evidence: { kid: 'k7' } }),
      ),
    );
    expect(new Set(bodies.map(({ body }) => body['detail'])).size).toBe(1);
    for (const { body } of bodies) expect(JSON.stringify(body)).not.toContain('k7');
  });

  it('names the trip to the holder of a valid credential', async () => {
    const { body } = await answerTo({
      code: 'session-revoked',
      detail: 'Tripped at 100 %.',
      evidence: { tripped_at: '2026-11-20', spent_usd: '1.000000' },
    });
    expect(body).toMatchObject({ detail: 'Tripped at 100 %.', tripped_at: '2026-11-20', spent_usd: '1.000000' });
  });

  it('does not let evidence replace a member', async () => {
    const { body } = await answerTo({
      code: 'policy-denied',
      detail: 'x',
      evidence: { status: 200, code: 'fine', error: 'none', limit_usd: '1' },
    });
    expect(body).toMatchObject({
      status: 403,
      code: 'policy-denied',
      limit_usd: '1',
      error: { code: 'policy-denied' },
    });
  });

  it('does not let added headers replace its own', () => {
    const response = problemResponse(
      { code: 'policy-denied', detail: 'x' },
      {
        requestId: 'r',
        shape: 'problem',
        headers: { 'content-type': 'text/html', 'cache-control': 'public', 'x-request-id': 'other' },
      },
    );
    expect(response.headers.get('content-type')).toBe('application/problem+json');
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(response.headers.get('x-request-id')).toBe('r');
  });

  it.each(CODES)("has Google's shape for %s", async (code) => {
    const { response, body } = await answerTo({ code, detail: 'x', evidence: { left_usd: '0.1' } }, 'google');
    expect(response.headers.get('content-type')).toBe('application/json');
    expect(response.status).toBe(PROBLEMS[code].status);
    expect(body).toMatchObject({
      error: {
        code: PROBLEMS[code].status,
        status: PROBLEMS[code].googleStatus,
        message: PROBLEMS[code].publicDetail ?? 'x',
        details: [{ reason: code, domain: 'fusebox', metadata: { request_id: 'req-1' } }],
      },
    });
  });
});
