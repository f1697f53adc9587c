// Which policy holds, given everything that happened to it. Pure: the rule that deploys and operators' versions go by.
import type { DeployedFile, PolicyState, PolicyVersion } from '../rpc/policy-rpc.ts';

/**
 * The newest event holds, a deploy by the time at which it was made, not at which it was heard of. So a deploy with a
 * changed file ends an older run-time version, and a run-time version that is newer stands. `history` in the order in
 * which it was written down; of two at the same time the later one counts.
 */
export function stateOf(history: readonly PolicyVersion[]): PolicyState {
  return {
    newest: newestOf(history),
    deployed: newestOf(history.filter(({ kind }) => kind === 'deploy')),
  };
}

/**
 * When the file that a Worker names was deployed, if that is news; null if it is not. For some minutes of a deploy older
 * Workers still start: one that was deployed before the file we know of changes nothing. Where the platform does not say
 * when, a file that was deployed once before is taken for such a Worker, and any other is news.
 */
export function newsOf(history: readonly PolicyVersion[], file: DeployedFile, nowMs: number): number | null {
  const { deployed } = stateOf(history);
  if (deployed?.digest === file.digest) return null;
  if (file.deployedAtMs === null) {
    const isKnown = history.some(({ kind, digest }) => kind === 'deploy' && digest === file.digest);
    return isKnown ? null : nowMs;
  }
  // No deploy is in the future, whatever a clock says: it would outlive every operator's version.
  const atMs = Math.min(file.deployedAtMs, nowMs);
  return deployed === null || atMs > deployed.atMs ? atMs : null;
}

/** Which of the events can be forgotten: the oldest beyond `most`, but never one that decides. */
export function forgettable<V extends PolicyVersion>(history: readonly V[], most: number): readonly V[] {
  const { newest, deployed } = stateOf(history);
  return history
    .slice(0, Math.max(0, history.length - most))
    .filter((version) => version !== newest && version !== deployed);
}

function newestOf(history: readonly PolicyVersion[]): PolicyVersion | null {
  let newest: PolicyVersion | null = null;
  for (const version of history) if (newest === null || version.atMs >= newest.atMs) newest = version;
  return newest;
}
