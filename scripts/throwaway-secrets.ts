// Secrets for a gateway that lives for minutes: a test, a benchmark, a demo. Never written to a file of their own.
import { makeAdminToken, makeSigningKeys } from './secrets.ts';

export interface ThrowawaySecrets {
  readonly adminToken: string;
  /** For `startGateway`: the signing key, the admin token, and the permission to reach upstreams on this machine. */
  readonly vars: Readonly<Record<string, string>>;
}

export async function throwawaySecrets(): Promise<ThrowawaySecrets> {
  const adminToken = makeAdminToken();
  return {
    adminToken,
    vars: { ADMIN_TOKEN: adminToken, SESSION_SIGNING_KEYS: await makeSigningKeys(), LOCAL_DEVELOPMENT: '1' },
  };
}
