// The model test of tampering: each way to spoil a log of 1,000 rows, at each of its rows.
import { beforeAll, describe, expect, it } from 'vitest';
import { canonicalJson } from '../../src/audit/canonical-json.ts';
import { hashOf, lineOf, sessionLog } from '../../src/audit/chain.ts';
import { ringKeys } from '../../src/audit/checkpoint.ts';
import { checkpointLine, endLine, headerLine } from '../../src/audit/log-format.ts';
import { type LogLine, readLogLine } from '../../src/audit/log-line.ts';
import { LogVerifier, type Verdict } from '../../src/audit/verifier.ts';
import type { JsonObject } from '../../src/json/small-json.ts';
import type { KeyRing } from '../../src/signing/signing-keys.ts';
import { seeded } from '../simulation/random.ts';
import { chained, exported, NAME, newKeys, signed, verified } from './logs.ts';

const ROWS = 1_000;
const CHECKPOINTS = [300, 700, 1_000];

let keys: KeyRing;
let log: readonly string[];
/** Where row `seq` stands in `log`. */
let at: readonly number[];
const read = new Map<string, LogLine>();

/** As `verified`, and reads a line that it has read before only once. */
async function check(lines: readonly string[]): Promise<Verdict> {
  const verifier = new LogVerifier({ expected: {}, signed: true });
  for (const line of lines) {
    const known = read.get(line) ?? (await readLogLine(line, ringKeys(keys)));
    read.set(line, known);
    verifier.step(known);
  }
  return verifier.verdict();
}

beforeAll(async () => {
  keys = await newKeys();
  log = await exported(keys, { rows: ROWS, checkpointsAt: CHECKPOINTS });
  at = [0, ...log.flatMap((line, index) => (line.includes('"seq":') ? [index] : []))];
});

const lineAt = (seq: number): number => at[seq] ?? -1;
const rowAt = (seq: number): string => log[lineAt(seq)] ?? '';
const EVERY_ROW = Array.from({ length: ROWS }, (_, index) => index + 1);

/** The row with something else in it, its hash as it was or made anew. */
function changed(seq: number, how: { readonly hashedAnew: boolean }): string {
  const { prev, hash, ...body } = JSON.parse(rowAt(seq)) as JsonObject & { prev: string; hash: string };
  const text = canonicalJson({ ...body, cost_micro_usd: 1 });
  return lineOf(text, prev, how.hashedAnew ? hashOf(prev, text) : hash);
}

describe(`a log of ${ROWS} rows`, () => {
  it('is whole', async () => {
    expect(await check(log)).toEqual({
      valid: true,
      name: NAME,
      rows: ROWS,
      checkpoints: CHECKPOINTS.length,
      lastCheckpoint: { seq: 1_000, atMs: expect.any(Number) as number },
      unsignedRows: 0,
      firstBad: null,
    });
  });

  it('names each row that was changed', async () => {
    for (const seq of EVERY_ROW) {
      const { firstBad } = await check(log.with(lineAt(seq), changed(seq, { hashedAnew: false })));
      expect(firstBad).toMatchObject({ line: lineAt(seq) + 1, seq, problem: 'changed' });
    }
  });

  it('names each row that was changed and hashed anew, or the stretch that is no longer the signed one', async () => {
    for (const seq of EVERY_ROW) {
      const { firstBad } = await check(log.with(lineAt(seq), changed(seq, { hashedAnew: true })));
      const first = [0, ...CHECKPOINTS].findLast((signedSeq) => signedSeq < seq) ?? 0;
      if (CHECKPOINTS.includes(seq)) expect(firstBad).toMatchObject({ seq: first + 1, problem: 'rewritten' });
      else expect(firstBad).toMatchObject({ line: lineAt(seq) + 1, seq, problem: 'changed' });
    }
  });

  it('names each row that was dropped', async () => {
    for (const seq of EVERY_ROW) {
      const { firstBad } = await check(log.toSpliced(lineAt(seq), 1));
      expect(firstBad).toMatchObject({ line: lineAt(seq) + 1, seq });
      expect(firstBad?.problem).toBe(CHECKPOINTS.includes(seq) ? 'cut-off' : 'dropped');
    }
  });

  it('names the first of each two rows that were swapped, neighbours or not', async () => {
    const random = seeded(1);
    for (const seq of EVERY_ROW.slice(0, -1)) {
      const others = new Set([seq + 1, seq + 1 + random.below(ROWS - seq)]);
      for (const other of others) {
        const swapped = log.with(lineAt(seq), rowAt(other)).with(lineAt(other), rowAt(seq));
        const { firstBad } = await check(swapped);
        // With a checkpoint between them the rows before it are missing there, and found later.
        expect(firstBad).toMatchObject({ line: lineAt(seq) + 1, seq, problem: 'swapped' });
      }
    }
  });

  it('names each row that stands there twice, next to itself or elsewhere', async () => {
    const random = seeded(2);
    for (const seq of EVERY_ROW) {
      for (const before of [seq + 1, 1 + random.below(ROWS)]) {
        const place = before > ROWS ? lineAt(ROWS) + 1 : lineAt(before);
        const { firstBad } = await check(log.toSpliced(place, 0, rowAt(seq)));
        // Before itself it is the second of both that is one too many; they are the same.
        const extra = before === seq ? place + 1 : place;
        expect(firstBad).toMatchObject({ line: extra + 1, seq, problem: 'inserted' });
      }
    }
  });

  it('names the first row of each end that was cut off before a checkpoint', async () => {
    for (const seq of EVERY_ROW) {
      const checkpoint = CHECKPOINTS.find((signedSeq) => signedSeq >= seq) ?? ROWS;
      const spoiled = log.toSpliced(lineAt(seq), lineAt(checkpoint) + 1 - lineAt(seq));
      expect((await check(spoiled)).firstBad).toMatchObject({ line: lineAt(seq) + 1, seq, problem: 'cut-off' });
    }
  });

  it('names the first row that is missing where the file ends too early, its last checkpoint gone with it', async () => {
    for (const seq of EVERY_ROW) {
      const { firstBad } = await check(log.slice(0, lineAt(seq)));
      expect(firstBad).toMatchObject({ line: lineAt(seq) + 1, seq, problem: 'cut-off' });
    }
  });

  it('with the rows of another log is refused at the first', async () => {
    const { lines } = chained(ROWS, sessionLog('test', 'fusebox~session-2'));
    const forged = log.map((line, index) => (line.includes('"seq":') ? (lines[at.indexOf(index) - 1] ?? line) : line));
    expect((await check(forged)).firstBad).toMatchObject({ line: 2, seq: 1, problem: 'other-log' });
  });

  it('rewritten from a row on is found at the next checkpoint, which names the stretch', async () => {
    const { lines } = chained(ROWS);
    const rows = lines.map((line) => JSON.parse(line) as JsonObject & { prev: string; hash: string });
    for (const seq of [1, 299, 300, 301, 700, 701, 1_000]) {
      const forged = [...log];
      let prev = rows[seq - 1]?.prev ?? '';
      for (let row = seq; row <= ROWS; row += 1) {
        const { prev: _prev, hash: _hash, ...body } = rows[row - 1] ?? { prev: '', hash: '' };
        const text = canonicalJson({ ...body, cost_micro_usd: 1 });
        forged[lineAt(row)] = lineOf(text, prev, hashOf(prev, text));
        prev = hashOf(prev, text);
      }
      const first = (CHECKPOINTS.findLast((signedSeq) => signedSeq < seq) ?? 0) + 1;
      expect((await check(forged)).firstBad).toMatchObject({
        line: lineAt(first) + 1,
        seq: first,
        problem: 'rewritten',
      });
    }
  });
});

describe('a checkpoint', () => {
  it('may come some rows late', async () => {
    const { lines, heads } = chained(5);
    const late = await signed(keys, heads[2] ?? { seq: 0, hash: '' });
    const log = [headerLine(NAME), ...lines, late, endLine('end', 5)];
    const vouched = { checkpoints: 1, lastCheckpoint: { seq: 2 }, unsignedRows: 3 };
    expect(await verified(log, { keys: null })).toMatchObject({ valid: true, ...vouched });
    const firstBad = { line: 4, seq: 3, problem: 'unsigned' };
    expect(await verified(log, { keys })).toMatchObject({ valid: false, ...vouched, firstBad });
    const last = await signed(keys, heads[5] ?? { seq: 0, hash: '' });
    expect(await verified(log.toSpliced(-1, 0, last), { keys })).toMatchObject({ valid: true, checkpoints: 2 });
  });

  it.each([
    ['by another key of the same id', 'checkpoint-forged'],
    ['by a key that nobody knows', 'checkpoint-unknown-key'],
    ['of another session', 'other-log'],
    ['of another deployment', 'other-log'],
    ['that is no JWS', 'checkpoint-forged'],
    ['over other rows', 'rewritten'],
  ])('%s is refused', async (what, problem) => {
    const { lines, heads } = chained(5);
    const [head = { seq: 0, hash: '' }] = heads.slice(-1);
    const others = await newKeys();
    const [kid = ''] = keys.byKid.keys();
    const made: Record<string, () => Promise<string>> = {
      'by another key of the same id': () =>
        signed({ ...others, byKid: new Map(), signer: { ...others.signer, kid } }, head),
      'by a key that nobody knows': () =>
        signed({ ...others, byKid: new Map(), signer: { ...others.signer, kid: 'nobody' } }, head),
      'of another session': () => signed(keys, head, { log: 'session fusebox~session-2' }),
      'of another deployment': () => signed(keys, head, { deployment: 'other' }),
      'that is no JWS': async () => checkpointLine('a.b.c'),
      'over other rows': () => signed(keys, { ...head, hash: '0'.repeat(64) }),
    };
    const bad = (await made[what]?.()) ?? '';
    const { firstBad } = await verified([headerLine(NAME), ...lines, bad, endLine('end', 5)], { keys });
    expect(firstBad).toMatchObject({ problem });
    expect(firstBad?.line).toBe(problem === 'rewritten' ? 2 : 7);
  });

  it('is compared, and its signature left alone, where there are no keys', async () => {
    const { lines, heads } = chained(5);
    const head = heads.at(-1) ?? { seq: 0, hash: '' };
    const by = await signed(await newKeys(), head);
    expect(await verified([headerLine(NAME), ...lines, by, endLine('end', 5)], { keys: null })).toMatchObject({
      valid: true,
    });
    const wrong = await signed(keys, { ...head, hash: '0'.repeat(64) });
    const { firstBad } = await verified([headerLine(NAME), ...lines, wrong, endLine('end', 5)], { keys: null });
    expect(firstBad).toMatchObject({ problem: 'rewritten' });
  });
});

describe('rows that no checkpoint covers', () => {
  it.each([
    ['all of them, hashed anew with the checkpoints left out', [], 1],
    ['those after the last checkpoint', [1, 3], 4],
  ])('%s, are named', async (_what, checkpointsAt, seq) => {
    const log = await exported(keys, { rows: 5, checkpointsAt });
    const line = log.findIndex((text) => text.includes(`"seq":${seq},`)) + 1;
    expect((await verified(log, { keys })).firstBad).toMatchObject({ line, seq, problem: 'unsigned' });
    expect(await verified(log, { keys: null })).toMatchObject({ valid: true, unsignedRows: 6 - seq });
  });

  it('are bad in an archive as well', async () => {
    const log = [...(await exported(keys, { rows: 5, checkpointsAt: [3] })).slice(0, -1), endLine('archive', 5)];
    expect((await verified(log, { keys })).firstBad).toMatchObject({ line: 6, seq: 4, problem: 'unsigned' });
  });

  it('are none where there are no rows, which has to be signed too', async () => {
    const none = [headerLine(NAME), endLine('end', 0)];
    expect((await verified(none, { keys })).firstBad).toMatchObject({ line: 2, seq: null, problem: 'unsigned' });
    const [genesis = { seq: 0, hash: '' }] = chained(0).heads;
    expect(await verified(none.toSpliced(1, 0, await signed(keys, genesis)), { keys })).toMatchObject({ valid: true });
  });
});

describe('a line that cannot be read', () => {
  it.each([
    ['is no JSON', '{"seq":'],
    ['is a list', '[]'],
    ['is empty', ''],
    ['belongs in no log', '{"hello":"world"}'],
    ['has no row number', '{"seq":"one","prev":"","hash":""}'],
    ['has no hash', '{"seq":1}'],
  ])('%s: named with its number', async (_what, line) => {
    const spoiled = [...(await exported(keys, { rows: 3, checkpointsAt: [] }))].toSpliced(2, 0, line);
    const { firstBad } = await verified(spoiled, { keys });
    expect(firstBad).toMatchObject({ line: 3, seq: 2, problem: 'malformed' });
    expect(firstBad?.detail).toMatch(/^The line (is|has) /);
  });

  it('has a member twice, which two readers would read in two ways', async () => {
    const lines = await exported(keys, { rows: 3, checkpointsAt: [3] });
    const twice = (lines[2] ?? '').replace('{', '{"cost_micro_usd":0,');
    expect((await verified(lines.with(2, twice), { keys })).firstBad).toMatchObject({ line: 3, problem: 'malformed' });
  });

  it('is only spelt otherwise, and is the same row', async () => {
    const lines = await exported(keys, { rows: 3, checkpointsAt: [3] });
    const spelt = JSON.stringify(JSON.parse(lines[2] ?? ''), null, 1).replaceAll('\n', ' ');
    expect(await verified(lines.with(2, spelt), { keys })).toMatchObject({ valid: true });
  });
});

describe('the frame of a log', () => {
  it('without its header is refused at the first line', async () => {
    const lines = (await exported(keys, { rows: 3, checkpointsAt: [] })).slice(1);
    expect((await verified(lines, { keys })).firstBad).toMatchObject({ line: 1, problem: 'header-missing' });
  });

  it('of another log than the one expected is refused', async () => {
    const lines = await exported(keys, { rows: 3, checkpointsAt: [] });
    const expected = sessionLog('test', 'fusebox~session-2');
    expect((await verified(lines, { keys, expected })).firstBad).toMatchObject({ line: 1, problem: 'other-log' });
    const byName = await verified(lines, { keys, expected: { log: 'control' } });
    expect(byName).toMatchObject({ name: NAME, firstBad: { line: 1, problem: 'other-log' } });
  });

  it('with another name in its header does not fit its rows', async () => {
    const lines = (await exported(keys, { rows: 3, checkpointsAt: [] })).with(0, headerLine(sessionLog('test', 'x~y')));
    expect((await verified(lines, { keys })).firstBad).toMatchObject({ line: 2, seq: 1, problem: 'other-log' });
  });

  it('with anything after its end is refused', async () => {
    const lines = [...(await exported(keys, { rows: 3, checkpointsAt: [3] })), endLine('end', 3)];
    expect((await verified(lines, { keys })).firstBad).toMatchObject({ line: 7, problem: 'malformed' });
  });
});
