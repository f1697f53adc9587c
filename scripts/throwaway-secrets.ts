// Secrets for a gateway that lives for minutes: a test, a benchmark, a demo. Never written to a file.
import { generateKeyPairSync, randomBytes } from 'node:crypto';

export interface ThrowawaySecrets {
  readonly adminToken: string;
  /** For `startGateway`: the signing key, the admin token, and the permission to reach upstreams on this machine. */
  readonly vars: Readonly<Record<string, string>>;
}

export function throwawaySecrets(): ThrowawaySecrets {
  const { privateKey } = generateKeyPairSync('ed25519');
  const { kty, crv, x, d } = privateKey.export({ format: 'jwk' });
  const adminToken = randomBytes(32).toString('hex');
  return {
    adminToken,
    vars: {
      ADMIN_TOKEN: adminToken,
      SESSION_SIGNING_KEYS: JSON.stringify([{ kty, crv, x, d, kid: 'throwaway-1', alg: 'EdDSA' }]),
      LOCAL_DEVELOPMENT: '1',
    },
  };
}
