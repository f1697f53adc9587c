// What the head carries besides the revocation list, as whoever keeps it gives it.
import type { KillSwitch } from '../rpc/kill-switch.ts';
import type { DrillRecord } from '../snapshot/head.ts';

/** Each is asked whenever a head is made, synchronously, and says what holds at that moment. */
export interface HeadParts {
  /** Together at most MAX_SWITCHES_BYTES of JSON, the global ones not counted. */
  switches(nowMs: number): readonly KillSwitch[];
  /** At most MAX_REVOKED_AGENTS, by their ids. */
  agents(nowMs: number): readonly { readonly agent: string; readonly beforeMs: number; readonly untilMs: number }[];
  /** Hex SHA-256 of the run-time policy in force; null for the one deployed. */
  policy(): string | null;
  /** The text of a run-time policy; null when there is none of that digest. */
  policyText(digest: string): string | null;
  /** Hex SHA-256 of the policy file last deployed; null while it is not known. */
  deployed(): string | null;
  drill(): DrillRecord;
}
