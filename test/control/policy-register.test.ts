import { env } from 'cloudflare:workers';
import { runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { controlLog } from '../../src/audit/chain.ts';
import type { ControlObject } from '../../src/control/control-object.ts';
import { LogStore } from '../../src/control/log-store.ts';
import { PolicyRegister } from '../../src/control/policy-register.ts';
import { PolicyStore } from '../../src/control/policy-store.ts';
import { MAX_POLICY_VERSIONS } from '../../src/limits.ts';
import { digestOf } from '../../src/policy/digest.ts';
import { NOW_MS } from '../support/credentials.ts';

const { CONTROL } = env as unknown as { CONTROL: DurableObjectNamespace<ControlObject> };
const F1 = { digest: digestOf('file 1'), deployedAtMs: NOW_MS - 1_000 };
const F2 = { digest: digestOf('file 2'), deployedAtMs: NOW_MS + 2_000 };
const ACT = { by: 'ann-1', owner: 'ann', reason: 'a test' };

interface Register {
  readonly register: PolicyRegister;
  /** A second one over the same disk: what a restart would find. */
  readonly reloaded: () => PolicyRegister;
  /** How often the head changed: it names the file deployed as well. */
  readonly changes: () => number;
  readonly logged: () => readonly Readonly<Record<string, unknown>>[];
}

/** Runs with a register on the storage of an object of its own. */
async function withRegister(test: (world: Register) => void): Promise<void> {
  const stub = CONTROL.get(CONTROL.newUniqueId());
  await runInDurableObject(stub, (_object, { storage }) => {
    let changes = 0;
    const make = (): PolicyRegister =>
      new PolicyRegister({
        store: new PolicyStore(storage),
        log: new LogStore(storage, controlLog('test')),
        changed: () => {
          changes += 1;
        },
      });
    test({
      register: make(),
      reloaded: make,
      changes: () => changes,
      logged: () =>
        storage.sql
          .exec<{ line: string }>('SELECT line FROM audit_rows ORDER BY seq')
          .toArray()
          .map(({ line }) => JSON.parse(line) as Record<string, unknown>),
    });
  });
}

describe('the register of policies', () => {
  it("puts an operator's version in force and lets it go, and says who and why", () =>
    withRegister(({ register, reloaded, changes, logged }) => {
      register.set({ text: 'run 1', deployed: F1, act: ACT }, NOW_MS);
      expect(reloaded().runTimeDigest()).toBe(digestOf('run 1'));
      expect(reloaded().text(digestOf('run 1'))).toBe('run 1');
      register.set({ text: null, deployed: F1, act: { ...ACT, reason: 'enough' } }, NOW_MS + 1);
      expect(reloaded().runTimeDigest()).toBeNull();
      expect(register.versions()).toMatchObject([
        { kind: 'let-go', digest: F1.digest, by: 'ann-1', owner: 'ann', reason: 'enough' },
        { kind: 'run-time', digest: digestOf('run 1'), by: 'ann-1', owner: 'ann', reason: 'a test' },
        { kind: 'deploy', digest: F1.digest, atMs: F1.deployedAtMs, by: 'deploy', owner: null },
      ]);
      expect(changes()).toBe(3);
      expect(logged()).toMatchObject([
        { event: 'policy.deploy', digest: F1.digest, ended: null, stands: null },
        { event: 'policy.run-time', digest: digestOf('run 1'), replaced: null, ...ACT },
        { event: 'policy.let-go', digest: F1.digest, replaced: digestOf('run 1'), by: 'ann-1', reason: 'enough' },
      ]);
    }));

  it('writes nothing down where what is asked for holds already', () =>
    withRegister(({ register, changes }) => {
      register.set({ text: null, deployed: F1, act: ACT }, NOW_MS);
      register.set({ text: 'run 1', deployed: F1, act: ACT }, NOW_MS);
      register.set({ text: 'run 1', deployed: F1, act: { ...ACT, by: 'bob-1' } }, NOW_MS + 1);
      expect(register.versions().map(({ kind, by }) => `${kind} ${by}`)).toEqual(['run-time ann-1', 'deploy deploy']);
      expect(changes()).toBe(2);
    }));

  it('ends a version by the deploy of a changed file that is newer, and says so', () =>
    withRegister(({ register, changes, logged }) => {
      register.set({ text: 'run 1', deployed: F1, act: ACT }, NOW_MS);
      register.deployed(F2, NOW_MS + 3_000);
      expect(register.runTimeDigest()).toBeNull();
      expect(changes()).toBe(3);
      expect(logged().at(-1)).toMatchObject({ event: 'policy.deploy', ended: digestOf('run 1'), stands: null });
    }));

  it('keeps a version that is newer than the deploy of a changed file', () =>
    withRegister(({ register, changes, logged }) => {
      register.set({ text: 'run 1', deployed: F1, act: ACT }, NOW_MS + 5_000);
      register.deployed(F2, NOW_MS + 6_000);
      expect(register.runTimeDigest()).toBe(digestOf('run 1'));
      expect(register.state().deployed?.digest).toBe(F2.digest);
      expect(changes()).toBe(3);
      expect(logged().at(-1)).toMatchObject({ event: 'policy.deploy', ended: null, stands: digestOf('run 1') });
    }));

  it('is not moved by Workers of an older deploy that start late', () =>
    withRegister(({ register, logged }) => {
      register.deployed(F1, NOW_MS);
      register.deployed(F2, NOW_MS + 3_000);
      register.deployed(F1, NOW_MS + 4_000);
      expect(register.state().deployed?.digest).toBe(F2.digest);
      expect(logged().length).toBe(2);
    }));

  it('asks for the text of a deployed file once, and takes no other', () =>
    withRegister(({ register }) => {
      expect(register.deployed(F1, NOW_MS)).toBe(true);
      register.keep('something else');
      expect(register.text(digestOf('something else'))).toBeNull();
      register.keep('file 1');
      expect(register.deployed(F1, NOW_MS)).toBe(false);
      expect(register.text(F1.digest)).toBe('file 1');
    }));

  it('forgets the oldest beyond the bound, texts included, and never what holds', () =>
    withRegister(({ register }) => {
      for (let run = 0; run < MAX_POLICY_VERSIONS + 10; run += 1)
        register.set({ text: `run ${run}`, deployed: F1, act: ACT }, NOW_MS + run);
      expect(register.versions().length).toBe(MAX_POLICY_VERSIONS + 1);
      expect(register.text(digestOf('run 0'))).toBeNull();
      expect(register.text(digestOf(`run ${MAX_POLICY_VERSIONS + 9}`))).not.toBeNull();
      expect(register.state().deployed?.digest).toBe(F1.digest);
    }));

  it('keeps its order although the clock goes back', () =>
    withRegister(({ register }) => {
      register.set({ text: 'run 1', deployed: F1, act: ACT }, NOW_MS);
      register.set({ text: 'run 2', deployed: F1, act: ACT }, NOW_MS - 60_000);
      expect(register.runTimeDigest()).toBe(digestOf('run 2'));
    }));
});
