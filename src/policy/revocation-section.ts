// The policy's section `revocation`: how fresh what an isolate knows of revocations and kill switches is kept. Pure.
import type * as z from 'zod';
import {
  MAX_REVOCATION_AGE_SECONDS,
  MAX_REVOCATION_REFRESH_SECONDS,
  REVOCATION_MAX_AGE_SECONDS,
  REVOCATION_REFRESH_SECONDS,
} from '../limits.ts';
import { group, whole } from './fields.ts';
import type { RevocationPolicy } from './policy.ts';
import type { Report } from './yaml-source.ts';

export const revocationSection = group({
  refresh_seconds: whole(
    1,
    MAX_REVOCATION_REFRESH_SECONDS,
    'How often each isolate asks for revocations and kill switches: the time that these take to work everywhere.',
  ).default(REVOCATION_REFRESH_SECONDS),
  max_age_seconds: whole(
    2,
    MAX_REVOCATION_AGE_SECONDS,
    'How old that knowledge may be; an isolate that cannot hear anything newer refuses. More than refresh_seconds.',
  ).default(REVOCATION_MAX_AGE_SECONDS),
});

const DEFAULT_REVOCATION: RevocationPolicy = {
  refreshMs: REVOCATION_REFRESH_SECONDS * 1_000,
  maxAgeMs: REVOCATION_MAX_AGE_SECONDS * 1_000,
};

export function readRevocationSection(
  section: z.output<typeof revocationSection> | undefined,
  report: Report,
): RevocationPolicy {
  if (section === undefined) return DEFAULT_REVOCATION;
  const { refresh_seconds: refreshSeconds, max_age_seconds: maxAgeSeconds } = section;
  if (refreshSeconds >= maxAgeSeconds)
    report(['revocation', 'refresh_seconds'], `is not less than max_age_seconds (${maxAgeSeconds})`);
  return { refreshMs: refreshSeconds * 1_000, maxAgeMs: maxAgeSeconds * 1_000 };
}
