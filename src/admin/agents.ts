// The calls on agents: revoke every session of one. Its object carries it out.
import { isId } from '../policy/grammar.ts';
import { timestamp } from '../http/timestamp.ts';
import { CLOCK_SKEW_EXPIRY_SECONDS, MAX_SESSION_TTL_SECONDS } from '../limits.ts';
import { adminRoute, type AdminRoute, json, reach } from './route.ts';
import { agentRevokedAnswer, noQuery, reasonBody } from './schemas.ts';

export const agentRoutes: readonly AdminRoute[] = [
  adminRoute({
    method: 'POST',
    path: '/admin/agents/{id}/revoke',
    role: 'operator',
    summary:
      'Revoke every session that an agent has now, for good. New sessions may be issued to it: a kill switch stops those too.',
    body: reasonBody,
    query: noQuery,
    answer: {
      status: 200,
      description: 'How far it has come; what is pending goes on by itself.',
      schema: agentRevokedAnswer,
    },
    async handle({ body, params, act }, { parts, background }) {
      const agent = params['id'] ?? '';
      if (!isId(agent)) return { code: 'bad-request', detail: 'The id in the path is not that of an agent.' };
      // Not the policy's longest session: it may have been longer when a credential was issued.
      const untilMs = parts.now() + (MAX_SESSION_TTL_SECONDS + CLOCK_SKEW_EXPIRY_SECONDS) * 1_000;
      const revocation = await reach(
        parts.agent(agent).revoke({ agent, act: act(body.reason), untilMs }),
        "the agent's object",
      );
      await parts.headChanged(background);
      return json(200, {
        agent,
        revoked_before: timestamp(revocation.beforeMs),
        sessions: revocation.sessions,
        pending: revocation.pending,
        listed: revocation.listed,
      });
    },
  }),
];
