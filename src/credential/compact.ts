// The compact form of a signed token (RFC 7515 section 7.1), checked as text before anything is decoded: there must be
// exactly one spelling of a token. Decodes; verifies nothing.
import { base64url } from 'jose';
import { MAX_ACCESS_ASSERTION_CHARS, MAX_TOKEN_CHARS } from '../limits.ts';
import { isJsonObject, type JsonObject, readStrictJson } from '../json/small-json.ts';

interface CompactToken {
  readonly header: JsonObject;
  readonly claims: JsonObject;
}

export type CompactReading =
  | { readonly ok: true; readonly token: CompactToken }
  | { readonly ok: false; readonly reason: string };

// base64url without padding, whose unused last bits are zero (RFC 4648 sections 3.5 and 5).
const CANONICAL = '(?:[A-Za-z0-9_-]{4})*(?:[A-Za-z0-9_-][AQgw]|[A-Za-z0-9_-]{2}[AEIMQUYcgkosw048])?';
const formWith = (signature: string): RegExp =>
  new RegExp(`^(?=[^.])${CANONICAL}\\.(?=[^.])${CANONICAL}\\.(?:${signature})$`);

/** What a kind of token may look like. */
interface CompactForm {
  readonly maxChars: number;
  readonly pattern: RegExp;
  /** Of the signature, for the log. */
  readonly octets: string;
}

/** Ed25519 and P-256 signatures both have 64 octets (RFC 8037 section 3.1, RFC 7518 section 3.4). */
const SESSION_TOKEN: CompactForm = {
  maxChars: MAX_TOKEN_CHARS,
  pattern: formWith('[A-Za-z0-9_-]{85}[AQgw]'),
  octets: '64',
};
/** An RSA signature is as long as its modulus (RFC 8017 section 8.2): 2048, 3072 or 4096 bits. */
export const RSA_TOKEN: CompactForm = {
  maxChars: MAX_ACCESS_ASSERTION_CHARS,
  pattern: formWith('[A-Za-z0-9_-]{341}[AQgw]|[A-Za-z0-9_-]{512}|[A-Za-z0-9_-]{682}[AEIMQUYcgkosw048]'),
  octets: '256, 384 or 512',
};
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads header and claims of a token. Neither is verified: the caller checks the signature before it believes a word. */
export function readCompact(text: string, form: CompactForm = SESSION_TOKEN): CompactReading {
  if (text.length > form.maxChars) return { ok: false, reason: `longer than ${form.maxChars} characters` };
  if (!form.pattern.test(text))
    return { ok: false, reason: `not a JWS in canonical compact form with a ${form.octets}-octet signature` };
  const [header, claims] = text.split('.', 2).map(readPart);
  if (header === undefined || !header.ok) return { ok: false, reason: `header: ${header?.reason ?? 'missing'}` };
  if (claims === undefined || !claims.ok) return { ok: false, reason: `claims: ${claims?.reason ?? 'missing'}` };
  return { ok: true, token: { header: header.object, claims: claims.object } };
}

function readPart(part: string): { ok: true; object: JsonObject } | { ok: false; reason: string } {
  let text: string;
  try {
    text = UTF8.decode(base64url.decode(part));
  } catch {
    return { ok: false, reason: 'not UTF-8' };
  }
  const reading = readStrictJson(text);
  if (!reading.ok) return { ok: false, reason: reading.reason };
  if (!isJsonObject(reading.value)) return { ok: false, reason: 'not an object' };
  return { ok: true, object: reading.value };
}
