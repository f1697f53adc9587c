// What has to hold of a session's log whatever crashed: one unbroken chain, which tells of every charge.
import { canonicalJson } from '../../src/audit/canonical-json.ts';
import { type AuditEntry, genesis, hashOf } from '../../src/audit/chain.ts';
import type { Session } from '../../src/session/session.ts';

/** `lines` are those on disk, of a session that has nothing pending. Throws where they are not what they have to be. */
export function checkLog(lines: readonly string[], { trail, ledger }: Session): void {
  let head = genesis(trail.name);
  let charged = 0;
  for (const line of lines) {
    const { prev, hash, ...body } = JSON.parse(line) as AuditEntry & { seq: number; prev: string; hash: string };
    if (body.seq !== head.seq + 1 || prev !== head.hash || hashOf(prev, canonicalJson(body)) !== hash)
      throw new Error(`row ${head.seq + 1} of the log does not follow on the one before`);
    head = { seq: body.seq, hash };
    charged += Number(body['cost_micro_usd'] ?? 0);
  }
  if (head.seq !== trail.head.seq) throw new Error(`the log has ${head.seq} rows, memory says ${trail.head.seq}`);
  if (charged !== ledger.settled.microUsd)
    throw new Error(`the log tells of ${charged} micro-USD, settled are ${ledger.settled.microUsd}`);
}
