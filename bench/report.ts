// From rounds of measurements to the published figures: medians, ratios, the table and results/latest.json.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import type { LoadFigures, ScreenFigures } from './revocations.ts';
import { WORKERD_VERSION } from '../scripts/workerd.ts';

const ROOT = join(import.meta.dirname, '..');
const RESULTS = join(import.meta.dirname, 'results', 'latest.json');

export interface RowPlan {
  readonly name: string;
  /** Name of the subject that is loaded. */
  readonly subject: string;
  /** The row that this one is compared with. */
  readonly baseline: string;
  readonly connections: number;
}

/** One row in one round, in milliseconds. */
export interface Sample {
  readonly rps: number;
  readonly p50: number;
  readonly p99: number;
  readonly firstByteP50: number;
  readonly firstByteP99: number;
  /** Medians with one connection only: what a request takes when nothing else waits. */
  readonly aloneP50: number;
  readonly aloneFirstByteP50: number;
}

export interface Row {
  readonly name: string;
  readonly baseline: string;
  readonly connections: number;
  readonly rps: number | null;
  readonly p50_ms: number | null;
  readonly p99_ms: number | null;
  /** Throughput over the baseline's, median over rounds. */
  readonly ratio: number | null;
  readonly ttfb_p50_ms: number | null;
  readonly ttfb_p99_ms: number | null;
  /** One connection. */
  readonly alone_p50_ms: number | null;
  readonly alone_ttfb_p50_ms: number | null;
  readonly skipped?: string;
}

/** Each row's median over the rounds; ratios are taken within a round, where both met the same machine. */
export function summarize(
  plans: readonly RowPlan[],
  samples: ReadonlyMap<string, readonly Sample[]>,
  skipped: Readonly<Record<string, string>>,
): Row[] {
  return plans.map((plan): Row => {
    const { name, baseline, connections } = plan;
    const own = samples.get(name) ?? [];
    const reason = skipped[plan.subject];
    const of = (read: (sample: Sample) => number, decimals: number): number | null => median(own.map(read), decimals);
    const base = samples.get(baseline) ?? [];
    return {
      name,
      baseline,
      connections,
      rps: of((sample) => sample.rps, 0),
      p50_ms: of((sample) => sample.p50, 3),
      p99_ms: of((sample) => sample.p99, 3),
      ratio: median(
        own.flatMap((sample, round) => (base[round] === undefined ? [] : [sample.rps / base[round].rps])),
        3,
      ),
      ttfb_p50_ms: of((sample) => sample.firstByteP50, 3),
      ttfb_p99_ms: of((sample) => sample.firstByteP99, 3),
      alone_p50_ms: of((sample) => sample.aloneP50, 3),
      alone_ttfb_p50_ms: of((sample) => sample.aloneFirstByteP50, 3),
      ...(reason === undefined ? {} : { skipped: reason }),
    };
  });
}

/** The table for people. */
export function table(rows: readonly Row[]): string {
  const header = ['row', 'conns', 'req/s', 'p50 ms', 'p99 ms', 'first byte p50', 'alone p50', 'of baseline'];
  const body = rows.map((row) =>
    row.skipped === undefined
      ? [
          row.name,
          String(row.connections),
          String(row.rps),
          fixed(row.p50_ms),
          fixed(row.p99_ms),
          fixed(row.ttfb_p50_ms),
          fixed(row.alone_p50_ms),
          row.name === row.baseline || row.ratio === null ? '' : `${row.ratio.toFixed(2)} of ${row.baseline}`,
        ]
      : [row.name, '', 'skipped', '', '', '', '', row.skipped],
  );
  const all = [header, ...body];
  const widths = header.map((_, column) =>
    Math.max(...all.slice(0, column === 7 ? 1 : undefined).map((cells) => (cells[column] ?? '').length)),
  );
  return all
    .map((cells) =>
      cells
        .map((cell, column) =>
          column === 0 || column === 7 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0),
        )
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** What a full revocation list costs. */
export interface RevocationFigures {
  readonly loaded: LoadFigures;
  readonly screened: ScreenFigures;
}

export function describeRevocations({ loaded, screened }: RevocationFigures): string {
  return [
    `${loaded.entries} revocations: imported in ${loaded.import_seconds} s, held by the edge ${loaded.edge_seconds} s later`,
    `  memory of the whole process: ${loaded.rss_before_mib} MiB before, ${loaded.rss_after_mib} MiB after; the list itself is ${(screened.blob_bytes / 1e6).toFixed(1)} MB`,
    `  screening an allowed request ${micro(screened.allowed_ns)}, a revoked one ${micro(screened.revoked_ns)}; adopting the largest blob ${screened.adopt_ms} ms, once`,
  ].join('\n');
}

function micro(ns: number): string {
  return `${(ns / 1_000).toFixed(1)} us`;
}

/** Writes results/latest.json and returns its path. */
export function publish(
  rows: readonly Row[],
  method: { readonly rounds: number; readonly seconds: number; readonly sessions: number },
  revocations: RevocationFigures | null,
): string {
  const [cpu] = cpus();
  const result = {
    date: new Date().toISOString(),
    commit: commit(),
    machine: {
      cpu: cpu?.model ?? 'unknown',
      cores: cpus().length,
      memory_gib: Math.round(totalmem() / 2 ** 30),
      os: `${type()} ${release()}`,
    },
    versions: {
      node: process.versions.node,
      workerd: WORKERD_VERSION,
      wrangler: versionOf('wrangler'),
      express: versionOf('express'),
      jose: versionOf('jose'),
      redis_client: versionOf('redis'),
      redis_server: redisVersion(),
    },
    method,
    rows,
    ...(revocations === null ? {} : { revocations }),
  };
  mkdirSync(join(RESULTS, '..'), { recursive: true });
  writeFileSync(RESULTS, `${JSON.stringify(result, null, 2)}\n`);
  return RESULTS;
}

function fixed(ms: number | null): string {
  return ms === null ? '' : ms.toFixed(2);
}

function median(values: readonly number[], decimals: number): number | null {
  if (values.length === 0) return null;
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? 0;
  const exact = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
  return Number(exact.toFixed(decimals));
}

function versionOf(name: string): string {
  return (JSON.parse(readFileSync(join(ROOT, 'node_modules', name, 'package.json'), 'utf8')) as { version: string })
    .version;
}

function git(...args: readonly string[]): string {
  return execFileSync('git', args, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
}

function commit(): string {
  try {
    const changed = git('status', '--porcelain', '--', 'src', 'policy.yaml', 'wrangler.toml', 'bench', 'scripts');
    return git('rev-parse', 'HEAD') + (changed === '' ? '' : ' with uncommitted changes');
  } catch {
    return 'unknown';
  }
}

function redisVersion(): string | null {
  try {
    return /v=(\S+)/.exec(execFileSync('redis-server', ['--version'], { encoding: 'utf8' }))?.[1] ?? null;
  } catch {
    return null;
  }
}
