// The Worker under test, as it is deployed, behind a door through which a test takes its parts away (fault-door.js), with
// further copies of its module that stand for isolates elsewhere.
import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildWorker, type WorkerBundle } from '../../scripts/worker-bundle.ts';

const MAIN = 'index.js';
const DOOR = 'fault-door.js';
/** Where the door stands. */
export const DOOR_PATH = '/__faults';
/** The header by which a request names the isolate that serves it; without it, the first one does. */
export const ISOLATE_HEADER = 'x-isolate';
/** More than a file of tests uses; one that nobody asks for is never run. */
export const MAX_ISOLATES = 16;

/** Builds it into a directory of its own. `discard` it when no workerd will read it any more. */
export async function faultBundle(): Promise<{ bundle: WorkerBundle; discard: () => Promise<void> }> {
  const built = await buildWorker();
  const directory = await mkdtemp(join(tmpdir(), 'fusebox-faults-'));
  await cp(built.directory, directory, { recursive: true });
  await cp(join(import.meta.dirname, DOOR), join(directory, DOOR));
  const copies = Array.from({ length: MAX_ISOLATES }, (_, index) => `isolate-${index + 1}.js`);
  for (const name of copies) await cp(join(directory, MAIN), join(directory, name));
  const added = [DOOR, ...copies].map((name) => ({ name, type: 'esModule' }) as const);
  const [door, ...others] = added;
  if (door === undefined) throw new Error('the door is missing');
  return {
    bundle: { ...built, directory, modules: [door, ...built.modules, ...others] },
    discard: () => rm(directory, { recursive: true, force: true }),
  };
}
