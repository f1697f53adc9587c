// How a policy version is known: by the digest of its text.
import { createHash } from 'node:crypto';

/** Hex SHA-256 of a text in UTF-8. */
export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
