import { describe, expect, it } from 'vitest';
import { sessionLog } from '../../src/audit/chain.ts';
import {
  emptyTrail,
  isCheckpointDue,
  loadTrail,
  placeCheckpoint,
  takeLines,
  tell,
  tellFolded,
  trailImageOf,
} from '../../src/audit/trail.ts';
import {
  AUDIT_FOLD_WINDOW_MS,
  CHECKPOINT_EVERY_MS,
  CHECKPOINT_EVERY_ROWS,
  MAX_RIDING_LINES,
} from '../../src/limits.ts';

const NOW_MS = 1_800_000_000_000;
const NAME = sessionLog('test', 'fusebox~session-1');

describe('a log on its way to disk', () => {
  it('hands out each row once, and goes on from there in the next incarnation', () => {
    const trail = emptyTrail(NAME, NOW_MS);
    tell(trail, { event: 'one' }, NOW_MS);
    const [one = ''] = takeLines(trail, { withOthers: true }, NOW_MS);
    expect(takeLines(trail, { withOthers: true }, NOW_MS)).toEqual([]);
    const next = loadTrail(structuredClone(trailImageOf(trail)));
    tell(next, { event: 'two' }, NOW_MS);
    const [two = ''] = takeLines(next, { withOthers: true }, NOW_MS);
    expect(JSON.parse(two)).toMatchObject({ seq: 2, prev: (JSON.parse(one) as { hash: string }).hash });
  });

  it('keeps what it counts through incarnations, and tells it when the window is over', () => {
    const trail = emptyTrail(NAME, NOW_MS);
    const denial = { key: 'k', first: { event: 'denied' }, repeated: { event: 'denied-again' } };
    for (let times = 0; times < 3; times += 1) tellFolded(trail, denial, NOW_MS);
    expect(takeLines(trail, { withOthers: true }, NOW_MS)).toHaveLength(1);
    const next = loadTrail(structuredClone(trailImageOf(trail)));
    expect(takeLines(next, { withOthers: true }, NOW_MS + AUDIT_FOLD_WINDOW_MS - 1)).toEqual([]);
    const [row = ''] = takeLines(next, { withOthers: true }, NOW_MS + AUDIT_FOLD_WINDOW_MS);
    expect(JSON.parse(row)).toMatchObject({ event: 'denied-again', count: 2 });
  });

  it.each([
    ['no row is due', 0, CHECKPOINT_EVERY_MS * 10, false],
    ['a row is not due at once', 1, CHECKPOINT_EVERY_MS - 1, false],
    ['a row is due after the interval', 1, CHECKPOINT_EVERY_MS, true],
    ['so many rows are not due', CHECKPOINT_EVERY_ROWS - 1, 0, false],
    ['so many rows are due at once', CHECKPOINT_EVERY_ROWS, 0, true],
  ])('a signature over %s', (_what, rows, laterMs, due) => {
    const trail = emptyTrail(NAME, NOW_MS);
    for (let row = 0; row < rows; row += 1) tell(trail, { event: 'row' }, NOW_MS);
    takeLines(trail, { withOthers: true }, NOW_MS);
    expect(isCheckpointDue(trail, trail.head, NOW_MS + laterMs)).toBe(due);
    placeCheckpoint(trail, { seq: trail.head.seq, atMs: NOW_MS + laterMs, jws: 'jws' });
    expect(isCheckpointDue(trail, trail.head, NOW_MS + laterMs)).toBe(false);
  });

  it('places a checkpoint before the rows that follow it, and drops one that was overtaken', () => {
    const trail = emptyTrail(NAME, NOW_MS);
    for (const event of ['one', 'two']) tell(trail, { event }, NOW_MS);
    takeLines(trail, { withOthers: true }, NOW_MS);
    placeCheckpoint(trail, { seq: 2, atMs: NOW_MS, jws: 'later' });
    placeCheckpoint(trail, { seq: 1, atMs: NOW_MS, jws: 'earlier' });
    tell(trail, { event: 'three' }, NOW_MS);
    expect(takeLines(trail, { withOthers: true }, NOW_MS)).toEqual([
      '{"checkpoint":"later"}',
      expect.stringContaining('"three"'),
    ]);
    expect(trail.riding).toEqual([]);
  });
});

describe('lines', () => {
  it('ride in the image until they are too many, or something else is written', () => {
    const trail = emptyTrail(NAME, NOW_MS);
    for (let row = 0; row < MAX_RIDING_LINES; row += 1) {
      tell(trail, { event: 'row' }, NOW_MS);
      expect(takeLines(trail, { withOthers: false }, NOW_MS)).toEqual([]);
    }
    expect(trailImageOf(trail).riding).toHaveLength(MAX_RIDING_LINES);
    tell(trail, { event: 'row' }, NOW_MS);
    expect(takeLines(trail, { withOthers: false }, NOW_MS)).toHaveLength(MAX_RIDING_LINES + 1);
    tell(trail, { event: 'row' }, NOW_MS);
    expect(takeLines(trail, { withOthers: true }, NOW_MS)).toHaveLength(1);
  });
});

describe('a row', () => {
  it('may not bring members of the chain', () => {
    const trail = emptyTrail(NAME, NOW_MS);
    tell(trail, { event: 'forged', hash: '0' }, NOW_MS);
    expect(() => takeLines(trail, { withOthers: true }, NOW_MS)).toThrow('may not have "hash"');
  });
});
