// A team of Cloudflare Access for tests: its keys, the assertions that it would issue, and those that it would not.
import { createServer, type Server } from 'node:http';
import { base64url, type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { NOW_SECONDS } from './credentials.ts';

export const TEAM_ISSUER = 'https://acme.cloudflareaccess.com';
export const AUDIENCE = '32eafc7626e974616deaf0dc3ce63d7bcbed58a2731e84d06bc3cdf1b53c4228';

export interface AccessKeyPair {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly publicKey: CryptoKey;
  readonly jwk: Readonly<Record<string, unknown>>;
}

export async function accessKey(kid: string): Promise<AccessKeyPair> {
  const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true });
  return { kid, privateKey, publicKey, jwk: { ...(await exportJWK(publicKey)), kid, alg: 'RS256', use: 'sig' } };
}

/** What Access says of a person; members set to undefined are left out. */
export function personClaims(more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return {
    iss: TEAM_ISSUER,
    aud: [AUDIENCE],
    type: 'app',
    iat: NOW_SECONDS - 10,
    nbf: NOW_SECONDS - 10,
    exp: NOW_SECONDS + 600,
    sub: '7335d417-61da-459d-899c-0a01c76a2f94',
    email: 'alice@acme.example',
    ...more,
  };
}

/** What Access says of a service token. */
export function serviceClaims(more: Readonly<Record<string, unknown>> = {}): Record<string, unknown> {
  return personClaims({ email: undefined, sub: '', common_name: 'ci.access', ...more });
}

export async function assertion(
  key: AccessKeyPair,
  claims: Readonly<Record<string, unknown>> = personClaims(),
  header: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'RS256', typ: 'JWT', kid: key.kid, ...header })
    .sign(key.privateKey);
}

/** An assertion whose header says what it likes, over a signature of the right length by nobody, or by `sign`. */
export async function forged(
  header: Readonly<Record<string, unknown>>,
  claims: Readonly<Record<string, unknown>> = personClaims(),
  sign: (input: Uint8Array<ArrayBuffer>) => Promise<Uint8Array<ArrayBuffer>> = async () => new Uint8Array(256),
): Promise<string> {
  const input = `${base64url.encode(JSON.stringify(header))}.${base64url.encode(JSON.stringify(claims))}`;
  return `${input}.${base64url.encode(await sign(Uint8Array.from(new TextEncoder().encode(input))))}`;
}

export interface CertsEndpoint {
  readonly url: string;
  /** How often it was asked. */
  readonly count: number;
  /** What it answers from now on. */
  answer:
    | { readonly status: number; readonly body: string; readonly headers?: Readonly<Record<string, string>> }
    | 'never';
  close(): Promise<void>;
}

/** The endpoint of a team's keys, on this machine. For tests in Node. */
export async function startCertsEndpoint(...keys: readonly AccessKeyPair[]): Promise<CertsEndpoint> {
  let count = 0;
  const endpoint: { answer: CertsEndpoint['answer'] } = { answer: certsAnswer(...keys) };
  const server: Server = createServer((_request, response) => {
    count += 1;
    if (endpoint.answer === 'never') return;
    response.writeHead(endpoint.answer.status, endpoint.answer.headers).end(endpoint.answer.body);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}/cdn-cgi/access/certs`,
    get count() {
      return count;
    },
    get answer() {
      return endpoint.answer;
    },
    set answer(answer) {
      endpoint.answer = answer;
    },
    close: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

export function certsAnswer(...keys: readonly AccessKeyPair[]): { readonly status: number; readonly body: string } {
  return { status: 200, body: JSON.stringify({ keys: keys.map(({ jwk }) => jwk), public_certs: [] }) };
}
