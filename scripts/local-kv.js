// Workers KV for the local gateway: the few requests that a KV binding turns into, kept in one object on disk.
// Runs inside workerd beside the gateway, as it is (hence not TypeScript). Must not be deployed: the platform has the real one.
/* oxlint-disable typescript/no-unsafe-call, typescript/no-unsafe-member-access, typescript/no-unsafe-return, typescript/no-unsafe-assignment -- plain JavaScript: it has no types to check */
import { DurableObject } from 'cloudflare:workers';

/** @typedef {{ bytes: ArrayBuffer, metadata: string | null, endsAtMs: number | null }} Entry */

export class Namespace extends DurableObject {
  /**
   * @param {Request} request
   * @returns {Promise<Response>}
   */
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    const key = pathname.slice(1);
    const { kv } = this.ctx.storage;
    switch (request.method) {
      case 'GET':
        return found(/** @type {Entry | undefined} */ (kv.get(key)));
      case 'PUT':
        kv.put(key, {
          bytes: await request.arrayBuffer(),
          metadata: request.headers.get('cf-kv-metadata'),
          endsAtMs: endOf(searchParams),
        });
        return new Response(null, { status: 204 });
      case 'DELETE':
        kv.delete(key);
        return new Response(null, { status: 204 });
      default:
        return new Response('only get, put and delete are simulated', { status: 501 });
    }
  }
}

export default {
  /**
   * @param {Request} request
   * @param {{ NAMESPACE: DurableObjectNamespace }} env
   */
  fetch: (request, env) => env.NAMESPACE.getByName('only').fetch(request),
};

/**
 * @param {Entry | undefined} entry
 * @returns {Response}
 */
function found(entry) {
  if (entry === undefined || (entry.endsAtMs !== null && entry.endsAtMs <= Date.now()))
    return new Response(null, { status: 404 });
  return new Response(entry.bytes, { headers: entry.metadata === null ? {} : { 'cf-kv-metadata': entry.metadata } });
}

/**
 * @param {URLSearchParams} query
 * @returns {number | null}
 */
function endOf(query) {
  if (query.has('expiration')) return Number(query.get('expiration')) * 1000;
  if (query.has('expiration_ttl')) return Date.now() + Number(query.get('expiration_ttl')) * 1000;
  return null;
}
