// One workerd process: started, watched, stopped, and never left behind.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';

const START_TIMEOUT_MS = 20_000;
/** For what is under way; connections that clients keep open would make it wait for ever. Batches of the ledger take 50 ms. */
const STOP_TIMEOUT_MS = 500;
const MAX_LOG_LINES = 500;

/** The package's one export is the path of the program; it has no types. */
const { default: workerdPath, version } = createRequire(import.meta.url)('workerd') as {
  readonly default: string;
  readonly version: string;
};

export const WORKERD_VERSION = version;

export interface Workerd {
  readonly pid: number;
  /** Ports by socket name. */
  readonly ports: Readonly<Record<string, number>>;
  /** The last lines that it wrote. */
  logs(): readonly string[];
  isRunning(): boolean;
  /** Resolves when it has ended, for whatever reason. */
  readonly exited: Promise<void>;
  /** As a crash would end it: nothing is flushed. */
  kill9(): Promise<void>;
  stop(): Promise<void>;
}

export interface WorkerdOptions {
  readonly configFile: string;
  /** Names of the sockets to wait for. */
  readonly sockets: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Receives every line that it writes. */
  readonly onLog?: (line: string) => void;
  readonly extraArguments?: readonly string[];
}

/** Starts workerd and resolves once all its sockets listen. Throws with its own words when it ends before that. */
export async function startWorkerd(options: WorkerdOptions): Promise<Workerd> {
  const child = spawn(
    workerdPath,
    // Files are embedded by their absolute path.
    ['serve', '--control-fd=3', '--import-path=/', ...(options.extraArguments ?? []), options.configFile],
    // Its environment has what it needs and nothing of ours.
    { env: { ...options.environment }, stdio: ['ignore', 'pipe', 'pipe', 'pipe'] },
  );
  const lines: string[] = [];
  const log = (line: string): void => {
    lines.push(line);
    if (lines.length > MAX_LOG_LINES) lines.shift();
    options.onLog?.(line);
  };
  for (const output of child.stdio.slice(1, 3)) createInterface({ input: output as Readable }).on('line', log);
  const exited = once(child, 'exit').then(() => undefined);
  const ports = await listening(child, options.sockets, () => lines.join('\n'));
  const pid = child.pid ?? 0;
  const guard = guardAgainstOrphan(pid);
  void exited.then(() => guard.kill('SIGKILL'));

  const isRunning = (): boolean => child.exitCode === null && child.signalCode === null;
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (!isRunning()) return;
    child.kill(signal);
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
    await exited;
    clearTimeout(timer);
  };
  return { pid, ports, logs: () => lines, isRunning, exited, kill9: () => end('SIGKILL'), stop: () => end('SIGTERM') };
}

function listening(
  child: ChildProcess,
  sockets: readonly string[],
  said: () => string,
): Promise<Record<string, number>> {
  const ports: Record<string, number> = {};
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`workerd did not listen within ${START_TIMEOUT_MS / 1_000} s:\n${said()}`));
    }, START_TIMEOUT_MS);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('close', () => {
      clearTimeout(timer);
      reject(new Error(`workerd ended before it listened:\n${said()}`));
    });
    createInterface({ input: child.stdio[3] as Readable }).on('line', (line) => {
      const { event, socket, port } = JSON.parse(line) as { event: string; socket: string; port: number };
      if (event !== 'listen') return;
      ports[socket] = port;
      if (!sockets.every((name) => name in ports)) return;
      clearTimeout(timer);
      resolve(ports);
    });
  });
}

/**
 * A shell that waits for the end of its input and then kills `pid`. Its input ends when this process is gone, however that
 * happened, so that `pid` does not outlive us. Kill the shell once `pid` has ended.
 */
export function guardAgainstOrphan(pid: number): ChildProcess {
  const guard = spawn('/bin/sh', ['-c', `cat >/dev/null; kill -9 ${pid} 2>/dev/null`], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  guard.unref();
  return guard;
}
