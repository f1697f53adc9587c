// What a chaos run says at its end: one table, and the evidence of whatever was wrong.
import { VIOLATION_KINDS, type ViolationKind } from './evidence.ts';
import type { ChaosReport } from './run.ts';

const MAX_EVIDENCE_EACH = 5;
const usd = (microUsd: number): string => (microUsd / 1_000_000).toFixed(6);

export function describeReport(report: ChaosReport): string {
  const { sessions, books, violations } = report;
  const count = (...kinds: readonly ViolationKind[]): number =>
    violations.filter(({ kind }) => kinds.includes(kind)).length;
  const sum = (of: (book: ChaosReport['books'][number]) => number): number =>
    books.reduce((total, book) => total + of(book), 0);
  const requests = sessions.flatMap((session) => session.requests);
  const holds = sessions.flatMap((session) => session.holds);
  const observed = sessions.reduce((total, session) => total + session.observed.size, 0);
  const acknowledged = holds.filter((hold) => hold.acknowledged !== null).length;
  const keys = sessions.reduce((total, session) => total + session.completedKeys.size, 0);
  const revoked = sessions.filter((session) => session.revokedMs !== null).length;
  const rows: readonly (readonly [string, string | number])[] = [
    ['kills of workerd', `${report.kills} in ${report.seconds.toFixed(0)} s`],
    ['sessions', `${sessions.length}, of which ${sessions.filter(({ small }) => small).length} with a small cap`],
    ['requests over HTTP', `${requests.length}, ${requests.filter(({ status }) => status === null).length} unanswered`],
    ['requests that reached the upstream', report.upstreamRequests],
    ['holds of Workers that outlived the crashes', holds.length],
    ['looks at a ledger', report.polls],
    ['acknowledged settlements checked', `${acknowledged + observed} (${acknowledged} to Workers, ${observed} listed)`],
    ['  lost or changed', count('settlement-lost')],
    ['ledger entries', sum((book) => book.entries)],
    ['  charged twice', count('charged-twice')],
    ['  sessions that do not add up', count('does-not-add-up')],
    ['holds left open after their expiry', count('open-after-expiry')],
    ['over the cap in force', `${usd(sum((book) => book.overspentMicroUsd))} USD, seen ${count('overspent')} times`],
    ['served', `${usd(sum((book) => book.servedMicroUsd))} USD, not charged ${count('not-charged')} times`],
    ['charged', `${usd(sum((book) => book.settledMicroUsd))} USD`],
    [
      '  recovered blocks',
      `${usd(sum((book) => book.recoveredMicroUsd))} USD in ${sum((book) => book.recoveredRows)} rows`,
    ],
    ['  expired holds', `${usd(sum((book) => book.expiredMicroUsd))} USD in ${sum((book) => book.expiredRows)} rows`],
    ['  beyond what crashes explain', count('overcharged')],
    ['acts', `${report.limitsChanged} limits, ${revoked} revoked or tripped, ${keys} keys completed`],
    ['  undone', count('act-undone')],
    ['ledgers frozen', count('frozen')],
    ['calls never answered', count('unanswered')],
  ];
  const table = rows.map(([name, value]) => `  ${name.padEnd(44)} ${value}`);
  return [...table, ...evidence(report)].join('\n');
}

function evidence({ violations }: ChaosReport): string[] {
  const lines: string[] = [];
  for (const wanted of VIOLATION_KINDS) {
    const found = violations.filter(({ kind }) => kind === wanted);
    if (found.length > 0) lines.push(`${wanted}, ${found.length} times:`);
    for (const { session, what } of found.slice(0, MAX_EVIDENCE_EACH)) lines.push(`  ${session}: ${what}`);
  }
  return lines;
}
