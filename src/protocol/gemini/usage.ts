// Gemini's usageMetadata: prompt, candidates and thoughts, each with its modalities, and what tools read beside them.
import { objectsOf, statedCount } from '../fields.ts';
import type { JsonObject } from '../../json/body-json.ts';
import type { StatedCounts } from '../tally.ts';
import { checkedCounts } from '../usage.ts';

/** The counts of a chunk or an answer, null where they are none. */
export function geminiCounts(usage: JsonObject): StatedCounts {
  const prompt = modalities(usage['promptTokensDetails']);
  const cached = modalities(usage['cacheTokensDetails']);
  const candidates = modalities(usage['candidatesTokensDetails']);
  const thoughts = statedCount(usage, 'thoughtsTokenCount');
  return checkedCounts({
    input: statedCount(usage, 'promptTokenCount'),
    cacheRead: statedCount(usage, 'cachedContentTokenCount'),
    inputAudio: prompt.audio,
    inputImage: prompt.image,
    inputVideo: prompt.video,
    cacheReadAudio: cached.audio,
    cacheReadImage: cached.image,
    cacheReadVideo: cached.video,
    output: statedCount(usage, 'candidatesTokenCount') + thoughts,
    reasoning: thoughts,
    outputAudio: candidates.audio,
    outputImage: candidates.image,
    outputVideo: candidates.video,
  });
}

function modalities(details: unknown): { readonly audio: number; readonly image: number; readonly video: number } {
  let [audio, image, video] = [0, 0, 0];
  for (const detail of objectsOf(details)) {
    const tokens = statedCount(detail, 'tokenCount');
    const modality = detail['modality'];
    if (modality === 'AUDIO') audio += tokens;
    else if (modality === 'IMAGE' || modality === 'DOCUMENT') image += tokens;
    else if (modality === 'VIDEO') video += tokens;
  }
  return { audio, image, video };
}
