// The compact form of a session token (RFC 7515 section 7.1), checked as text before anything is decoded: there must be
// exactly one spelling of a token. Decodes; verifies nothing.
import { base64url } from 'jose';
import { MAX_TOKEN_CHARS } from '../limits.ts';
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
/** Ed25519 and P-256 signatures both have 64 octets (RFC 8037 section 3.1, RFC 7518 section 3.4). */
const SIGNATURE = '[A-Za-z0-9_-]{85}[AQgw]';
const COMPACT = new RegExp(`^(?=[^.])${CANONICAL}\\.(?=[^.])${CANONICAL}\\.${SIGNATURE}$`);
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Reads header and claims of a token. Neither is verified: the caller checks the signature before it believes a word. */
export function readCompact(text: string): CompactReading {
  if (text.length > MAX_TOKEN_CHARS) return { ok: false, reason: `longer than ${MAX_TOKEN_CHARS} characters` };
  if (!COMPACT.test(text))
    return { ok: false, reason: 'not a JWS in canonical compact form with a 64-octet signature' };
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
