// R2 for the local gateway: put, get, head and delete of whole objects, kept in one object on disk. A bucket's binding
// speaks HTTP: what is asked as JSON in a header or before the value, what is answered as JSON before the value.
// Runs inside workerd beside the gateway, as it is (hence not TypeScript). Must not be deployed: the platform has the real one.
/* oxlint-disable typescript/no-unsafe-call, typescript/no-unsafe-member-access, typescript/no-unsafe-return, typescript/no-unsafe-assignment -- plain JavaScript: it has no types to check */
import { DurableObject } from 'cloudflare:workers';

/** A value of the storage may have 2 MiB. */
const PIECE_BYTES = 1024 * 1024;
const SIZE_HEADER = 'cf-r2-metadata-size';
const NO_SUCH_OBJECT = 10_007;
const NOT_SIMULATED = 10_001;

/** @typedef {{ etag: string, size: number, uploaded: number, pieces: number }} Entry */

export class Bucket extends DurableObject {
  /**
   * @param {Request} request
   * @returns {Promise<Response>}
   */
  async fetch(request) {
    const asked = request.headers.get('cf-r2-request');
    if (asked !== null) return this.#answer(JSON.parse(asked), new Uint8Array());
    const body = new Uint8Array(await request.arrayBuffer());
    const size = Number(request.headers.get(SIZE_HEADER));
    return this.#answer(JSON.parse(new TextDecoder().decode(body.subarray(0, size))), body.slice(size));
  }

  /**
   * @param {{ method: string, object?: string, objects?: string[] }} asked
   * @param {Uint8Array} value
   * @returns {Response}
   */
  #answer({ method, object = '', objects = [object] }, value) {
    const { kv } = this.ctx.storage;
    const entry = /** @type {Entry | undefined} */ (kv.get(`entry/${object}`));
    switch (method) {
      case 'put':
        return this.#put(object, value);
      case 'head':
      case 'get':
        if (entry === undefined) return refused(404, NO_SUCH_OBJECT, 'The specified key does not exist.');
        return answered(described(object, entry), method === 'get' ? this.#pieces(object, entry) : []);
      case 'delete':
        for (const name of objects) this.#delete(name);
        return answered({}, []);
      default:
        return refused(501, NOT_SIMULATED, `${method} is not simulated`);
    }
  }

  /**
   * @param {string} object
   * @param {Uint8Array} value
   * @returns {Response}
   */
  #put(object, value) {
    this.#delete(object);
    const pieces = Math.ceil(value.length / PIECE_BYTES);
    for (let piece = 0; piece < pieces; piece += 1)
      this.ctx.storage.kv.put(`piece/${object}/${piece}`, value.slice(piece * PIECE_BYTES, (piece + 1) * PIECE_BYTES));
    const entry = { etag: crypto.randomUUID(), size: value.length, uploaded: Date.now(), pieces };
    this.ctx.storage.kv.put(`entry/${object}`, entry);
    return answered(described(object, entry), []);
  }

  /** @param {string} object */
  #delete(object) {
    const { kv } = this.ctx.storage;
    const entry = /** @type {Entry | undefined} */ (kv.get(`entry/${object}`));
    for (let piece = 0; piece < (entry?.pieces ?? 0); piece += 1) kv.delete(`piece/${object}/${piece}`);
    kv.delete(`entry/${object}`);
  }

  /**
   * @param {string} object
   * @param {Entry} entry
   * @returns {Uint8Array[]}
   */
  #pieces(object, { pieces }) {
    return Array.from({ length: pieces }, (_, piece) => this.ctx.storage.kv.get(`piece/${object}/${piece}`));
  }
}

export default {
  /**
   * @param {Request} request
   * @param {{ BUCKET: DurableObjectNamespace }} env
   */
  fetch: (request, env) => env.BUCKET.getByName('only').fetch(request),
};

/**
 * @param {string} name
 * @param {Entry} entry
 */
function described(name, { etag, size, uploaded }) {
  return { name, version: etag, size, etag, uploaded, httpFields: {}, customFields: [], checksums: {} };
}

/**
 * @param {object} metadata
 * @param {readonly Uint8Array[]} pieces
 * @returns {Response}
 */
function answered(metadata, pieces) {
  const head = new TextEncoder().encode(JSON.stringify(metadata));
  const headers = { [SIZE_HEADER]: String(head.length), 'content-type': 'application/json' };
  return new Response(new Blob([head, ...pieces]), { headers });
}

/**
 * @param {number} status
 * @param {number} v4code
 * @param {string} message
 * @returns {Response}
 */
function refused(status, v4code, message) {
  return new Response(null, { status, headers: { 'cf-r2-error': JSON.stringify({ version: 1, v4code, message }) } });
}
