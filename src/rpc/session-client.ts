// The only place where stubs of session objects are made, and where a failed call is tried again.
import type { SessionRpc } from './session-rpc.ts';

/** The binding of the session objects, as far as it is used: a stub speaks their RPC. */
export interface SessionNamespace {
  getByName(name: string): SessionRpc;
}

/**
 * The session object of that name (see `sessionName`). Every command can be repeated, so a call that failed on the way
 * is tried once more, on a new stub; an overloaded object is left alone. Rejects when the object cannot be reached.
 */
export function sessionClient(namespace: SessionNamespace, name: string): SessionRpc {
  const call = async <T>(ask: (stub: SessionRpc) => Promise<T>): Promise<T> => {
    try {
      return await ask(namespace.getByName(name));
    } catch (error) {
      if (!isWorthRetrying(error)) throw error;
      return ask(namespace.getByName(name));
    }
  };
  return {
    admit: (request) => call((stub) => stub.admit(request)),
    extend: (request) => call((stub) => stub.extend(request)),
    settle: (settlement) => call((stub) => stub.settle(settlement)),
    void: (receipt, reason) => call((stub) => stub.void(receipt, reason)),
    watch: (request) => call((stub) => stub.watch(request)),
    create: (request) => call((stub) => stub.create(request)),
    describe: () => call((stub) => stub.describe()),
    renew: (request) => call((stub) => stub.renew(request)),
    changeLimits: (request) => call((stub) => stub.changeLimits(request)),
    revoke: (act) => call((stub) => stub.revoke(act)),
    reset: (act) => call((stub) => stub.reset(act)),
    denied: (report) => call((stub) => stub.denied(report)),
    spent: (request) => call((stub) => stub.spent(request)),
    ledger: (request) => call((stub) => stub.ledger(request)),
    audit: (request) => call((stub) => stub.audit(request)),
  };
}

/** Set by the runtime on errors of a stub. */
function isWorthRetrying(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const { overloaded, retryable, durableObjectReset } = error as Error & {
    overloaded?: boolean;
    retryable?: boolean;
    durableObjectReset?: boolean;
  };
  return overloaded !== true && (retryable === true || durableObjectReset === true);
}
