// An agent's own view, with its own credential: how its session stands, and its right to stop itself.
import { v7 as uuidv7 } from 'uuid';
import { sessionId } from '../rpc/session-name.ts';
import { type Problem, problemResponse } from '../http/problem.ts';
import { sessionJson } from '../http/session-json.ts';
import { type GatewayParts, identify } from './pipeline.ts';

const METHODS: Readonly<Record<string, string>> = { '/session': 'GET', '/session/revoke': 'POST' };

/**
 * Serves `GET /session` and `POST /session/revoke`. The session's object answers both, so a revoked session can still
 * see why it was stopped.
 */
export async function serveOwnSession(request: Request, parts: GatewayParts): Promise<Response> {
  const requestId = uuidv7();
  const headers: Record<string, string> = {};
  const refuse = (problem: Problem): Response => problemResponse(problem, { requestId, shape: 'problem', headers });

  const { pathname } = new URL(request.url);
  const method = METHODS[pathname];
  if (method === undefined) return refuse({ code: 'route-unknown', detail: `There is nothing at ${pathname}.` });
  if (request.method !== method) return refuse({ code: 'method-not-allowed', detail: `${pathname} takes ${method}.` });

  const caller = await identify(request.headers, { tokens: parts.rules().tokens, now: parts.now }, requestId);
  if (!caller.ok) return refuse(caller.denial);
  const { principal, name } = caller.value;
  const id = sessionId(principal, parts.issuer);
  headers['x-fusebox-session'] = id;

  try {
    const session = parts.session(name);
    const answer =
      method === 'GET'
        ? await session.describe()
        : await session.revoke({ by: `agent ${principal.agent}`, reason: 'stopped by itself' });
    if (!answer.known) return refuse({ code: 'credential-invalid', detail: 'No such session was issued.' });
    if (method === 'POST')
      parts.snapshot.learn(name, { code: 'session-revoked', detail: 'This session stopped itself.' });
    return Response.json(sessionJson(id, answer.view), {
      headers: { ...headers, 'x-request-id': requestId, 'cache-control': 'no-store' },
    });
  } catch (error) {
    console.warn(JSON.stringify({ event: 'session.unreachable', session: name, error: String(error) }));
    return refuse({ code: 'enforcement-unavailable', detail: 'The session could not be asked.', retryAfterSeconds: 1 });
  }
}
