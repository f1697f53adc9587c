// The real Worker on this machine: the bundle that `wrangler deploy` would send, run by workerd itself, with its objects and
// its KV on disk. For development, the demo, the tests and the chaos runs. Knows nothing of the local upstream.
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildWorker, ROOT, type WorkerBundle } from './worker-bundle.ts';
import { environmentName, gatewayConfig } from './workerd-config.ts';
import { startWorkerd, type Workerd } from './workerd.ts';

const READY_TIMEOUT_MS = 5_000;
const READY_POLL_MS = 20;
/** What `healthz` says of a gateway that serves, or that refuses because it was told to. */
const UP = /"status":"(?:ok|halted)"/;

export interface GatewayOptions {
  /** On 127.0.0.1; 0 takes a free one. */
  readonly port: number;
  /** Where objects and KV are kept. Null: a directory of its own that goes away with `stop`. */
  readonly persist: string | null;
  /** Variables and secrets of the Worker, by name. */
  readonly vars: Readonly<Record<string, string>>;
  readonly policyText: string;
  /** Adds routes to the policy. */
  readonly localPolicyText?: string | null;
  /** A bundle built before; built here otherwise. */
  readonly bundle?: WorkerBundle;
  /** Receives every line that the Worker logs. */
  readonly onLog?: (line: string) => void;
}

export interface Gateway {
  /** Origin, without a trailing slash. */
  readonly url: string;
  readonly port: number;
  /** Of the process that runs now. */
  readonly workerdPid: number;
  /** Resolves when the process that runs now has ended, for whatever reason. */
  readonly exited: Promise<void>;
  /** What the Worker logged last. */
  logs(): readonly string[];
  /** Ends workerd as a crash would. Nothing answers until `restart`. */
  kill9(): Promise<void>;
  /** Starts workerd again on the same state and port. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Something that the person who started it can put right; the message is one clear line. */
export class StartError extends Error {
  override name = 'StartError';
}

/** Starts the gateway and resolves once it serves requests. Throws a StartError where the port or the state is in use. */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  await assertPortIsFree(options.port);
  const bundle = options.bundle ?? (await buildWorker());
  const directory = options.persist ?? (await mkdtemp(join(tmpdir(), 'fusebox-')));
  const temporary = options.persist === null;
  const run = join(directory, 'run');
  await mkdir(run, { recursive: true, mode: 0o700 });
  const release = await lock(directory, run);
  const cleanUp = async (): Promise<void> => {
    await release();
    if (temporary) await rm(directory, { recursive: true, force: true });
  };

  const start = async (port: number): Promise<Workerd> => {
    const configFile = join(run, 'gateway.capnp');
    await writeFile(configFile, await written({ ...options, port, bundle, directory, run }));
    const environment = Object.fromEntries(
      Object.entries(options.vars).map(([name, value]) => [environmentName(name), value]),
    );
    const { onLog } = options;
    const workerd = await startWorkerd({
      configFile,
      sockets: ['http'],
      environment,
      ...(onLog === undefined ? {} : { onLog }),
    });
    try {
      await untilReady(`http://127.0.0.1:${workerd.ports['http']}`, workerd);
    } catch (error) {
      await workerd.kill9();
      throw error;
    }
    return workerd;
  };

  let workerd: Workerd;
  try {
    workerd = await start(options.port);
  } catch (error) {
    await cleanUp();
    throw error;
  }
  const port = workerd.ports['http'] ?? options.port;
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    get workerdPid() {
      return workerd.pid;
    },
    get exited() {
      return workerd.exited;
    },
    logs: () => workerd.logs(),
    kill9: () => workerd.kill9(),
    async restart() {
      await workerd.stop();
      workerd = await start(port);
    },
    async stop() {
      await workerd.stop();
      await cleanUp();
    },
  };
}

interface WrittenConfig extends GatewayOptions {
  readonly bundle: WorkerBundle;
  readonly directory: string;
  readonly run: string;
}

async function written({
  bundle,
  directory,
  run,
  port,
  vars,
  policyText,
  localPolicyText,
}: WrittenConfig): Promise<string> {
  const objectsDirectory = join(directory, 'objects');
  await mkdir(objectsDirectory, { recursive: true });
  const texts: Record<string, string> = { POLICY: policyText };
  if (typeof localPolicyText === 'string') texts['POLICY_LOCAL'] = localPolicyText;
  const textFiles: Record<string, string> = {};
  for (const [name, text] of Object.entries(texts)) {
    textFiles[name] = join(run, `${name}.yaml`);
    await writeFile(textFiles[name], text);
  }
  // A variable given here stands over one of the same name in wrangler.toml.
  const bundleVars = Object.fromEntries(
    Object.entries(bundle.vars).filter(([name]) => !(name in vars) && !(name in texts)),
  );
  return gatewayConfig({
    bundle: { ...bundle, vars: bundleVars },
    secretNames: Object.keys(vars),
    textFiles,
    objectsDirectory,
    address: `127.0.0.1:${port}`,
    kvModule: join(ROOT, 'scripts', 'local-kv.js'),
    bucketModule: join(ROOT, 'scripts', 'local-bucket.js'),
  });
}

/** Resolves once `GET /healthz` is answered with 200; what it says instead is the error. */
async function untilReady(url: string, workerd: Workerd): Promise<void> {
  const deadline = Date.now() + READY_TIMEOUT_MS;
  let said = 'no answer';
  while (Date.now() < deadline && workerd.isRunning()) {
    try {
      const answer = await fetch(`${url}/healthz`, { signal: AbortSignal.timeout(5_000) });
      const text = await answer.text();
      if (UP.test(text)) return;
      said = `${answer.status} ${text.trim().split('\n')[0] ?? ''}`;
    } catch (error) {
      said = String(error);
    }
    await sleep(READY_POLL_MS);
  }
  throw new StartError([`the gateway does not serve: ${said}`, ...workerd.logs().slice(-20)].join('\n'));
}

/** Two processes must not run the same objects: each would believe that it alone counts. */
async function lock(directory: string, run: string): Promise<() => Promise<void>> {
  const file = join(run, 'lock');
  const holder = Number(await readFile(file, 'utf8').catch(() => ''));
  if (holder > 0 && holder !== process.pid && isAlive(holder)) {
    throw new StartError(`another gateway (process ${holder}) uses ${directory}; stop it first`);
  }
  await writeFile(file, String(process.pid));
  return () => rm(file, { force: true });
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

async function assertPortIsFree(port: number): Promise<void> {
  if (port === 0) return;
  const probe = createServer();
  await new Promise<void>((resolve, reject) => {
    probe.once('error', (error: NodeJS.ErrnoException) => {
      reject(
        new StartError(
          error.code === 'EADDRINUSE'
            ? `port ${port} is in use; choose another with --port`
            : `port ${port} cannot be used (${error.code}); choose another with --port`,
        ),
      );
    });
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve()));
  });
}
