// OpenAI's usage objects: chat completions and embeddings count prompt and completion, responses input and output.
import { objectOf, statedCount } from '../fields.ts';
import type { JsonObject } from '../../json/body-json.ts';
import type { StatedCounts } from '../tally.ts';
import { checkedCounts } from '../usage.ts';

/** `usage` of a chat completion. */
export function chatCounts(usage: JsonObject): StatedCounts {
  const input = objectOf(usage['prompt_tokens_details']);
  const output = objectOf(usage['completion_tokens_details']);
  if (usage['prompt_tokens'] === undefined || usage['completion_tokens'] === undefined) return null;
  return checkedCounts({
    input: statedCount(usage, 'prompt_tokens'),
    cacheRead: statedCount(input, 'cached_tokens'),
    cacheWrite: statedCount(input, 'cache_write_tokens'),
    inputAudio: statedCount(input, 'audio_tokens'),
    output: statedCount(usage, 'completion_tokens'),
    reasoning: statedCount(output, 'reasoning_tokens'),
    outputAudio: statedCount(output, 'audio_tokens'),
  });
}

/** `usage` of a response or a compaction. */
export function responseCounts(usage: JsonObject): StatedCounts {
  const input = objectOf(usage['input_tokens_details']);
  const output = objectOf(usage['output_tokens_details']);
  if (usage['input_tokens'] === undefined || usage['output_tokens'] === undefined) return null;
  return checkedCounts({
    input: statedCount(usage, 'input_tokens'),
    cacheRead: statedCount(input, 'cached_tokens'),
    cacheWrite: statedCount(input, 'cache_write_tokens'),
    inputAudio: statedCount(input, 'audio_tokens'),
    output: statedCount(usage, 'output_tokens'),
    reasoning: statedCount(output, 'reasoning_tokens'),
    outputAudio: statedCount(output, 'audio_tokens'),
  });
}

/** `usage` of embeddings, which have no output. */
export function embeddingCounts(usage: JsonObject): StatedCounts {
  if (usage['prompt_tokens'] === undefined) return null;
  return checkedCounts({ input: statedCount(usage, 'prompt_tokens') });
}
