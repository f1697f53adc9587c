// Times as JSON shows them. Formats what it is given; it is no clock.

/** RFC 3339 in UTC with milliseconds. */
export function timestamp(atMs: number): string {
  return new Date(atMs).toISOString();
}
