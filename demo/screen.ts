// What the demo shows: one line a second, plain text, nothing redrawn. Colours only on a terminal that wants them.

export interface Screen {
  say(text?: string): void;
  heading(text: string): void;
  /** Something happened that matters. */
  event(kind: 'warning' | 'trip' | 'good', text: string): void;
}

const CODES = { bold: '1', warning: '33', trip: '31', good: '32' } as const;
const SIGNS = { warning: '!', trip: '#', good: '+' } as const;
const BAR_CELLS = 12;

/** Writes to `stream`; see https://no-color.org for NO_COLOR. */
export function createScreen(
  stream: { readonly isTTY?: boolean; write(text: string): unknown },
  environment: Readonly<Record<string, string | undefined>>,
): Screen {
  const colours = stream.isTTY === true && !environment['NO_COLOR'] && environment['TERM'] !== 'dumb';
  const paint = (code: keyof typeof CODES, text: string): string =>
    colours ? `\u001b[${CODES[code]}m${text}\u001b[0m` : text;
  return {
    say: (text = '') => stream.write(`${text}\n`),
    heading: (text) => stream.write(`\n${paint('bold', text)}\n`),
    event: (kind, text) => stream.write(`${paint(kind, `  ${SIGNS[kind]} ${text}`)}\n`),
  };
}

/** `[#####.......]  42%`. */
export function bar(fraction: number): string {
  const filled = Math.max(0, Math.min(BAR_CELLS, Math.floor(fraction * BAR_CELLS)));
  return `[${'#'.repeat(filled)}${'.'.repeat(BAR_CELLS - filled)}] ${String(Math.floor(fraction * 100)).padStart(3)}%`;
}

/** Dollars for people, with thousands separated: 45521.4 -> "$45,521". */
export function dollars(amount: number): string {
  return `$${Math.round(amount).toLocaleString('en-US')}`;
}
