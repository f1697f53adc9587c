// Workers KV for the local gateway: the few requests that a KV binding turns into, kept in one object on disk.
// Runs inside workerd beside the gateway, as it is (hence not TypeScript). Must not be deployed: the platform has the real one.
/* oxlint-disable typescript/no-unsafe-call, typescript/no-unsafe-member-access, typescript/no-unsafe-return, typescript/no-unsafe-assignment -- plain JavaScript: it has no types to check */
import { DurableObject } from 'cloudflare:workers';

/** A value of the storage may have 2 MiB. */
const PART_BYTES = 1024 * 1024;
/** What a value of Workers KV may have. */
const MAX_VALUE_BYTES = 25 * 1024 * 1024;

/** @typedef {{ parts: number, metadata: string | null, endsAtMs: number | null }} Entry */

export class Namespace extends DurableObject {
  /**
   * @param {Request} request
   * @returns {Promise<Response>}
   */
  async fetch(request) {
    const { pathname, searchParams } = new URL(request.url);
    const key = pathname.slice(1);
    switch (request.method) {
      case 'GET':
        return this.#get(key);
      case 'PUT': {
        const bytes = new Uint8Array(await request.arrayBuffer());
        if (bytes.length > MAX_VALUE_BYTES)
          return new Response(`Value length of ${bytes.length} exceeds limit of ${MAX_VALUE_BYTES}.`, { status: 413 });
        const metadata = request.headers.get('cf-kv-metadata');
        this.#put(key, bytes, { metadata, endsAtMs: endOf(searchParams) });
        return new Response(null, { status: 204 });
      }
      case 'DELETE':
        this.#delete(key);
        return new Response(null, { status: 204 });
      default:
        return new Response('only get, put and delete are simulated', { status: 501 });
    }
  }

  /**
   * @param {string} key
   * @returns {Response}
   */
  #get(key) {
    const entry = this.#entry(key);
    if (entry === undefined || (entry.endsAtMs !== null && entry.endsAtMs <= Date.now()))
      return new Response(null, { status: 404 });
    const parts = Array.from({ length: entry.parts }, (_, part) => this.ctx.storage.kv.get(partName(key, part)));
    return new Response(new Blob(parts), {
      headers: entry.metadata === null ? {} : { 'cf-kv-metadata': entry.metadata },
    });
  }

  /**
   * In one turn, so that no reader finds parts of two values.
   * @param {string} key
   * @param {Uint8Array} bytes
   * @param {Omit<Entry, 'parts'>} rest
   */
  #put(key, bytes, rest) {
    this.#delete(key);
    const { kv } = this.ctx.storage;
    const parts = Math.ceil(bytes.length / PART_BYTES);
    for (let part = 0; part < parts; part += 1)
      kv.put(partName(key, part), bytes.slice(part * PART_BYTES, (part + 1) * PART_BYTES));
    kv.put(entryName(key), { parts, ...rest });
  }

  /** @param {string} key */
  #delete(key) {
    const { kv } = this.ctx.storage;
    for (let part = 0; part < (this.#entry(key)?.parts ?? 0); part += 1) kv.delete(partName(key, part));
    kv.delete(entryName(key));
  }

  /**
   * @param {string} key
   * @returns {Entry | undefined}
   */
  #entry(key) {
    return this.ctx.storage.kv.get(entryName(key));
  }
}

/** @param {string} key */
const entryName = (key) => `entry/${key}`;

/**
 * @param {string} key
 * @param {number} part
 */
const partName = (key, part) => `part/${key}/${part}`;

export default {
  /**
   * @param {Request} request
   * @param {{ NAMESPACE: DurableObjectNamespace }} env
   */
  fetch: (request, env) => env.NAMESPACE.getByName('only').fetch(request),
};

/**
 * @param {URLSearchParams} query
 * @returns {number | null}
 */
function endOf(query) {
  if (query.has('expiration')) return Number(query.get('expiration')) * 1000;
  if (query.has('expiration_ttl')) return Date.now() + Number(query.get('expiration_ttl')) * 1000;
  return null;
}
