// Times as JSON shows them and takes them. Formats and reads what it is given; it is no clock.

// RFC 3339 section 5.6, with a capital T and Z. A leap second has no milliseconds since 1970 of its own, so it is refused.
const RFC3339 =
  /^(\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01]))T((?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d)(?:\.\d{1,9})?(?:Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)$/;

/** RFC 3339 in UTC with milliseconds. */
export function timestamp(atMs: number): string {
  return new Date(atMs).toISOString();
}

/** Milliseconds since 1970 of an RFC 3339 time; null for what is none, days that no month has among them. */
export function readTimestamp(text: string): number | null {
  const match = RFC3339.exec(text);
  if (match === null) return null;
  const [, date, time] = match;
  const local = new Date(`${date}T${time}Z`);
  // Date folds the 31st of a short month into the next one.
  if (!Number.isFinite(local.getTime()) || !local.toISOString().startsWith(`${date}T`)) return null;
  return Date.parse(text);
}
