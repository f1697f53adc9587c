// The only place where stubs of relays are made.
import type { RelayRpc } from './relay-rpc.ts';
import { type Region, regionOfRelay, type RelayName } from './region.ts';

/** The binding of the relays, as far as it is used: a stub speaks their RPC. */
export interface RelayNamespace {
  getByName(name: string, options: { readonly locationHint: Region }): RelayRpc;
}

/** The relay of that name, made where its region is. A new stub for every call: a broken one stays broken. */
export function relayClient(namespace: RelayNamespace, name: RelayName): RelayRpc {
  const region = regionOfRelay(name);
  const stub = (): RelayRpc => namespace.getByName(name, { locationHint: region });
  return {
    head: (request) => stub().head(request),
    blob: (blobName) => stub().blob(blobName),
    push: (head) => stub().push(head),
  };
}
