// Drills a deployment, as the gate before production and once a month after: `ADMIN_TOKEN=... npm run drill -- URL`. Exit code
// 1 where a stop did not work in time; the evidence is printed, and kept by the deployment.
import { writeFile } from 'node:fs/promises';
import { drillPage } from '../src/drill/drill-page.ts';
import type { DrillReport } from '../src/rpc/drill-rpc.ts';

const USAGE = `usage: ADMIN_TOKEN=TOKEN npm run drill -- URL [--reason TEXT] [--out FILE]
  URL            the deployment, such as https://fusebox.example.workers.dev
  --reason TEXT  for the record; "gate before production" where none is given
  --out FILE     writes the evidence there as well: FILE.html as a page, any other name as JSON
The token needs the role operator.
`;
/** A drill that finds nothing working gives up by then. */
const TIMEOUT_MS = 10 * 60_000;

export interface DrillCommand {
  readonly url: string;
  readonly reason: string;
  readonly out: string | null;
}

/** Reads the arguments; what is wrong with them, as a sentence. */
export function readCommand(args: readonly string[]): DrillCommand | string {
  let url: string | null = null;
  let reason = 'gate before production';
  let out: string | null = null;
  for (let at = 0; at < args.length; at += 1) {
    const argument = args[at] ?? '';
    if (argument === '--reason' || argument === '--out') {
      const value = args[(at += 1)];
      if (value === undefined || value === '') return `${argument} needs a value`;
      if (argument === '--out') out = value;
      else reason = value;
    } else if (argument.startsWith('-')) return `unknown option '${argument}'`;
    else if (url === null) url = argument;
    else return `one URL only, and '${argument}' is a second one`;
  }
  if (url === null) return 'the URL of the deployment is missing';
  if (!/^https?:\/\/[^/]+\/?$/.test(url)) return `'${url}' is not the origin of a deployment`;
  return { url: url.replace(/\/$/, ''), reason, out };
}

/** The report as lines for a terminal. */
export function describeReport(report: DrillReport): string {
  const lines = report.stops.map(
    ({ stop, refused_after_ms: refused, stream_cut_after_ms: cut, recovered_after_ms: recovered, passed }) =>
      `  ${stop.padEnd(9)} ${time(refused)}     ${time(cut)}         ${time(recovered)}       ${passed ? 'passed' : 'FAILED'}`,
  );
  const issues = report.issues.map((issue) => `  - ${issue}`);
  return [
    `Drill ${report.id}`,
    `  stop      refused after  stream cut after  went on after lift`,
    ...lines,
    ...(issues.length === 0 ? [] : ['Issues found:', ...issues]),
    `${report.passed ? 'Passed' : 'FAILED'}: required within ${report.required_seconds} s; goal of ${report.goal_seconds} s (one session: ${report.session_goal_seconds} s) ${report.within_goal ? 'met' : 'missed'}.`,
    '',
  ].join('\n');
}

function time(ms: number | null): string {
  return (ms === null ? '-' : `${(ms / 1_000).toFixed(2)} s`).padStart(7);
}

async function main(args: readonly string[], token: string | undefined): Promise<number> {
  if (args.includes('--help')) {
    process.stdout.write(USAGE);
    return 0;
  }
  const command = readCommand(args);
  if (typeof command === 'string') return fail(`${command}\n${USAGE}`);
  if (token === undefined || token === '') return fail(`ADMIN_TOKEN is not set in the environment\n${USAGE}`);
  process.stdout.write(`Drilling ${command.url}: about half a minute. Nothing but synthetic sessions is stopped.\n`);
  const answer = await ask(command, token);
  if (typeof answer === 'string') return fail(`${answer}\n`);
  process.stdout.write(describeReport(answer));
  if (command.out !== null) {
    const text = command.out.endsWith('.html') ? drillPage(answer) : `${JSON.stringify(answer, null, 2)}\n`;
    await writeFile(command.out, text);
    process.stdout.write(`Evidence written to ${command.out}\n`);
  }
  return answer.passed ? 0 : 1;
}

async function ask({ url, reason }: DrillCommand, token: string): Promise<DrillReport | string> {
  let response: Response;
  try {
    response = await fetch(`${url}/admin/drills`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify({ reason }),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    const { cause } = error as Error;
    return `${url} cannot be reached: ${cause instanceof Error ? cause.message : String(error)}`;
  }
  const text = await response.text();
  if (response.ok) return JSON.parse(text) as DrillReport;
  return `${url} answered ${response.status}: ${detailOf(text)}`;
}

/** What a problem document says to people; the text itself where it is none. */
function detailOf(text: string): string {
  try {
    const { detail } = JSON.parse(text) as { detail?: unknown };
    return typeof detail === 'string' ? detail : text;
  } catch {
    return text.slice(0, 500);
  }
}

function fail(what: string): number {
  process.stderr.write(what);
  return 1;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2), process.env['ADMIN_TOKEN']);
