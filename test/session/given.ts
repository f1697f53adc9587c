// Sessions and requests to start tests from.
import { type MicroUsd, microUsd } from '../../src/money.ts';
import type {
  Act,
  AdmissionRules,
  AdmitAnswer,
  AdmitRequest,
  Demand,
  SessionIdentity,
  SessionLimits,
} from '../../src/rpc/session-rpc.ts';
import { type Session, createSession } from '../../src/session/session.ts';

export const NOW_MS = 1_800_000_000_000;
export const ACT: Act = { by: 'test', reason: 'test' };
export const RULES: AdmissionRules = { warnAt: 0.9, onLimit: 'revoke', leastUsefulMicroUsd: null };

export const usd = (dollars: number): MicroUsd => microUsd(Math.round(dollars * 1_000_000));

export function identity(limits: Partial<SessionLimits> = {}, more: Partial<SessionIdentity> = {}): SessionIdentity {
  return {
    issuer: 'fusebox',
    sid: 'session-1',
    agent: 'agent-1',
    customer: 'customer-1',
    segments: ['eu'],
    scopes: ['llm:*'],
    limits: { spendMicroUsd: usd(1), tokens: null, tokensPerRequest: null, requestsPerMinute: null, ...limits },
    expiresAtMs: NOW_MS + 3_600_000,
    ...more,
  };
}

export function givenSession(limits: Partial<SessionLimits> = {}, rules: Partial<AdmissionRules> = {}): Session {
  const how = { rules: { ...RULES, ...rules }, act: ACT, deployment: 'test' };
  return createSession(identity(limits), how, NOW_MS);
}

/** A demand of a fixed price; tokens where given. */
export function fee(dollars: number, inputTokens = 0): Demand {
  return { fixedMicroUsd: usd(dollars), inputTokens, output: null };
}

let ids = 0;

export function request(demand: Demand, more: Partial<AdmitRequest> = {}): AdmitRequest {
  ids += 1;
  return {
    id: `request-${ids}`,
    session: identity(),
    purpose: { route: 'tickets', protocol: 'http', model: null, action: 'GET *' },
    demand,
    leaseMs: 30_000,
    idempotency: null,
    rules: RULES,
    ...more,
  };
}

/** The code of a refusal; "admitted" where there is none. */
export function codeOf(answer: AdmitAnswer): string {
  return answer.admitted ? 'admitted' : answer.denial.code;
}
