// Anthropic's usage objects: input beside cache reads and writes, and passes of other models listed as iterations.
import { objectOf, objectsOf, statedCount, textOf } from '../fields.ts';
import type { Counts } from '../rate-card.ts';
import type { JsonObject } from '../../json/body-json.ts';
import type { StatedCounts } from '../tally.ts';
import { checkedCounts } from '../usage.ts';

/** The counts of a message, null where they are none. */
export function messageCounts(usage: JsonObject): StatedCounts {
  if (usage['input_tokens'] === undefined || usage['output_tokens'] === undefined) return null;
  const written = objectOf(usage['cache_creation']);
  const cacheRead = statedCount(usage, 'cache_read_input_tokens');
  const cacheWrite = statedCount(usage, 'cache_creation_input_tokens');
  return checkedCounts({
    input: statedCount(usage, 'input_tokens') + cacheRead + cacheWrite,
    cacheRead,
    cacheWrite,
    cacheWrite5m: statedCount(written, 'ephemeral_5m_input_tokens'),
    cacheWrite1h: statedCount(written, 'ephemeral_1h_input_tokens'),
    output: statedCount(usage, 'output_tokens'),
    reasoning: statedCount(objectOf(usage['output_tokens_details']), 'thinking_tokens'),
  });
}

export interface OtherPass {
  /** Null where it is the request's own model. */
  readonly model: string | null;
  readonly counts: Counts;
}

/** Passes that the totals of `usage` leave out: an adviser's, a compaction's. Null where one of them is malformed. */
export function otherPasses(usage: JsonObject): readonly OtherPass[] | null {
  const passes: OtherPass[] = [];
  let all = 0;
  for (const iteration of objectsOf(usage['iterations'])) {
    const counts = messageCounts(iteration);
    if (counts === null) return null;
    all += counts.input + counts.output;
    if (iteration['type'] !== 'message') passes.push({ model: textOf(iteration['model']), counts });
  }
  const total = messageCounts(usage);
  // Totals that already include every pass leave nothing out.
  return total !== null && all === total.input + total.output ? [] : passes;
}
