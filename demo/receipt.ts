// The receipt of the incident: what it did cost, what it would have cost, and how that was computed.
import { formatUsd } from '../src/money.ts';
import type { Incident } from './incident.ts';
import { dollars } from './screen.ts';

const SECONDS_PER_DAY = 86_400;
/** As long as nobody noticed, in the incident that this one is modelled on. */
const UNNOTICED_DAYS = 11;

/** The lines of the receipt. */
export function receipt(incident: Incident): string[] {
  const { limitMicroUsd, settledMicroUsd, loop, refusalMs, ledger } = incident;
  const overspent = Math.max(0, settledMicroUsd - limitMicroUsd);
  const usdPerSecond = loop.costMicroUsd / 1e6 / loop.seconds;
  const perDay = usdPerSecond * SECONDS_PER_DAY;
  return [
    line('cap of the session', `$${formatUsd(limitMicroUsd)}`),
    line(
      'what it did cost',
      `$${formatUsd(settledMicroUsd)}`,
      `${ledger.entries} ledger entries that add up to $${formatUsd(ledger.sumMicroUsd)}`,
    ),
    line('overspent', `$${formatUsd(overspent)}`, 'max(0, settled - cap), from the ledger'),
    line(
      'unprotected, a day',
      dollars(perDay),
      `${loop.calls} calls cost $${formatUsd(loop.costMicroUsd)} in ${loop.seconds.toFixed(1)} s: $${usdPerSecond.toFixed(4)} a second, x 86,400`,
    ),
    line(
      'unprotected, in 11 days',
      dollars(perDay * UNNOTICED_DAYS),
      `the same rate, x ${UNNOTICED_DAYS}: as long as one team did not notice $47,000`,
    ),
    line(
      'refusing a call',
      `${(refusalMs[Math.floor(refusalMs.length / 2)] ?? Number.NaN).toFixed(2)} ms`,
      `median of ${refusalMs.length}, client included; slowest ${(refusalMs.at(-1) ?? Number.NaN).toFixed(2)} ms`,
    ),
  ];
}

function line(label: string, value: string, note = ''): string {
  return `  ${label.padEnd(26)}${value.padStart(12)}   ${note}`.trimEnd();
}
