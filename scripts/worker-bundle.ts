// The Worker as `wrangler deploy` would send it: bundled by wrangler itself into .build/, once per state of the sources.
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, extname, join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

/** The repository. */
export const ROOT = join(import.meta.dirname, '..');

const BUILD_DIRECTORY = join(ROOT, '.build');
const MANIFEST = 'bundle.json';
/** What the bundle depends on. The policy and the lock file count: both end up inside. */
const INPUTS = new Set(['wrangler.toml', 'package-lock.json', 'tsconfig.json']);
/** Bundles of earlier states that are kept: switching between two must not build each time. */
const MAX_KEPT = 4;

interface WorkerModule {
  /** Name within the bundle; the first one is the main module. */
  readonly name: string;
  readonly type: 'esModule' | 'text' | 'data' | 'wasm';
}

export interface WorkerBundle {
  /** Where the modules' files are. */
  readonly directory: string;
  readonly modules: readonly WorkerModule[];
  readonly compatibilityDate: string;
  readonly compatibilityFlags: readonly string[];
  readonly objects: readonly { readonly binding: string; readonly className: string; readonly sqlite: boolean }[];
  /** Names of the KV bindings. */
  readonly namespaces: readonly string[];
  readonly vars: Readonly<Record<string, string>>;
}

/** What is read of wrangler's own view of wrangler.toml. */
interface WranglerConfig {
  readonly compatibility_date?: string | undefined;
  readonly compatibility_flags: readonly string[];
  readonly durable_objects: { readonly bindings: readonly { readonly name: string; readonly class_name: string }[] };
  readonly migrations: readonly { readonly new_sqlite_classes?: readonly string[] | undefined }[];
  readonly kv_namespaces: readonly { readonly binding: string }[];
  readonly vars: Readonly<Record<string, unknown>>;
}

interface WranglerModule {
  unstable_readConfig(args: { readonly config: string }, options: { readonly hideWarnings: boolean }): WranglerConfig;
}

/** What wrangler printed when the build failed. */
export class BuildError extends Error {
  override name = 'BuildError';
}

/** Builds the Worker, or finds it built. Safe to call from several processes at once. Throws a BuildError with wrangler's own words. */
export async function buildWorker(): Promise<WorkerBundle> {
  const directory = join(BUILD_DIRECTORY, await digestOfSources());
  const built = await readManifest(directory);
  if (built !== null) return built;
  await mkdir(BUILD_DIRECTORY, { recursive: true });
  const scratch = await mkdtemp(join(BUILD_DIRECTORY, 'tmp-'));
  try {
    await runWrangler(['deploy', '--dry-run', '--outdir', scratch]);
    const bundle = { ...settings(), modules: await modulesIn(scratch) };
    await writeFile(join(scratch, MANIFEST), JSON.stringify(bundle));
    await dropOldBundles();
    // Another process may have been faster; its bundle is the same.
    await rename(scratch, directory).catch(() => undefined);
    return { ...bundle, directory };
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function digestOfSources(): Promise<string> {
  const sources = await readdir(join(ROOT, 'src'), { recursive: true, withFileTypes: true });
  const files = [
    ...sources.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name)),
    ...(await readdir(ROOT))
      .filter((name) => INPUTS.has(name) || name.endsWith('.yaml'))
      .map((name) => join(ROOT, name)),
  ].toSorted();
  const hash = createHash('sha256');
  for (const file of files)
    hash
      .update(`${file}\0`)
      .update(await readFile(file))
      .update('\0');
  return hash.digest('hex').slice(0, 16);
}

async function readManifest(directory: string): Promise<WorkerBundle | null> {
  try {
    const manifest = JSON.parse(await readFile(join(directory, MANIFEST), 'utf8')) as Omit<WorkerBundle, 'directory'>;
    return { ...manifest, directory };
  } catch {
    return null;
  }
}

async function modulesIn(directory: string): Promise<WorkerModule[]> {
  const names = (await readdir(directory)).filter((name) => name !== 'README.md' && extname(name) !== '.map');
  const modules = names.map((name): WorkerModule => ({ name, type: typeOf(name) }));
  return modules.toSorted((a, b) => Number(b.name === 'index.js') - Number(a.name === 'index.js'));
}

function typeOf(name: string): WorkerModule['type'] {
  switch (extname(name)) {
    case '.js':
    case '.mjs':
      return 'esModule';
    case '.wasm':
      return 'wasm';
    case '.bin':
      return 'data';
    default:
      return 'text';
  }
}

function settings(): Omit<WorkerBundle, 'directory' | 'modules'> {
  // Its types lead to packages that are not installed; what is used of them is written down above.
  const wrangler = createRequire(import.meta.url)('wrangler') as WranglerModule;
  const config = wrangler.unstable_readConfig({ config: join(ROOT, 'wrangler.toml') }, { hideWarnings: true });
  const sqliteClasses = new Set(config.migrations.flatMap((migration) => migration.new_sqlite_classes ?? []));
  return {
    compatibilityDate: config.compatibility_date ?? '',
    compatibilityFlags: config.compatibility_flags,
    objects: config.durable_objects.bindings.map(({ name, class_name: className }) => ({
      binding: name,
      className,
      sqlite: sqliteClasses.has(className),
    })),
    namespaces: config.kv_namespaces.map((namespace) => namespace.binding),
    vars: Object.fromEntries(
      Object.entries(config.vars).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
    ),
  };
}

function runWrangler(args: readonly string[]): Promise<void> {
  const cli = join(dirname(createRequire(import.meta.url).resolve('wrangler/package.json')), 'bin', 'wrangler.js');
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [cli, ...args], {
      cwd: ROOT,
      env: { ...process.env, WRANGLER_SEND_METRICS: 'false', CI: '1' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const said: Buffer[] = [];
    child.stdout.on('data', (chunk: Buffer) => said.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve();
      else
        reject(
          new BuildError(
            `the Worker could not be built:\n${stripVTControlCharacters(Buffer.concat(said).toString()).trim()}`,
          ),
        );
    });
  });
}

async function dropOldBundles(): Promise<void> {
  const entries = await readdir(BUILD_DIRECTORY, { withFileTypes: true });
  const bundles = entries.filter((entry) => entry.isDirectory() && /^[0-9a-f]{16}$/.test(entry.name));
  for (const { name } of bundles.slice(0, Math.max(0, bundles.length - MAX_KEPT))) {
    await rm(join(BUILD_DIRECTORY, name), { recursive: true, force: true });
  }
}
