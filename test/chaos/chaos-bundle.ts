// The Worker under test: the bundle as it is deployed, behind a door of the run's own. A short run also gets shorter leases, so that what
// they end can be seen within seconds; nothing else of the Worker is changed.
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildWorker, type WorkerBundle } from '../../scripts/worker-bundle.ts';
import { LEASE_MARGIN_MS, STREAM_LEASE_MS, UNSEALED_CHECK_MS, WATCH_TIMEOUT_MS } from '../../src/limits.ts';

export interface Leases {
  readonly marginMs: number;
  readonly streamMs: number;
  readonly watchMs: number;
  /** When an object that died unsealed is looked after at the latest. */
  readonly unsealedCheckMs: number;
}

export const DEPLOYED_LEASES: Leases = {
  marginMs: LEASE_MARGIN_MS,
  streamMs: STREAM_LEASE_MS,
  watchMs: WATCH_TIMEOUT_MS,
  unsealedCheckMs: UNSEALED_CHECK_MS,
};

export const SHORT_LEASES: Leases = { marginMs: 1_000, streamMs: 2_000, watchMs: 1_000, unsealedCheckMs: 4_000 };

const DOOR = 'door.js';
/** Where the door stands. */
export const DOOR_PATH = '/__session';
/**
 * A second way into the Worker: whoever posts there speaks to a session's object as another machine's Worker would, and so
 * outlives the crash of this one with its receipts. The main module, in front of the real one.
 */
const DOOR_CODE = `import worker from './index.js';
export * from './index.js';
export default {
  async fetch(request, env, context) {
    if (new URL(request.url).pathname !== '${DOOR_PATH}') return worker.fetch(request, env, context);
    const { name, method, args } = await request.json();
    try {
      return Response.json(await env.SESSION.getByName(name)[method](...args));
    } catch (error) {
      return new Response(String(error), { status: 503 });
    }
  },
};
`;
const CONSTANTS: readonly (readonly [name: string, key: keyof Leases])[] = [
  ['LEASE_MARGIN_MS', 'marginMs'],
  ['STREAM_LEASE_MS', 'streamMs'],
  ['WATCH_TIMEOUT_MS', 'watchMs'],
  ['UNSEALED_CHECK_MS', 'unsealedCheckMs'],
];

/** Builds it into a directory of its own. `discard` it when no workerd will read it any more. */
export async function chaosBundle(leases: Leases): Promise<{ bundle: WorkerBundle; discard: () => Promise<void> }> {
  const built = await buildWorker();
  const directory = await mkdtemp(join(tmpdir(), 'fusebox-chaos-'));
  await cp(built.directory, directory, { recursive: true });
  const main = join(directory, 'index.js');
  let code = await readFile(main, 'utf8');
  if (leases !== DEPLOYED_LEASES) {
    for (const [name, key] of CONSTANTS) code = withConstant(code, name, leases[key]);
  }
  await writeFile(main, code);
  await writeFile(join(directory, DOOR), DOOR_CODE);
  return {
    bundle: { ...built, directory, modules: [{ name: DOOR, type: 'esModule' }, ...built.modules] },
    discard: () => rm(directory, { recursive: true, force: true }),
  };
}

function withConstant(code: string, name: string, value: number): string {
  const written = new RegExp(`^var ${name} = [^;]+;$`, 'gm');
  if (code.match(written)?.length !== 1) throw new Error(`${name} is not in the bundle exactly once`);
  return code.replace(written, `var ${name} = ${value};`);
}
