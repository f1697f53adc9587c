// `npm start`: the gateway and the local upstream, until interrupted. State is kept in .fusebox/.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { startUpstream, type Upstream } from '../demo/upstream/server.ts';
import { isHalted } from '../src/deployment.ts';
import { startGateway, StartError } from './gateway-process.ts';
import { hints } from './hints.ts';
import { readLocalVars, readPolicyTexts, UPSTREAM_PORT } from './local-settings.ts';
import { onStopRequested } from './stop-signals.ts';
import { BuildError, ROOT } from './worker-bundle.ts';

const USAGE = `usage: npm start -- [--port N] [--policy FILE] [--upstream-port N] [--no-upstream]
  --port N           where the gateway listens (8787)
  --policy FILE      instead of policy.yaml with policy.local.yaml
  --upstream-port N  where the local upstream listens (${UPSTREAM_PORT})
  --no-upstream      without the local upstream`;

interface Arguments {
  readonly port: number;
  readonly policy: string | null;
  readonly upstreamPort: number;
  readonly upstream: boolean;
}

function readArguments(args: readonly string[]): Arguments {
  const options = {
    port: { type: 'string', default: '8787' },
    policy: { type: 'string' },
    'upstream-port': { type: 'string', default: String(UPSTREAM_PORT) },
    'no-upstream': { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  } as const;
  let values: ReturnType<typeof parseArgs<{ options: typeof options }>>['values'];
  try {
    ({ values } = parseArgs({ args: [...args], options }));
  } catch (error) {
    throw new StartError(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
  }
  if (values.help) {
    console.log(USAGE);
    process.exit(0);
  }
  return {
    port: portOf('--port', values.port),
    policy: values.policy ?? null,
    upstreamPort: portOf('--upstream-port', values['upstream-port']),
    upstream: !values['no-upstream'],
  };
}

function portOf(name: string, text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(port <= 65_535)) throw new StartError(`${name} must be 0 to 65535, got ${text}`);
  return port;
}

async function startLocalUpstream(port: number): Promise<Upstream> {
  try {
    return await startUpstream({ port });
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    const what = error.code === 'EADDRINUSE' ? 'is in use' : `cannot be used (${String(error.code)})`;
    throw new StartError(
      `port ${port} ${what}; the local upstream takes another with --upstream-port, or leave it out with --no-upstream`,
    );
  }
}

async function main(args: readonly string[]): Promise<void> {
  const { port, policy: file, upstreamPort, upstream: wanted } = readArguments(args);
  // Before anything is started: mistakes are told at once.
  const written = await readPolicyTexts({ file, upstreamPort });
  const vars = await readLocalVars(written);
  const upstream = wanted ? await startLocalUpstream(upstreamPort) : null;
  const texts =
    upstream === null || upstream.port === upstreamPort
      ? written
      : await readPolicyTexts({ file, upstreamPort: upstream.port });
  const gateway = await startGateway({
    port,
    persist: join(ROOT, '.fusebox'),
    vars,
    ...texts,
    onLog: (line) => console.error(line),
  });

  let stopping = false;
  onStopRequested(() => {
    stopping = true;
    void Promise.allSettled([gateway.stop(), upstream?.close()]).then(() => process.exit(0));
  });
  void gateway.exited.then(() => {
    if (stopping) return;
    console.error('the gateway has ended unexpectedly');
    process.exit(1);
  });

  console.log(`ready ${gateway.url}`);
  if (isHalted(vars)) console.log('halted: HALT is set, so every request of an agent is refused');
  if (upstream !== null) console.log(`local upstream ${upstream.url}`);
  // A token from the environment is the caller's to know: it is not repeated here.
  const adminToken = process.env['ADMIN_TOKEN'] ? '$ADMIN_TOKEN' : (vars['ADMIN_TOKEN'] ?? '$ADMIN_TOKEN');
  if (file === null)
    console.log(`\n${hints({ url: gateway.url, adminToken, route: 'local-openai', scope: 'llm:openai' })}`);
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof StartError || error instanceof BuildError)) throw error;
  console.error(error.message);
  process.exit(1);
}
