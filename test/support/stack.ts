// A whole gateway for black-box tests: the real Worker on workerd, the local upstream, both on free ports, with state that
// goes away. One `startStack` per test file; it takes well under a second once the bundle is built.
import { adminClient, type AdminClient, type IssueRequest, type Issued } from '../../scripts/admin-client.ts';
import { startGateway, type Gateway } from '../../scripts/gateway-process.ts';
import { readPolicyTexts } from '../../scripts/local-settings.ts';
import { throwawaySecrets } from '../../scripts/throwaway-secrets.ts';
import type { WorkerBundle } from '../../scripts/worker-bundle.ts';
import { startUpstream, type Upstream } from '../../demo/upstream/server.ts';

export interface StackOptions {
  /** Instead of policy.yaml with policy.local.yaml; gets the upstream's origin. */
  readonly policy?: (upstreamUrl: string) => string;
  /** More variables and secrets for the Worker: a provider's key, for instance. */
  readonly vars?: Readonly<Record<string, string>>;
  /** Receives what the Worker logs. */
  readonly onLog?: (line: string) => void;
  /** Instead of the one that is deployed. */
  readonly bundle?: WorkerBundle;
}

export interface Stack {
  /** Of the gateway. */
  readonly url: string;
  readonly gateway: Gateway;
  readonly upstream: Upstream;
  readonly admin: AdminClient;
  readonly adminToken: string;
  /** A session with every scope of the local routes and a dollar to spend; what is given stands over that. */
  issueSession(request?: Partial<IssueRequest>): Promise<Issued>;
  /** A call to the data plane with a session's token. */
  call(path: string, options: CallOptions): Promise<Response>;
  close(): Promise<void>;
}

export interface CallOptions {
  readonly token: string;
  readonly method?: string;
  /** Sent as JSON; makes the call a POST. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
}

const ALL_LOCAL_SCOPES = ['llm:*', 'ticket:*'];

/** Starts a gateway and an upstream of their own. Close it, or workerd goes on until the test process ends. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const upstream = await startUpstream({ port: 0 });
  const { adminToken, vars } = await throwawaySecrets();
  const texts =
    options.policy === undefined
      ? await readPolicyTexts({ file: null, upstreamPort: upstream.port })
      : { policyText: options.policy(upstream.url), localPolicyText: null };
  const { onLog, bundle } = options;
  let gateway: Gateway;
  try {
    gateway = await startGateway({
      port: 0,
      persist: null,
      vars: { ...vars, ...options.vars },
      ...texts,
      ...(onLog === undefined ? {} : { onLog }),
      ...(bundle === undefined ? {} : { bundle }),
    });
  } catch (error) {
    await upstream.close();
    throw error;
  }
  const admin = adminClient({ url: gateway.url, token: adminToken });
  return {
    url: gateway.url,
    gateway,
    upstream,
    admin,
    adminToken,
    issueSession: (request = {}) =>
      admin.issue({
        agent: 'tester',
        scopes: ALL_LOCAL_SCOPES,
        ...request,
        limits: { spend_usd: '1', requests_per_minute: 100_000, ...request.limits },
      }),
    call(path, { token, method, body, headers, signal }) {
      return fetch(gateway.url + path, {
        method: method ?? (body === undefined ? 'GET' : 'POST'),
        headers: {
          authorization: `Bearer ${token}`,
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...headers,
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
        ...(signal === undefined ? {} : { signal }),
        redirect: 'manual',
      });
    },
    async close() {
      await gateway.stop();
      await upstream.close();
    },
  };
}
