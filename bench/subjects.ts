// What is measured, each as processes of its own on loopback ports, with the requests to send to it.
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import { adminClient, type Issued } from '../scripts/admin-client.ts';
import { type Gateway, startGateway } from '../scripts/gateway-process.ts';
import { throwawaySecrets } from '../scripts/throwaway-secrets.ts';
import { config, LOOPBACK_AND_INTERNET, service, text } from '../scripts/workerd-config.ts';
import { guardAgainstOrphan, startWorkerd } from '../scripts/workerd.ts';
import { httpRequest } from './loader.ts';
import { loadMillion, type LoadFigures } from './revocations.ts';

export const SESSIONS = 64;
/** Out of the way. */
const REQUESTS_PER_MINUTE = 10_000_000;
const ROUTE = 'bench';
const START_TIMEOUT_MS = 10_000;
const COMPATIBILITY_DATE = '2026-09-18';

/** Something under load: where it listens and what to send. */
export interface Subject {
  readonly port: number;
  readonly requests: readonly Buffer[];
  readonly expectedStatus: number;
}

/** Everything started, and how to end it. */
export interface Stage {
  readonly subjects: Readonly<Record<string, Subject>>;
  /** Subjects that could not be started, with the reason. */
  readonly skipped: Readonly<Record<string, string>>;
  /** What it took to load a million revocations, where that was asked for. */
  readonly million: LoadFigures | null;
  close(): Promise<void>;
}

const BODY = {
  model: 'gpt-4o-mini',
  max_completion_tokens: 64,
  messages: [
    {
      role: 'system',
      content: 'You answer questions about orders, in one or two sentences, from what the tools say and nothing else.',
    },
    {
      role: 'user',
      content: 'Where is order 4411? It was placed on Monday and paid at once, and nobody has heard of it since.',
    },
  ],
};
const WHOLE = JSON.stringify(BODY);
const STREAM = JSON.stringify({ ...BODY, stream: true, stream_options: { include_usage: true } });

/** Starts the upstream, and in front of it what the subjects named need. */
export async function setStage(names: ReadonlySet<string>): Promise<Stage> {
  const closers: (() => Promise<void>)[] = [];
  const close = async (): Promise<void> => {
    for (const closer of closers.toReversed()) await closer();
  };
  try {
    const upstream = await startProgram(['bench/upstream.ts'], closers);
    const plain = await startPlainWorkers(upstream, closers);
    const fusebox = [...names].some((name) => FUSEBOX.has(name)) ? await startFusebox(upstream, closers) : {};
    const million = names.has(MILLION) ? await startFuseboxWithMillion(upstream, closers) : null;
    const express = names.has('express-redis') ? await startExpress(upstream, closers) : null;
    const reason = typeof express === 'string' ? { 'express-redis': express } : {};
    const subjects = {
      ...plain,
      ...fusebox,
      ...(million === null ? {} : { [MILLION]: million.subject }),
      ...(express === null || typeof express === 'string' ? {} : { 'express-redis': express }),
    };
    return { subjects, skipped: reason, million: million?.figures ?? null, close };
  } catch (error) {
    await close();
    throw error;
  }
}

const FUSEBOX = new Set(['fusebox', 'fusebox-stream', 'fusebox-refuse']);
const MILLION = 'fusebox-refuse-million';

/** As long as a session token is. */
const TOKEN_LIKE = 'x'.repeat(600);

type Closers = (() => Promise<void>)[];

async function startPlainWorkers(upstreamPort: number, closers: Closers): Promise<Record<string, Subject>> {
  const directory = await mkdtemp(join(tmpdir(), 'fusebox-bench-'));
  closers.push(() => rm(directory, { recursive: true, force: true }));
  const start = async (name: string, bindings = ''): Promise<number> => {
    const configFile = join(directory, `${name}.capnp`);
    const sockets = [{ name: 'http', address: '127.0.0.1:0', service: name }];
    await writeFile(configFile, config({ services: [plainWorker(name, bindings), LOOPBACK_AND_INTERNET], sockets }));
    const workerd = await startWorkerd({ configFile, sockets: ['http'] });
    closers.push(() => workerd.stop());
    return workerd.ports['http'] ?? 0;
  };
  // A process each: one isolate must not warm, or wait for, another.
  const empty = await start('empty');
  const proxy = await start('proxy', `(name = "UPSTREAM", text = "http://127.0.0.1:${upstreamPort}")`);
  const headers = { 'content-type': 'application/json', authorization: 'Bearer provider-key' };
  const path = '/v1/chat/completions';
  return {
    // What the refused agent sends, so that both read the same bytes.
    'empty-worker': {
      port: empty,
      requests: [httpRequest(path, { ...headers, authorization: `Bearer ${TOKEN_LIKE}` }, WHOLE)],
      expectedStatus: 200,
    },
    'bare-proxy': { port: proxy, requests: [httpRequest(path, headers, WHOLE)], expectedStatus: 200 },
    'bare-proxy-stream': { port: proxy, requests: [httpRequest(path, headers, STREAM)], expectedStatus: 200 },
  };
}

function plainWorker(name: string, bindings: string): string {
  return service(name, [
    `modules = [(name = "${name}.js", esModule = embed ${text(join(import.meta.dirname, 'workers', `${name}.js`))})]`,
    `compatibilityDate = "${COMPATIBILITY_DATE}"`,
    `bindings = [${bindings}]`,
  ]);
}

/** A gateway and what is asked of it. */
interface Fusebox {
  readonly gateway: Gateway;
  readonly adminToken: string;
  readonly issue: () => Promise<Issued>;
  readonly revoke: (issued: Issued) => Promise<unknown>;
  readonly requests: (body: string, all: readonly Issued[]) => Buffer[];
}

async function startGatewayOfOurs(upstreamPort: number, closers: Closers): Promise<Fusebox> {
  const secrets = await throwawaySecrets();
  const policyText = [
    'version: 1',
    'routes:',
    `  ${ROUTE}:`,
    `    upstream: http://127.0.0.1:${upstreamPort}`,
    '    protocol: openai',
    '    scope: llm:bench',
    '',
  ].join('\n');
  const gateway = await startGateway({ port: 0, persist: null, vars: secrets.vars, policyText });
  closers.push(() => gateway.stop());
  const admin = adminClient({ url: gateway.url, token: secrets.adminToken });
  return {
    gateway,
    adminToken: secrets.adminToken,
    issue: () => {
      const limits = { spend_usd: '1000000', requests_per_minute: REQUESTS_PER_MINUTE };
      return admin.issue({ agent: 'bench', scopes: ['llm:bench'], limits, ttl_seconds: 7_200 });
    },
    revoke: ({ session }) => admin.revoke(session.id, 'benchmark'),
    requests: (body, all) =>
      all.map(({ token }) =>
        httpRequest(
          `/${ROUTE}/v1/chat/completions`,
          { 'content-type': 'application/json', authorization: `Bearer ${token}` },
          body,
        ),
      ),
  };
}

async function startFusebox(upstreamPort: number, closers: Closers): Promise<Record<string, Subject>> {
  const { gateway, issue, revoke, requests } = await startGatewayOfOurs(upstreamPort, closers);
  const sessions = await Promise.all(Array.from({ length: SESSIONS }, issue));
  const revoked = await issue();
  await revoke(revoked);
  return {
    fusebox: { port: gateway.port, requests: requests(WHOLE, sessions), expectedStatus: 200 },
    'fusebox-stream': { port: gateway.port, requests: requests(STREAM, sessions), expectedStatus: 200 },
    'fusebox-refuse': { port: gateway.port, requests: requests(WHOLE, [revoked]), expectedStatus: 401 },
  };
}

/** The same, whose isolate holds a million revocations, among them the one that is asked for. */
async function startFuseboxWithMillion(
  upstreamPort: number,
  closers: Closers,
): Promise<{ readonly subject: Subject; readonly figures: LoadFigures }> {
  const { gateway, adminToken, issue, revoke, requests } = await startGatewayOfOurs(upstreamPort, closers);
  const revoked = await issue();
  await revoke(revoked);
  const figures = await loadMillion({ url: gateway.url, workerdPid: gateway.workerdPid, adminToken });
  return {
    subject: { port: gateway.port, requests: requests(WHOLE, [revoked]), expectedStatus: 401 },
    figures,
  };
}

/** Express with Redis; a sentence where Redis is missing. */
async function startExpress(upstreamPort: number, closers: Closers): Promise<Subject | string> {
  const redisPort = await startRedis(closers);
  if (redisPort === null) return 'redis-server is not installed (Debian: apt-get install redis-server)';
  const { publicKey, privateKey } = await generateKeyPair('EdDSA', { extractable: true });
  const jwk = JSON.stringify(await exportJWK(publicKey));
  const port = await startProgram(
    ['bench/express-server.ts', `http://127.0.0.1:${upstreamPort}`, String(redisPort), jwk],
    closers,
  );
  const requests = await Promise.all(
    Array.from({ length: SESSIONS }, async (_, index) => {
      const claims = {
        sub: 'bench',
        sid: `s-${index}`,
        scope: 'llm:bench',
        limits: { spend_micro_usd: 1_000_000_000_000 },
      };
      const token = await new SignJWT(claims)
        .setProtectedHeader({ alg: 'EdDSA' })
        .setExpirationTime('2h')
        .sign(privateKey);
      return httpRequest(
        '/v1/chat/completions',
        { 'content-type': 'application/json', authorization: `Bearer ${token}` },
        WHOLE,
      );
    }),
  );
  return { port, requests, expectedStatus: 200 };
}

async function startRedis(closers: Closers): Promise<number | null> {
  const port = await freePort();
  // Nothing is written to disk: its fastest setting.
  const child = spawn(
    'redis-server',
    ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no'],
    { stdio: 'ignore' },
  );
  const missing = await Promise.race([
    new Promise<boolean>((resolve) => child.once('error', () => resolve(true))),
    sleep(500).then(() => false),
  ]);
  if (missing) return null;
  const guard = guardAgainstOrphan(child.pid ?? 0);
  closers.push(async () => {
    await ended(child);
    guard.kill('SIGKILL');
  });
  return port;
}

/** Starts one of the benchmark's own programs, which prints its port first and ends with its input: when we do, at the latest. */
async function startProgram(args: readonly string[], closers: Closers): Promise<number> {
  const child = spawn(process.execPath, [...args], {
    cwd: join(import.meta.dirname, '..'),
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  closers.push(() => ended(child));
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${args[0]} did not start`)), START_TIMEOUT_MS);
    child.once('exit', (code) => reject(new Error(`${args[0]} ended with ${code}`)));
    createInterface({ input: child.stdout }).once('line', (line) => {
      clearTimeout(timer);
      resolve(Number(line));
    });
  });
}

function ended(child: ChildProcess): Promise<void> {
  return new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) return resolve();
    child.once('exit', () => resolve());
    child.kill('SIGTERM');
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as AddressInfo;
      probe.close(() => resolve(port));
    });
  });
}
