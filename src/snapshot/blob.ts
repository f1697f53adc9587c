// Blobs are named by the digest of their bytes: wherever one comes from, it is checked, and a place that gives another is
// passed over for the next.

/** Somewhere a blob may be; null or a rejection: it is not there. */
export type BlobSource = () => Promise<Uint8Array | ArrayBuffer | null>;

/** What is checked and read of a blob. */
export interface BlobReading<T> {
  /** Hex SHA-256 that its bytes must have. */
  readonly digest: string;
  readonly sources: readonly BlobSource[];
  /** Makes something of the bytes; null when they are not what they should be. */
  readonly read: (bytes: Uint8Array) => T | null;
}

/** The first that has the digest and can be read; null when no source has one. Never rejects. */
export async function loadBlob<T>({ digest, sources, read }: BlobReading<T>): Promise<T | null> {
  for (const source of sources) {
    try {
      const found = await source();
      if (found === null) continue;
      const bytes = found instanceof Uint8Array ? found : new Uint8Array(found);
      if ((await sha256Hex(bytes)) !== digest) continue;
      const value = read(bytes);
      if (value !== null) return value;
    } catch {
      continue;
    }
  }
  return null;
}

async function sha256Hex(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', bytes);
  return Buffer.from(digest).toString('hex');
}
