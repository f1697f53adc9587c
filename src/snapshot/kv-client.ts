// What of the snapshot lies in KV, for those who read it.
import { BLOB_CACHE_SECONDS } from '../limits.ts';
import { HEAD_KEY } from './head.ts';

/** KV as the edge and the relays read it. Null where KV has, or has heard of, nothing; rejects when it cannot be asked. */
export interface SnapshotKv {
  head(): Promise<string | null>;
  /** By name: see head.ts. */
  blob(name: string): Promise<ArrayBuffer | null>;
}

/** The KV namespace, as far as it is used. */
export interface KvNamespace {
  get(key: string): Promise<string | null>;
  get(key: string, options: { readonly type: 'arrayBuffer'; readonly cacheTtl: number }): Promise<ArrayBuffer | null>;
}

export function snapshotKv(namespace: KvNamespace): SnapshotKv {
  return {
    head: () => namespace.get(HEAD_KEY),
    blob: (name) => namespace.get(name, { type: 'arrayBuffer', cacheTtl: BLOB_CACHE_SECONDS }),
  };
}
