// Rules of the code that no linter knows: where the ledger's rules 7 and 10 are kept, and what the repository may say.
import { readFileSync, readdirSync } from 'node:fs';
import { join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const SOURCE = join(import.meta.dirname, '../src');
const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' })
  .filter((name) => name.endsWith('.ts'))
  .map((name) => ({ name: relative('.', name), text: readFileSync(join(SOURCE, name), 'utf8') }));
const sessionObject = files.find(({ name }) => name.endsWith('session-object.ts'))?.text ?? '';

/** The body of a method of the session object. */
function methodOf(signature: string): string {
  const start = sessionObject.indexOf(signature);
  const end = sessionObject.indexOf('\n  }\n', start);
  if (start < 0 || end < 0) throw new Error(`the session object has no "${signature}"`);
  return sessionObject.slice(start, end);
}

describe('the code', () => {
  it('sets the alarm in gated writes and in the alarm itself, never on the memory path (rule 7)', () => {
    const setting = files.filter(({ text }) => text.includes('setAlarm(')).map(({ name }) => name);
    expect(setting.toSorted()).toEqual([
      'agent/agent-object.ts',
      'control/control-object.ts',
      'session/session-object.ts',
    ]);
    expect(sessionObject.split('setAlarm(')).toHaveLength(2);
    expect(methodOf('#arm(session: Session)')).toContain('setAlarm(');
    expect(sessionObject.split('this.#arm(')).toHaveLength(4);
    expect(methodOf('constructor(ctx')).toContain('this.#arm(');
    expect(methodOf('#writeNow(session: Session)')).toContain('this.#arm(');
    expect(methodOf('override async alarm')).toContain('this.#arm(');
  });

  it.each(['async admit(', 'async extend(', 'async watch(', 'async settle(', 'async void('])(
    '%s changes the ledger before anything is awaited (rule 10)',
    (signature) => {
      const body = methodOf(signature);
      const decided = body.indexOf('this.#reply(');
      expect(decided).toBeGreaterThan(0);
      expect(body.slice(0, decided)).not.toMatch(/\bawait\b/);
    },
  );

  it('decides without a platform: no clock, no randomness, no storage outside of objects, stores and clients', () => {
    const shells = /-(?:object|store|client)\.ts$|^(?:app|config|index)\.ts$/;
    const touching = files.filter(
      ({ name, text }) =>
        !shells.test(name) && /\bDate\.now\(|Math\.random\(|cloudflare:workers|ctx\.storage/.test(text),
    );
    expect(touching.map(({ name }) => name)).toEqual([]);
  });

  it('opens every file with a sentence on its job', () => {
    expect(files.filter(({ text }) => !text.startsWith('// ')).map(({ name }) => name)).toEqual([]);
  });
});
