import { env } from 'cloudflare:workers';
import { runInDurableObject } from 'cloudflare:test';
import { expect, it } from 'vitest';
import { controlLog } from '../../src/audit/chain.ts';
import { endLine, headerLine } from '../../src/audit/log-format.ts';
import type { ControlObject } from '../../src/control/control-object.ts';
import { LogStore } from '../../src/control/log-store.ts';
import type { KeyRing } from '../../src/signing/signing-keys.ts';
import { newKeys, verified } from '../audit/logs.ts';

const NOW_MS = 1_800_000_000_000;
const NAME = controlLog('test');

async function withStorage<T>(use: (storage: DurableObjectStorage) => T | Promise<T>): Promise<T> {
  const { CONTROL } = env as { CONTROL: DurableObjectNamespace<ControlObject> };
  return runInDurableObject(CONTROL.get(CONTROL.newUniqueId()), (_object, state) => use(state.storage));
}

async function verdictOf(log: LogStore, keys: KeyRing) {
  const { lines } = log.page({ cursor: null, limit: 10_000 });
  const rows = lines.filter((line) => line.includes('"seq":')).length;
  return verified([headerLine(log.name), ...lines, endLine('end', rows)], { keys, expected: log.name });
}

it('chains its rows, and signs them when it is asked to, once', async () => {
  const keys = await newKeys();
  await withStorage(async (storage) => {
    const log = new LogStore(storage, NAME);
    for (let row = 0; row < 5; row += 1) log.append({ event: 'switch.pulled', row }, NOW_MS + row);
    await log.sign(keys, NOW_MS);
    await log.sign(keys, NOW_MS);
    log.append({ event: 'switch.lifted' }, NOW_MS);
    const { firstBad, ...verdict } = await verdictOf(log, keys);
    expect(verdict).toMatchObject({ rows: 6, checkpoints: 1, unsignedRows: 1 });
    expect(firstBad).toMatchObject({ seq: 6, problem: 'unsigned' });
  });
});

it('says how far it is signed, and with what; of no rows, that there are none', async () => {
  const keys = await newKeys();
  await withStorage(async (storage) => {
    const log = new LogStore(storage, NAME);
    const none = await log.vouch(keys, NOW_MS);
    expect(none.seq).toBe(0);
    const empty = [headerLine(NAME), none.line, endLine('end', 0)];
    expect(await verified(empty, { keys, expected: NAME })).toMatchObject({ valid: true });
    for (const row of [1, 2]) log.append({ event: 'row', row }, NOW_MS);
    const { seq, line } = await log.vouch(keys, NOW_MS);
    expect(seq).toBe(2);
    expect(log.page({ cursor: null, limit: 10 }).lines).toHaveLength(3);
    expect(log.page({ cursor: null, limit: 10 }).lines.at(-1)).toBe(line);
    expect(await log.vouch(keys, NOW_MS + 1)).toEqual({ seq, line });
  });
});

it('takes a row back with the turn that failed, and does not fork', async () => {
  const keys = await newKeys();
  await withStorage(async (storage) => {
    const log = new LogStore(storage, NAME);
    log.append({ event: 'one' }, NOW_MS);
    const failing = (): void =>
      storage.transactionSync(() => {
        log.append({ event: 'never' }, NOW_MS);
        throw new Error('not after all');
      });
    expect(failing).toThrow('not after all');
    log.append({ event: 'two' }, NOW_MS);
    const { lines } = log.page({ cursor: null, limit: 10 });
    expect(lines.map((line) => (JSON.parse(line) as { event: string }).event)).toEqual(['one', 'two']);
    await log.sign(keys, NOW_MS);
    expect(await verdictOf(log, keys)).toMatchObject({ valid: true });
  });
});

it('pages without losing or repeating a line, checkpoints after their rows', async () => {
  const keys = await newKeys();
  await withStorage(async (storage) => {
    const log = new LogStore(storage, NAME);
    for (let row = 0; row < 10; row += 1) {
      log.append({ event: 'row', row }, NOW_MS);
      if (row % 4 === 3) await log.sign(keys, NOW_MS);
    }
    const all = log.page({ cursor: null, limit: 1_000 }).lines;
    const seen: string[] = [];
    let cursor: string | null = null;
    do {
      const page: ReturnType<LogStore['page']> = log.page({ cursor, limit: 4 });
      seen.push(...page.lines);
      cursor = page.nextCursor;
    } while (cursor !== null);
    expect(seen).toEqual(all);
    expect(all).toHaveLength(12);
  });
});

it('stays the log it was when its deployment is called otherwise', async () => {
  const keys = await newKeys();
  await withStorage(async (storage) => {
    new LogStore(storage, NAME).append({ event: 'one' }, NOW_MS);
    const renamed = new LogStore(storage, controlLog('another'));
    renamed.append({ event: 'two' }, NOW_MS);
    await renamed.sign(keys, NOW_MS);
    expect(renamed.name).toEqual(NAME);
    expect(await verdictOf(renamed, keys)).toMatchObject({ valid: true, rows: 2 });
  });
});

it('wakes whoever signs with the first row after a signature, and not with each', async () => {
  const keys = await newKeys();
  await withStorage(async (storage) => {
    let woken = 0;
    const log = new LogStore(storage, NAME, () => (woken += 1));
    for (let row = 0; row < 3; row += 1) log.append({ event: 'row' }, NOW_MS);
    expect(woken).toBe(1);
    await log.sign(keys, NOW_MS);
    log.append({ event: 'row' }, NOW_MS);
    expect(woken).toBe(2);
  });
});
