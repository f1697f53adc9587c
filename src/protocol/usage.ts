// Turns the counts of an answer into one form, or rejects them whole: a usage that contradicts itself is no usage.
import { NO_TOKENS, type Counts } from './rate-card.ts';
import type { StatedCounts } from './tally.ts';

/**
 * The counts as stated, null where one of them is no count (NaN) or a part is larger than its whole. Members left out are
 * zero.
 */
export function checkedCounts(stated: Partial<Counts>): StatedCounts {
  const counts: Counts = { ...NO_TOKENS, ...stated };
  for (const count of Object.values(counts)) if (!Number.isSafeInteger(count)) return null;
  if (counts.cacheRead + counts.cacheWrite > counts.input) return null;
  if (counts.cacheWrite5m + counts.cacheWrite1h > counts.cacheWrite) return null;
  if (counts.reasoning > counts.output) return null;
  if (counts.inputAudio + counts.inputImage + counts.inputVideo > counts.input) return null;
  if (counts.outputAudio + counts.outputImage + counts.outputVideo > counts.output) return null;
  return counts;
}
