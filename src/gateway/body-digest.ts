// Digests of what was received. Synchronous, so that nothing else runs between reading a body and naming it.
import { createHash } from 'node:crypto';

/** Lower-case hex SHA-256. */
export function sha256Hex(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
