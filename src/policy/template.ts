// `${NAME}` in `auth.value`: where a Worker secret goes. The value itself is never in a policy, a log or an answer.

const PLACEHOLDER = /\$\{([A-Z][A-Z0-9_]{0,63})\}/g;
/** A policy must not be able to send our own keys to an upstream. */
const OWN_SECRETS = /^(?:SESSION_SIGNING_KEYS|ADMIN_TOKENS?|SNAPSHOT_.*|FUSEBOX_.*)$/;
/** RFC 9110 section 5.5, without what is not printable ASCII. */
const HEADER_VALUE = /^[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?$/;

/** The secrets that a value names. */
export function secretNames(value: string): readonly string[] {
  return Array.from(value.matchAll(PLACEHOLDER), (match) => String(match[1]));
}

/** What is wrong with the placeholders of a value; null where nothing is. */
export function secretProblem(value: string): string | null {
  if (value.replace(PLACEHOLDER, '').includes('${')) return 'has a placeholder that is not ${NAME} in capital letters';
  const own = secretNames(value).find((name) => OWN_SECRETS.test(name));
  return own === undefined ? null : `names ${own}, a secret of the gateway itself`;
}

export type FilledTemplate =
  | { readonly ok: true; readonly value: string }
  /** The names of secrets that are absent, empty, or no header value can hold. */
  | { readonly ok: false; readonly missing: readonly string[] };

/** Puts the secrets in. White space around a secret is dropped: it comes from the shell that set it. */
export function fillTemplate(value: string, secrets: Readonly<Record<string, unknown>>): FilledTemplate {
  const missing = secretNames(value).filter((name) => secretOf(secrets, name) === null);
  if (missing.length > 0) return { ok: false, missing: [...new Set(missing)] };
  return {
    ok: true,
    value: value.replaceAll(PLACEHOLDER, (_placeholder, name: string) => secretOf(secrets, name) ?? ''),
  };
}

function secretOf(secrets: Readonly<Record<string, unknown>>, name: string): string | null {
  const secret = secrets[name];
  if (typeof secret !== 'string') return null;
  const trimmed = secret.trim();
  return HEADER_VALUE.test(trimmed) ? trimmed : null;
}
