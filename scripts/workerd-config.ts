// The configuration that workerd reads, for a bundle and its bindings. Secrets are not written into it: they go through the
// environment of the process.
import { join } from 'node:path';
import type { WorkerBundle } from './worker-bundle.ts';

export interface GatewayConfigOptions {
  readonly bundle: WorkerBundle;
  /** Names of variables that workerd finds in its environment, as `environmentName(name)`. */
  readonly secretNames: readonly string[];
  /** Files whose text becomes a variable: too long for the environment. */
  readonly textFiles: Readonly<Record<string, string>>;
  /** Where objects are kept; must exist. */
  readonly objectsDirectory: string;
  readonly address: string;
  /** The module that stands in for Workers KV. */
  readonly kvModule: string;
  /** The module that stands in for R2. */
  readonly bucketModule: string;
}

/** The bucket of the archives: opt-in in wrangler.toml, there is always one here. */
const BUCKET = 'ARCHIVE';

/** The name under which a variable of the Worker travels in the environment of workerd. */
export function environmentName(name: string): string {
  return `FUSEBOX_VAR_${name}`;
}

/** Cap'n Proto text of a server with one socket, `http`, that serves the bundle. */
export function gatewayConfig(options: GatewayConfigOptions): string {
  const { bundle } = options;
  const bindings = [
    ...bundle.objects.map(
      ({ binding, className }) => `(name = ${text(binding)}, durableObjectNamespace = ${text(className)})`,
    ),
    ...bundle.namespaces.map((name) => `(name = ${text(name)}, kvNamespace = ${text(`kv-${name}`)})`),
    `(name = ${text(BUCKET)}, r2Bucket = ${text(`r2-${BUCKET}`)})`,
    ...Object.entries(bundle.vars).map(([name, value]) => `(name = ${text(name)}, text = ${text(value)})`),
    ...Object.entries(options.textFiles).map(([name, file]) => `(name = ${text(name)}, text = embed ${text(file)})`),
    ...options.secretNames.map((name) => `(name = ${text(name)}, fromEnvironment = ${text(environmentName(name))})`),
  ];
  const classes = bundle.objects.map(
    ({ className, sqlite }) =>
      `(className = ${text(className)}, uniqueKey = ${text(`fusebox-${className}`)}, enableSql = ${sqlite})`,
  );
  return config({
    services: [
      service('main', [
        `modules = ${modules(bundle)}`,
        `compatibilityDate = ${text(bundle.compatibilityDate)}`,
        `compatibilityFlags = ${list(bundle.compatibilityFlags.map(text))}`,
        `bindings = ${list(bindings)}`,
        `durableObjectNamespaces = ${list(classes)}`,
        `durableObjectStorage = (localDisk = "objects")`,
      ]),
      ...bundle.namespaces.map((name) =>
        standIn(`kv-${name}`, { module: options.kvModule, binding: 'NAMESPACE', className: 'Namespace' }),
      ),
      standIn(`r2-${BUCKET}`, { module: options.bucketModule, binding: 'BUCKET', className: 'Bucket' }),
      `(name = "objects", disk = (path = ${text(options.objectsDirectory)}, writable = true))`,
      LOOPBACK_AND_INTERNET,
    ],
    sockets: [{ name: 'http', address: options.address, service: 'main' }],
  });
}

/** Public addresses and this machine's own, but not its neighbours: what local development needs. */
export const LOOPBACK_AND_INTERNET = `(name = "internet", network = (allow = ["public", "local"], tlsOptions = (trustBrowserCas = true)))`;

export interface ServerConfig {
  readonly services: readonly string[];
  readonly sockets: readonly { readonly name: string; readonly address: string; readonly service: string }[];
}

/** A whole configuration file from written-out services. */
export function config({ services, sockets }: ServerConfig): string {
  const opened = sockets.map(
    ({ name, address, service: target }) =>
      `(name = ${text(name)}, address = ${text(address)}, http = (), service = ${text(target)})`,
  );
  return [
    'using Workerd = import "/workerd/workerd.capnp";',
    `const config :Workerd.Config = (\n  services = ${list(services)},\n  sockets = ${list(opened)},\n);`,
    '',
  ].join('\n');
}

/** A service that is a Worker, from its written-out fields. */
export function service(name: string, fields: readonly string[]): string {
  return `(name = ${text(name)}, worker = (\n    ${fields.join(',\n    ')}))`;
}

/** A string literal. Cap'n Proto knows `\xNN` but not JSON's `\uNNNN`. */
export function text(value: string): string {
  const escaped = value.replaceAll(/["\\]/g, String.raw`\$&`);
  // eslint-disable-next-line no-control-regex
  return `"${escaped.replaceAll(/[\u0000-\u001f\u007f]/g, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`)}"`;
}

function list(items: readonly string[]): string {
  return `[${items.join(', ')}]`;
}

function modules({ directory, modules: all }: WorkerBundle): string {
  return list(all.map(({ name, type }) => `(name = ${text(name)}, ${type} = embed ${text(join(directory, name))})`));
}

/** A Worker with one kind of object, which plays a part of the platform. */
function standIn(name: string, of: { module: string; binding: string; className: string }): string {
  return service(name, [
    `modules = [(name = "stand-in.js", esModule = embed ${text(of.module)})]`,
    `compatibilityDate = "2026-09-18"`,
    `bindings = [(name = ${text(of.binding)}, durableObjectNamespace = ${text(of.className)})]`,
    `durableObjectNamespaces = [(className = ${text(of.className)}, uniqueKey = ${text(name)}, enableSql = true)]`,
    `durableObjectStorage = (localDisk = "objects")`,
  ]);
}
