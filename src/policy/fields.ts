// The kinds of fields that a policy and the control plane's bodies have in common, with messages for people: each is the
// end of a sentence that begins with the key.
import * as z from 'zod';
import { MAX_MICRO_USD } from '../limits.ts';
import { type MicroUsd, parseUsd } from '../money.ts';

const MAX_LIST_MEMBERS = 256;
const MAX_TEXT_CHARS = 512;
/** Beyond this it is no limit. */
export const MAX_REQUESTS_PER_MINUTE = 1_000_000_000;

/** What zod says where a value is wrong; the caller adds where. */
export function says(message: string): { error: (issue: { readonly input?: unknown }) => string } {
  return { error: (issue) => (issue.input === undefined ? 'is missing' : message) };
}

/** USD, as a decimal string or a number, as micro-USD. */
export function money(description: string): z.ZodType<MicroUsd, string | number> {
  const message = 'is not an amount in USD such as "12.34" (at most six decimals, not negative)';
  return z
    .union(
      [z.string().meta({ pattern: '^(0|[1-9]\\d{0,8})(\\.\\d{1,6})?$' }), z.number().min(0, says(message))],
      says(message),
    )
    .transform((written, context): MicroUsd => {
      const amount = parseUsd(written);
      if (amount !== null && amount <= MAX_MICRO_USD) return amount;
      context.addIssue({ code: 'custom', message, input: written });
      return z.NEVER;
    })
    .meta({ description });
}

export function whole(least: number, most: number, description: string): z.ZodNumber {
  const message = `is not a whole number from ${least} to ${most}`;
  return z.int(says(message)).min(least, says(message)).max(most, says(message)).meta({ description });
}

export function fraction(description: string): z.ZodNumber {
  const message = 'is not a number above 0 and below 1';
  return z.number(says(message)).gt(0, says(message)).lt(1, says(message)).meta({ description });
}

export function text(valid: (written: string) => boolean, message: string, description: string): z.ZodString {
  return z.string(says(message)).max(MAX_TEXT_CHARS, says(message)).refine(valid, says(message)).meta({ description });
}

export function choice<const T extends readonly [string, ...string[]]>(values: T, description: string) {
  return z.enum(values, says(`is not one of ${values.join(', ')}`)).meta({ description });
}

export function list<T extends z.ZodType>(member: T, description: string): z.ZodArray<T> {
  return z
    .array(member, says('is not a list'))
    .max(MAX_LIST_MEMBERS, says(`has more than ${MAX_LIST_MEMBERS} members`))
    .meta({ description });
}

export function group<T extends z.ZodRawShape>(shape: T) {
  return z.strictObject(shape, {
    error: (issue) =>
      issue.code === 'unrecognized_keys'
        ? 'is not known'
        : issue.input === undefined
          ? 'is missing'
          : 'is not a mapping',
  });
}
