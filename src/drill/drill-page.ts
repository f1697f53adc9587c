// The evidence of a drill as a page for people: printed and put into a file, it reads on its own.
import { escapeHtml } from '../http/html.ts';
import type { DrillCheck, DrilledStop, DrillReport } from '../rpc/drill-rpc.ts';

const STYLE =
  'body{font:15px/1.55 system-ui,sans-serif;max-width:60rem;margin:2.5rem auto;padding:0 1rem;color:#1c1c1c;background:#fff}' +
  'h1{font-size:1.5rem;line-height:1.3}h2{font-size:1.15rem;margin-top:2.2rem}table{border-collapse:collapse;width:100%}' +
  'th,td{text-align:left;vertical-align:top;padding:.35rem .7rem .35rem 0;border-bottom:1px solid #ddd}' +
  '.wide{overflow-x:auto}.number{text-align:right;font-variant-numeric:tabular-nums}.yes{color:#0a6b2d}.no{color:#b3261e;font-weight:600}' +
  'dt{font-weight:600;margin-top:.5rem}dd{margin:0}code{background:#f1f1f1;padding:.1em .3em;overflow-wrap:anywhere}' +
  '@media(prefers-color-scheme:dark){body{color:#e8e8e8;background:#161616}th,td{border-color:#3a3a3a}code{background:#2a2a2a}.yes{color:#7fd49b}.no{color:#ff8a80}}';

/** HTML, whole. */
export function drillPage(report: DrillReport): string {
  const title = `Drill ${report.passed ? 'passed' : 'FAILED'}: ${report.started_at.slice(0, 10)}`;
  return (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">' +
    `<title>${escapeHtml(title)} - Fusebox</title><style>${STYLE}</style></head><body><main><h1>${escapeHtml(title)}</h1>` +
    facts(report) +
    `<h2>What was stopped</h2><div class="wide">${stopsTable(report.stops)}</div>` +
    `<h2>Who may do what, and the log</h2>${checksTable(report.checks)}` +
    report.stops
      .map((stop) => `<h2>${escapeHtml(stop.stop)}: what was checked</h2>${checksTable(stop.checks)}`)
      .join('') +
    `<h2>Issues found</h2>${listed(report.issues)}` +
    `<h2>Signed off</h2>${signOff(report)}` +
    '</main></body></html>\n'
  );
}

function facts(report: DrillReport): string {
  const rows: readonly (readonly [string, string])[] = [
    [
      'Result',
      `${report.passed ? 'passed' : 'failed'}${report.passed && !report.within_goal ? ', slower than the goal' : ''}`,
    ],
    ['Required', `each stop works within ${report.required_seconds} s`],
    ['Goal', `within ${report.goal_seconds} s; one session within ${report.session_goal_seconds} s`],
    ['Run', `${report.started_at} to ${report.finished_at}`],
    ['By', `${report.by} (${report.trigger}): ${report.reason}`],
    ['How', report.method],
    ['Drill', report.id],
  ];
  return `<dl>${rows.map(([name, value]) => `<dt>${escapeHtml(name)}</dt><dd>${escapeHtml(value)}</dd>`).join('')}</dl>`;
}

function stopsTable(stops: readonly DrilledStop[]): string {
  const head = [
    'Stop',
    'Target',
    'Refused after',
    'Stream cut after',
    'Went on after the lift',
    'As required',
    'Goal met',
  ];
  const rows = stops.map(
    (stop) =>
      `<tr><td>${escapeHtml(stop.stop)}</td><td><code>${escapeHtml(stop.target)}</code></td>` +
      `<td class="number">${time(stop.refused_after_ms)}</td>` +
      `<td class="number">${stop.stop === 'halt' ? 'not drilled' : time(stop.stream_cut_after_ms)}</td>` +
      `<td class="number">${recovery(stop)}</td>` +
      `<td>${yesNo(stop.passed)}</td><td>${yesNo(stop.within_goal)}</td></tr>`,
  );
  return `<table><thead><tr>${head.map((name) => `<th>${name}</th>`).join('')}</tr></thead><tbody>${rows.join('')}</tbody></table>`;
}

function recovery({ stop, recovered_after_ms: ms }: DrilledStop): string {
  if (stop === 'halt') return 'not drilled';
  return stop === 'session' ? 'final' : time(ms);
}

function checksTable(checks: readonly DrillCheck[]): string {
  const rows = checks.map(
    ({ what, passed, detail }) =>
      `<tr><td>${yesNo(passed)}</td><td>${escapeHtml(what)}</td><td>${escapeHtml(detail)}</td></tr>`,
  );
  return `<table><tbody>${rows.join('')}</tbody></table>`;
}

function signOff({ sign_off: signed }: DrillReport): string {
  if (signed === null) return '<p>Nobody has yet.</p>';
  const remedy = signed.remedial_action === null ? '' : `<p>Remedial action: ${escapeHtml(signed.remedial_action)}</p>`;
  return `<p>${escapeHtml(signed.owner)} (${escapeHtml(signed.by)}), ${escapeHtml(signed.at)}: ${escapeHtml(signed.note)}</p>${remedy}`;
}

function listed(items: readonly string[]): string {
  return items.length === 0
    ? '<p>None.</p>'
    : `<ul>${items.map((item) => `<li>${escapeHtml(item)}</li>`).join('')}</ul>`;
}

function time(ms: number | null): string {
  return ms === null ? '<span class="no">never</span>' : `${(ms / 1_000).toFixed(2)} s`;
}

function yesNo(passed: boolean): string {
  return passed ? '<span class="yes">yes</span>' : '<span class="no">no</span>';
}
