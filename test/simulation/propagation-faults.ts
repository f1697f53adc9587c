// What goes wrong in a simulated deployment, when, and for whom.

/** A part of the time, in seconds from the start. */
export type Span = readonly [fromSecond: number, toSecond: number];

/** How a part fails: it says so at once, or it says nothing. */
export type Failure = 'rejects' | 'hangs';

export interface Scenario {
  readonly name: string;
  /** The part of pushes that get lost. */
  readonly pushesLost: number;
  /** The control object, for everybody. */
  readonly control?: { readonly spans: readonly Span[]; readonly how: Failure };
  /** The relays of every so-manieth region, for those who ask them. */
  readonly relays?: { readonly spans: readonly Span[]; readonly how: Failure; readonly everyRegion: number };
  /** The way from all relays to the control object; that of the edges works. */
  readonly relaysCutOff?: readonly Span[];
  /** Objects lose their memory this often, on average. */
  readonly relaysRestartEverySeconds?: number;
  /** KV answers with what it had at the very beginning. */
  readonly kvRolledBack?: boolean;
}

const EVER: Span = [0, Number.POSITIVE_INFINITY];

export const SCENARIOS: readonly Scenario[] = [
  { name: 'all is well', pushesLost: 0 },
  { name: 'every push is lost', pushesLost: 1 },
  {
    name: 'half of the pushes are lost, relays restart, KV is rolled back',
    pushesLost: 0.5,
    relaysRestartEverySeconds: 20,
    kvRolledBack: true,
  },
  {
    name: 'every third region has dead relays',
    pushesLost: 0.1,
    relays: { spans: [EVER], how: 'rejects', everyRegion: 3 },
  },
  {
    name: 'every third region has relays that hang',
    pushesLost: 0.1,
    relays: { spans: [EVER], how: 'hangs', everyRegion: 3 },
  },
  { name: 'all relays are dead', pushesLost: 0, relays: { spans: [EVER], how: 'rejects', everyRegion: 1 } },
  { name: 'no relay reaches the control object', pushesLost: 1, relaysCutOff: [[30, 150]] },
  {
    name: 'the control object is away for 40 s, twice',
    pushesLost: 0.1,
    control: {
      spans: [
        [30, 70],
        [120, 160],
      ],
      how: 'rejects',
    },
  },
  { name: 'the control object hangs for two minutes', pushesLost: 0.1, control: { spans: [[40, 160]], how: 'hangs' } },
];

export function isIn(spans: readonly Span[] | undefined, second: number): boolean {
  return spans !== undefined && spans.some(([from, to]) => second >= from && second < to);
}
