// The only place where a stub of the control object is made.
import type { ControlRpc } from './control-rpc.ts';

/** The binding of the control object, as far as it is used: a stub speaks its RPC. */
export interface ControlNamespace {
  getByName(name: string): ControlRpc;
}

/** There is one control object in a deployment. A new stub for every call: a broken one stays broken. */
export function controlClient(namespace: ControlNamespace): ControlRpc {
  const stub = (): ControlRpc => namespace.getByName('control');
  return {
    record: (session) => stub().record(session),
    list: (request) => stub().list(request),
    revoke: (session) => stub().revoke(session),
    revokeAgent: (agent) => stub().revokeAgent(agent),
    switches: () => stub().switches(),
    pull: (request) => stub().pull(request),
    lift: (name, act) => stub().lift(name, act),
    preview: (request) => stub().preview(request),
    beginDrill: (drill) => stub().beginDrill(drill),
    drillEvents: (id) => stub().drillEvents(id),
    finishDrill: (drill) => stub().finishDrill(drill),
    drills: () => stub().drills(),
    drill: (id) => stub().drill(id),
    signOffDrill: (signed) => stub().signOffDrill(signed),
    note: (entry) => stub().note(entry),
    audit: (request) => stub().audit(request),
    policyState: () => stub().policyState(),
    policyVersions: () => stub().policyVersions(),
    policyText: (digest) => stub().policyText(digest),
    setPolicy: (request) => stub().setPolicy(request),
    policyDeployed: (file) => stub().policyDeployed(file),
    keepDeployedPolicy: (text) => stub().keepDeployedPolicy(text),
    revokeMany: (revocations) => stub().revokeMany(revocations),
    head: (request) => stub().head(request),
    blob: (name) => stub().blob(name),
  };
}
