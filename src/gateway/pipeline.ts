// The data plane: one request's whole story, in order, from the raw URL to the settled hold. Start reading here.
import { v7 as uuidv7 } from 'uuid';
import type { Principal } from '../credential/claims.ts';
import { readCredential } from '../credential/credential-reader.ts';
import { sessionId, sessionName } from '../rpc/session-name.ts';
import type { TokenVerifier } from '../credential/session-token.ts';
import { type Denial, type Result, accepted, refused } from '../denial.ts';
import { problemResponse } from '../http/problem.ts';
import { type RequestPath, readRequestPath } from '../http/request-path.ts';
import {
  LEASE_MARGIN_MS,
  MAX_DRAINED_BODY_BYTES,
  MAX_IDEMPOTENCY_KEY_CHARS,
  MAX_REQUEST_BODY_BYTES,
  SLOW_BODY_MS,
  SNAPSHOT_BESIDE_ADMISSION_MS,
} from '../limits.ts';
import { scopeCovers } from '../policy/grammar.ts';
import type { Policy } from '../policy/policy.ts';
import type { Call } from '../protocol/protocol.ts';
import type { Namespace } from '../rpc/kill-switch.ts';
import type { AdmissionRules, AdmitAnswer, AdmitRequest, SessionRpc } from '../rpc/session-rpc.ts';
import type { EdgeSnapshot } from '../snapshot/snapshot-client.ts';
import { digestOf } from '../snapshot/digest64.ts';
import type { ScreenedCaller } from '../snapshot/snapshot.ts';
import { sha256Hex } from './body-digest.ts';
import type { DenialReports } from './denial-reports.ts';
import { Exchange, type ExchangeAnswer } from './exchange.ts';
import { readBounded } from './passage.ts';
import type { Route, Rules } from './route-table.ts';
import { standingFields } from './standing.ts';
import { type CallUpstream, upstreamUrl } from './upstream-client.ts';

export interface GatewayParts {
  readonly issuer: string;
  /** Those in force. */
  readonly rules: () => Rules;
  readonly snapshot: EdgeSnapshot;
  readonly session: (name: string) => SessionRpc;
  readonly denials: DenialReports;
  readonly upstream: CallUpstream;
  /** Whose kill switches stop what is served here. */
  readonly namespace: Namespace;
  /** The out-of-band stop. */
  readonly halted: boolean;
  readonly now: () => number;
}

/** The part of the platform's execution context that is used. */
export interface Lifetime {
  waitUntil(work: Promise<unknown>): void;
}

/** Who asks, and under which name its session is known to its object and to the snapshot. */
export interface Caller extends ScreenedCaller {
  readonly principal: Principal;
}

/** Serves `ANY /{route}/{path...}`. */
export async function serveRoute(request: Request, parts: GatewayParts, lifetime: Lifetime): Promise<Response> {
  const requestId = uuidv7();
  const reply = new Reply(requestId);

  // 1 route
  const path = readRequestPath(request.url);
  if (!path.ok) return reply.refuse(path.denial);
  const rules = parts.rules();
  const route = rules.routes.get(path.value.segment);
  if (route === undefined)
    return reply.refuse({ code: 'route-unknown', detail: `There is no route "${path.value.segment}".` });
  reply.shape = route.protocol.errorShape;

  // 2 identify
  const identified = identify(request.headers, { tokens: rules.tokens, now: parts.now }, requestId);
  const caller = identified instanceof Promise ? await identified : identified;
  if (!caller.ok) return reply.refuse(caller.denial);
  reply.session(sessionId({ issuer: caller.value.principal.issuer, sid: caller.value.principal.sid }, parts.issuer));

  // 3 screen
  const { snapshot } = parts;
  const background = (work: Promise<unknown>): void => lifetime.waitUntil(work);
  const refuse = (denial: Denial): Response => {
    parts.denials.note(
      { session: caller.value.name, code: denial.code, route: route.policy.name, requestId },
      background,
    );
    return reply.refuse(denial);
  };
  let news = askForNews(snapshot, background);
  if (news.first !== null) await news.first;
  const against = (): Denial | null => knownAgainst(caller.value, route, parts);
  const screened = against() ?? outsideScope(caller.value, route) ?? disabled(route);
  if (screened !== null) return refuse(screened);
  const screenedMs = parts.now();

  // 4 read
  const read = await readCall(request, path.value, { route, policy: rules.policy, nowMs: parts.now() });
  if (!read.ok) return refuse(read.denial);
  const { call, body, idempotency } = read.value;
  const scope = call.scopes.find((needed) => !scopeCovers(caller.value.principal.scopes, needed));
  if (scope !== undefined)
    return refuse({ code: 'scope-denied', detail: `The credential lacks the scope "${scope}".` });
  // A body comes as slowly as its sender likes, and must not outlast a stop by that.
  if (parts.now() - screenedMs > SLOW_BODY_MS) {
    news = askForNews(snapshot, background);
    if (news.first !== null) await news.first;
    const stopped = against();
    if (stopped !== null) return refuse(stopped);
  }

  // 5 admit
  const session = parts.session(caller.value.name);
  const beside = news.beside === null ? null : besideAdmission(news.beside);
  const admitting = admit(
    session,
    admitRequest({ requestId, caller: caller.value, route, call, policy: rules.policy, body, idempotency }),
  );
  // A client that goes away ends the request's life; a hold placed meanwhile has to be given back.
  lifetime.waitUntil(admitting);
  const admission = await admitting;
  if (!admission.ok) return reply.refuse(admission.denial);
  const admitted = admission.value;
  if (admitted.standing !== null) reply.standing(admitted.standing);
  if (!admitted.admitted) {
    if (admitted.revocation !== null) snapshot.learn(caller.value.name, admitted.revocation);
    return reply.refuse(admitted.denial);
  }
  reply.warn(admitted.warnings);

  // 6 forward, 7 meter, 8 settle
  const exchange = new Exchange({
    requestId,
    route,
    call,
    session,
    admitted,
    request: { method: request.method, headers: outboundHeaders(request, route), clientGone: request.signal },
    now: parts.now,
    screen: {
      against,
      keepFresh: () => {
        if (snapshot.refreshIsDue()) background(snapshot.refresh(background));
      },
    },
    upstream: parts.upstream,
    waitUntil: background,
    alert: (what) =>
      console.warn(JSON.stringify({ event: `exchange.${what}`, request: requestId, session: caller.value.name })),
  });
  if (beside !== null) await beside;
  // Once more: the body, the admission and the news took their time.
  const denial = against();
  if (denial !== null) {
    exchange.withdraw('revoked-before-sending');
    return refuse(denial);
  }
  return reply.answer(await exchange.run());
}

// ---------------------------------------------------------------------------------------------------------- 2 identify

const callers = new WeakMap<Principal, Caller>();

/** The verified caller; at once where this isolate has verified the credential before. */
export function identify(
  headers: Headers,
  parts: { readonly tokens: TokenVerifier; readonly now: () => number },
  requestId: string,
): Result<Caller> | Promise<Result<Caller>> {
  const credential = readCredential(headers);
  if (!credential.ok) {
    logRefusal(requestId, credential.denial.code, credential.denial.detail);
    return credential;
  }
  const verification = parts.tokens.verify(credential.value, parts.now());
  return verification instanceof Promise
    ? verification.then((verified) => callerOf(verified, requestId))
    : callerOf(verification, requestId);
}

function callerOf(verification: Awaited<ReturnType<TokenVerifier['verify']>>, requestId: string): Result<Caller> {
  if (!verification.ok) {
    logRefusal(requestId, verification.denial.code, verification.logDetail);
    return verification;
  }
  const principal = verification.value;
  let caller = callers.get(principal);
  if (caller === undefined) {
    const { issuer, sid, agent, customer, segments, issuedAtMs } = principal;
    const name = sessionName(issuer, sid);
    const digests = { digest: digestOf(name), agentDigest: digestOf(agent) };
    caller = { principal, name, ...digests, agent, customer, segments, issuedAtMs };
    callers.set(principal, caller);
  }
  return accepted(caller);
}

/** What exactly was wrong, for the operator: whoever sent it is told no more than that it was not accepted. */
function logRefusal(requestId: string, code: string, detail: string): void {
  console.warn(JSON.stringify({ event: 'credential.refused', request: requestId, code, detail }));
}

// ------------------------------------------------------------------------------------------------------------ 3 screen

/** What is asked for because of a request: what it is screened after, and what it is sent after. */
interface News {
  readonly first: Promise<void> | null;
  readonly beside: Promise<void> | null;
}

/** Asks for news where it is time to, also where memory refuses: what was pulled may have been lifted. */
function askForNews(snapshot: EdgeSnapshot, background: (work: Promise<unknown>) => void): News {
  const freshness = snapshot.freshness();
  const refresh = snapshot.refreshIsDue() ? snapshot.refresh(background) : null;
  if (refresh !== null && freshness !== 'stale') background(refresh);
  return { first: freshness === 'stale' ? refresh : null, beside: freshness === 'unconfirmed' ? refresh : null };
}

/** What memory alone knows against a request, before it is sent and while its answer passes. */
function knownAgainst(caller: Caller, route: Route, { snapshot, halted, namespace }: GatewayParts): Denial | null {
  if (halted) return { code: 'kill-switch-active', detail: 'Everything is stopped by an operator.' };
  if (snapshot.freshness() === 'stale') {
    return {
      code: 'enforcement-unavailable',
      detail: 'This location has not heard of revocations for too long.',
      retryAfterSeconds: 1,
    };
  }
  return snapshot.verdict(caller, { feature: route.policy.feature, namespace });
}

function outsideScope({ principal }: Caller, { policy }: Route): Denial | null {
  if (scopeCovers(principal.scopes, policy.scope)) return null;
  return { code: 'scope-denied', detail: `The credential lacks the scope "${policy.scope}".` };
}

function disabled({ auth, policy }: Route): Denial | null {
  if (auth.ready) return null;
  return {
    code: 'upstream-unavailable',
    detail: `The route "${policy.name}" is disabled: its provider key is not configured.`,
  };
}

/** Holds a request back no longer than stated. */
function besideAdmission(refresh: Promise<void>): Promise<void> {
  return Promise.race([refresh, new Promise<void>((resolve) => setTimeout(resolve, SNAPSHOT_BESIDE_ADMISSION_MS))]);
}

// -------------------------------------------------------------------------------------------------------------- 4 read

interface ReadRequest {
  readonly call: Call;
  readonly body: Uint8Array | null;
  readonly idempotency: string | null;
}

async function readCall(
  request: Request,
  path: RequestPath,
  { route, policy, nowMs }: { readonly route: Route; readonly policy: Policy; readonly nowMs: number },
): Promise<Result<ReadRequest>> {
  if (upstreamUrl(route, path) === null) {
    return refused('ambiguous-path', 'The path or query is written in a way that URL parsers would change.');
  }
  const encoding = request.headers.get('content-encoding');
  if (encoding !== null && encoding.toLowerCase() !== 'identity') {
    return refused('encoding-unsupported', 'Send the body without content-encoding.');
  }
  const idempotency = request.headers.get('idempotency-key');
  if (idempotency !== null && (idempotency === '' || idempotency.length > MAX_IDEMPOTENCY_KEY_CHARS)) {
    return refused('bad-request', `An Idempotency-Key has 1 to ${MAX_IDEMPOTENCY_KEY_CHARS} characters.`);
  }
  const { method, headers } = request;
  // An upstream's answer to TRACE is the request that it got, with the provider's key in it.
  if (method === 'TRACE') return refused('bad-request', 'TRACE is not forwarded.');
  const body = await readBody(request);
  if (!body.ok) return body;
  const call = route.protocol.read(
    { method, path: path.path, query: path.query, headers, body: body.value },
    { policy, route: route.policy, nowMs },
  );
  return call.ok ? accepted({ call: call.value, body: body.value, idempotency }) : call;
}

/** What cannot be sent must be refused before it is held for: the runtime's fetch throws on a body with these. */
const BODILESS_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD']);

async function readBody(request: Request): Promise<Result<Uint8Array | null>> {
  if (request.body === null) return accepted(null);
  const read = await readBounded(request, MAX_REQUEST_BODY_BYTES, MAX_DRAINED_BODY_BYTES);
  if (read.ok && BODILESS_METHODS.has(request.method)) {
    return read.bytes.length === 0
      ? accepted(null)
      : refused('bad-request', `A ${request.method} request with a body cannot be forwarded.`);
  }
  if (read.ok) return accepted(read.bytes);
  return read.why === 'too-large'
    ? refused('body-too-large', `A request body may have ${MAX_REQUEST_BODY_BYTES} bytes.`)
    : refused('bad-request', 'The request body ended early.');
}

function outboundHeaders(request: Request, { requestHeaders, auth, policy }: Route): Headers {
  const headers = requestHeaders(request.headers);
  // Read and priced as JSON in UTF-8, so it must be nothing else to the provider, whatever charset the client names.
  if (policy.protocol !== 'http' && headers.has('content-type')) headers.set('content-type', 'application/json');
  if (auth.ready && auth.header !== null) headers.set(auth.header.name, auth.header.value);
  return headers;
}

// ------------------------------------------------------------------------------------------------------------- 5 admit

function admitRequest(of: {
  readonly requestId: string;
  readonly caller: Caller;
  readonly route: Route;
  readonly call: Call;
  readonly policy: Policy;
  readonly body: Uint8Array | null;
  readonly idempotency: string | null;
}): AdmitRequest {
  const { jti: _jti, issuedAtMs: _issuedAtMs, ...session } = of.caller.principal;
  const { policy: route } = of.route;
  return {
    id: of.requestId,
    session,
    purpose: { route: route.name, protocol: route.protocol, model: of.call.model, action: of.call.action },
    demand: of.call.demand,
    leaseMs: route.timeoutMs + LEASE_MARGIN_MS,
    idempotency:
      of.idempotency === null
        ? null
        : { key: sha256Hex(`${route.name}\0${of.idempotency}`), digest: sha256Hex(of.body ?? new Uint8Array()) },
    rules: admissionRules(of.policy),
  };
}

/** What the policy says of admissions, for the session's object. */
function admissionRules({ sessions }: Policy): AdmissionRules {
  const { warnAt, onLimit, leastUsefulMicroUsd, retentionDays } = sessions;
  return { warnAt, onLimit, leastUsefulMicroUsd, retentionDays };
}

async function admit(session: SessionRpc, request: AdmitRequest): Promise<Result<AdmitAnswer>> {
  try {
    return accepted(await session.admit(request));
  } catch (error) {
    console.warn(JSON.stringify({ event: 'admission.unreachable', request: request.id, error: String(error) }));
    return refused('enforcement-unavailable', 'The session could not be asked.', { retryAfterSeconds: 1 });
  }
}

// ---------------------------------------------------------------------------------------------------------- the answer

/** Gathers what every answer to this request carries. */
class Reply {
  readonly #requestId: string;
  readonly #headers: Record<string, string> = {};
  shape: 'problem' | 'google' = 'problem';

  constructor(requestId: string) {
    this.#requestId = requestId;
  }

  session(id: string): void {
    this.#headers['x-fusebox-session'] = id;
  }

  standing(standing: Parameters<typeof standingFields>[0]): void {
    Object.assign(this.#headers, standingFields(standing));
  }

  warn(warnings: readonly string[]): void {
    if (warnings.length > 0) this.#headers['x-fusebox-warning'] = warnings.join(', ');
  }

  refuse(denial: Denial): Response {
    return problemResponse(denial, { requestId: this.#requestId, shape: this.shape, headers: this.#headers });
  }

  answer(answer: ExchangeAnswer): Response {
    if (!answer.ok) return this.refuse(answer.denial);
    const { headers, status, body, clamped } = answer;
    headers.set('x-request-id', this.#requestId);
    for (const [name, value] of Object.entries(this.#headers)) headers.set(name, value);
    if (clamped !== null) headers.set('x-fusebox-clamped', clamped);
    return new Response(body, { status, headers });
  }
}
