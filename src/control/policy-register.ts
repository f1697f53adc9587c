// Takes versions of the policy in: decides, keeps, writes it into the log and says that the head has changed. All in one
// synchronous turn, so that two operators at once are one after the other. Validates nothing: the Worker has.
import { digestOf } from '../policy/digest.ts';
import type { DeployedFile, PolicyState, PolicyVersion, SetPolicy } from '../rpc/policy-rpc.ts';
import { newsOf, stateOf } from './policy-history.ts';
import type { LogStore } from './log-store.ts';
import type { PolicyStore } from './policy-store.ts';

interface PolicyRegisterParts {
  readonly store: PolicyStore;
  readonly log: LogStore;
  /** Moves the epoch and publishes the head. */
  readonly changed: () => void;
}

export class PolicyRegister {
  readonly #parts: PolicyRegisterParts;

  constructor(parts: PolicyRegisterParts) {
    this.#parts = parts;
  }

  state(): PolicyState {
    return stateOf(this.#parts.store.history());
  }

  /** Newest first. */
  versions(): readonly PolicyVersion[] {
    return this.#parts.store.history().toSorted((a, b) => b.atMs - a.atMs);
  }

  text(digest: string): string | null {
    return this.#parts.store.text(digest);
  }

  /** For the head: the run-time version in force; null for the file deployed. */
  runTimeDigest(): string | null {
    const { newest } = this.state();
    return newest?.kind === 'run-time' ? newest.digest : null;
  }

  /** For the head: the file last deployed, once all of it is known here. A Worker that finds its own has nothing to tell. */
  deployedDigest(): string | null {
    const digest = this.state().deployed?.digest ?? null;
    return digest !== null && this.#parts.store.text(digest) !== null ? digest : null;
  }

  /** Puts a version in force, or lets the one in force go. What holds already is not written down again. */
  set({ text, deployed, act }: SetPolicy, nowMs: number): PolicyState {
    const { store, log, changed } = this.#parts;
    this.deployed(deployed, nowMs);
    const before = this.runTimeDigest();
    const digest = text === null ? null : digestOf(text);
    if (before === digest) return this.state();
    if (digest !== null && text !== null) store.keepText(digest, text);
    const { by, owner = null, reason } = act;
    const kind = digest === null ? 'let-go' : 'run-time';
    // Never before what it follows, should the clock have gone back meanwhile.
    const atMs = Math.max(nowMs, this.state().newest?.atMs ?? 0);
    store.add({ kind, digest: digest ?? deployed.digest, atMs, by, owner, reason });
    log.append({ event: `policy.${kind}`, digest: digest ?? deployed.digest, replaced: before, ...act }, nowMs);
    changed();
    return this.state();
  }

  /** Takes down which file a Worker was deployed with; whether its text is wanted. */
  deployed(file: DeployedFile, nowMs: number): boolean {
    const { store, log, changed } = this.#parts;
    const atMs = newsOf(store.history(), file, nowMs);
    if (atMs !== null) {
      const before = this.runTimeDigest();
      const version = {
        kind: 'deploy',
        digest: file.digest,
        atMs,
        by: 'deploy',
        owner: null,
        reason: 'deployed',
      } as const;
      store.add(version);
      const after = this.runTimeDigest();
      log.append(
        { event: 'policy.deploy', digest: file.digest, ended: after === before ? null : before, stands: after },
        nowMs,
      );
      changed();
    }
    const isNamed = store.history().some(({ digest }) => digest === file.digest);
    return isNamed && store.text(file.digest) === null;
  }

  /** Keeps the text of a deployed file that the history names. */
  keep(text: string): void {
    const { store, changed } = this.#parts;
    const digest = digestOf(text);
    if (!store.history().some((version) => version.digest === digest)) return;
    store.keepText(digest, text);
    changed();
  }
}
