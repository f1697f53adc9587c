// Canonical JSON (RFC 8785): one text for one value, so that a digest of it means the value. Serialises; reads nothing.

/** What a row of a log may hold. Members that are undefined are left out. */
export type AuditValue =
  | null
  | boolean
  | number
  | string
  | readonly AuditValue[]
  | { readonly [member: string]: AuditValue | undefined };

/**
 * The canonical text of a value. Numbers and strings are as ECMAScript writes them (sections 3.2.2.2 and 3.2.2.3), members
 * are sorted by UTF-16 code units (section 3.2.3). Throws where the standard knows no text: numbers that are not finite,
 * lone surrogates.
 */
export function canonicalJson(value: AuditValue): string {
  if (typeof value === 'string') {
    if (!value.isWellFormed()) throw new TypeError('a text with a lone surrogate has no canonical form');
    return JSON.stringify(value);
  }
  if (typeof value === 'object' && value !== null) return canonicalComposite(value);
  if (typeof value === 'number' && !Number.isFinite(value)) throw new TypeError(`${value} has no canonical form`);
  return JSON.stringify(value);
}

function canonicalComposite(value: Exclude<AuditValue, null | boolean | number | string>): string {
  if (isList(value)) return `[${value.map(canonicalJson).join(',')}]`;
  let text = '';
  for (const name of Object.keys(value).sort()) {
    const member = value[name];
    if (member === undefined) continue;
    if (text !== '') text += ',';
    text += PLAIN_NAME.test(name) ? `"${name}":` : `${canonicalJson(name)}:`;
    text += canonicalJson(member);
  }
  return `{${text}}`;
}

/** Nothing to escape: nearly every name there is. */
const PLAIN_NAME = /^\w+$/;

/** `Array.isArray` does not narrow a readonly array. */
function isList(value: object): value is readonly AuditValue[] {
  return Array.isArray(value);
}
