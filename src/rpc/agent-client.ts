// The only place where stubs of agents' objects are made.
import type { AgentRpc } from './agent-rpc.ts';

/** The binding of the agents' objects, as far as it is used: a stub speaks their RPC. */
export interface AgentNamespace {
  getByName(name: string): AgentRpc;
}

/** The object of that agent. Every command can be repeated. A new stub for every call: a broken one stays broken. */
export function agentClient(namespace: AgentNamespace, agent: string): AgentRpc {
  const stub = (): AgentRpc => namespace.getByName(agent);
  return {
    track: (session) => stub().track(session),
    revoke: (request) => stub().revoke(request),
  };
}
