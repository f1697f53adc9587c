// What crosses between the Worker and the control object about versions of the policy. Types only.
import type { Act } from './session-rpc.ts';

/** One event in the life of the policy: a deployed file, a version put at run time, or a return to the deployed file. */
export interface PolicyVersion {
  readonly kind: 'deploy' | 'run-time' | 'let-go';
  /** Hex SHA-256 of its text; of a return, that of the file deployed then. */
  readonly digest: string;
  /** Of a deploy, when it was deployed, as far as that is known. */
  readonly atMs: number;
  readonly by: string;
  /** The person behind `by`; null for a deploy. */
  readonly owner: string | null;
  readonly reason: string;
}

/** What holds. */
export interface PolicyState {
  /** The newest event: where it is a `run-time` one, that version is in force everywhere, else the file deployed. */
  readonly newest: PolicyVersion | null;
  /** The newest file that was deployed, as far as it was heard of. */
  readonly deployed: PolicyVersion | null;
}

/** The file that a Worker was deployed with. */
export interface DeployedFile {
  readonly digest: string;
  /** When its version was uploaded, where the platform says so; null locally. */
  readonly deployedAtMs: number | null;
}

export interface SetPolicy {
  /** The YAML text of a version, which the Worker has validated; null: let the run-time version go. */
  readonly text: string | null;
  readonly deployed: DeployedFile;
  readonly act: Act;
}

/** The part of the control object that keeps versions of the policy. */
export interface PolicyRpc {
  policyState(): Promise<PolicyState>;
  /** Newest first. */
  policyVersions(): Promise<readonly PolicyVersion[]>;
  /** The text of a version that is kept. */
  policyText(digest: string): Promise<string | null>;
  setPolicy(request: SetPolicy): Promise<PolicyState>;
  /** What a Worker says of itself when it starts. `wanted`: its file's text is not kept yet. Idempotent. */
  policyDeployed(file: DeployedFile): Promise<{ readonly wanted: boolean }>;
  /** Keeps the text of a deployed file that was wanted. */
  keepDeployedPolicy(text: string): Promise<void>;
}
