// The local upstream as a program: `node demo/upstream/main.ts --port 9901`.
import { parseArgs } from 'node:util';
import { startUpstream } from './server.ts';

const DEFAULT_PORT = '9901';

const { values } = parseArgs({ options: { port: { type: 'string', default: DEFAULT_PORT } } });
const port = Number(values.port);
if (!Number.isInteger(port) || port < 0 || port > 65_535) {
  console.error(`--port must be 0 to 65535, got ${values.port}`);
  process.exit(1);
}
try {
  const upstream = await startUpstream({ port });
  console.log(`upstream ${upstream.url}`);
  const stop = (): void => {
    void upstream.close().then(() => process.exit(0));
  };
  process.once('SIGINT', stop);
  process.once('SIGTERM', stop);
} catch (error) {
  const inUse = error instanceof Error && 'code' in error && error.code === 'EADDRINUSE';
  console.error(inUse ? `port ${port} is in use; choose another with --port` : String(error));
  process.exit(1);
}
