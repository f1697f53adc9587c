import { env } from 'cloudflare:workers';
import { runInDurableObject } from 'cloudflare:test';
import { v7 as uuidv7 } from 'uuid';
import { expect, it } from 'vitest';
import { microUsd } from '../../src/money.ts';
import type { LedgerEntry } from '../../src/rpc/session-rpc.ts';
import { commit } from '../../src/session/ledger-commit.ts';
import { imageOf } from '../../src/session/session.ts';
import type { SessionObject } from '../../src/session/session-object.ts';
import { SessionStore } from '../../src/session/session-store.ts';
import { NOW_MS, givenSession } from './given.ts';

const MINUTE_MS = 60_000;

/** A request of that age, as its entry tells; ids carry the time as the Worker's do. */
function opened(agoMs: number): LedgerEntry {
  return {
    id: uuidv7({ msecs: NOW_MS - agoMs }),
    atMs: NOW_MS - agoMs,
    route: 'r',
    protocol: 'openai',
    model: 'm',
    action: 'a',
    state: 'settled',
    holdMicroUsd: microUsd(1),
    holdTokens: 1,
    costMicroUsd: microUsd(1),
    costTokens: 1,
    usage: null,
    estimated: false,
    reason: 'completed',
  };
}

/** A store in which each write carried one of these entries, a second after the one before. */
async function stored<T>(name: string, entries: readonly LedgerEntry[], ask: (store: SessionStore) => T): Promise<T> {
  const { SESSION } = env as { SESSION: DurableObjectNamespace<SessionObject> };
  return runInDurableObject(SESSION.getByName(name), (_object, state) => {
    const session = givenSession();
    const store = new SessionStore(state.storage);
    for (const [index, entry] of entries.entries()) {
      const { image } = commit(session.ledger, { gated: true }, NOW_MS);
      store.writeNow({
        atMs: NOW_MS + index * 1_000,
        image: imageOf(session, image),
        entries: [entry],
        lines: [],
        keys: new Map(),
      });
    }
    return ask(store);
  });
}

it('finds an ended request behind those that had begun long before it and ended after it', async () => {
  const request = opened(1_000);
  const found = await stored('behind', [request, opened(10 * MINUTE_MS)], (store) => store.findEntries(request.id));
  expect(found).toEqual([request]);
});

it('keeps more lines of the log than one value may have, and pages them in their order', async () => {
  const lines = Array.from({ length: 5_000 }, (_, index) => `${index} ${'x'.repeat(500)}`);
  const { SESSION } = env as { SESSION: DurableObjectNamespace<SessionObject> };
  await runInDurableObject(SESSION.getByName('many-lines'), (_object, state) => {
    const session = givenSession();
    const store = new SessionStore(state.storage);
    const { image } = commit(session.ledger, { gated: true }, NOW_MS);
    const entries = [opened(1_000), opened(2_000)];
    store.writeNow({ atMs: NOW_MS, image: imageOf(session, image), entries, lines, keys: new Map() });
    expect([...store.logLines()]).toEqual(lines);
    expect([...store.entries()]).toEqual(entries);
    const first = store.logPage({ cursor: null, limit: 1 });
    expect(first.lines.length).toBeLessThan(lines.length);
    expect(first.nextCursor).not.toBeNull();
    store.dropAll();
    expect([...store.logLines()]).toEqual([]);
  });
});
