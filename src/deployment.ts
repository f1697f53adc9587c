// What every part reads of its environment in the same way: which deployment this is, and whether it is halted.

/** The variable DEPLOYMENT_ID, else ISSUER, else "fusebox". What is empty or blank counts as not set. */
export function deploymentIdOf(env: Readonly<Record<string, unknown>>): string {
  for (const name of ['DEPLOYMENT_ID', 'ISSUER']) {
    const value = env[name];
    if (typeof value === 'string' && value.trim() !== '') return value.trim();
  }
  return 'fusebox';
}

/** Who issues our own credentials: the variable ISSUER, else "fusebox". */
export function issuerOf(env: Readonly<Record<string, unknown>>): string {
  const value = env['ISSUER'];
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : 'fusebox';
}

/** The out-of-band stop, the variable HALT: it asks neither an object nor KV. */
export function isHalted(env: Readonly<Record<string, unknown>>): boolean {
  return isOn(env['HALT']);
}

const OFF = new Set(['', '0', 'false', 'off', 'no']);

/** Anything but a plain no is a yes: a mistyped HALT must not go on serving. */
export function isOn(value: unknown): boolean {
  if (value === undefined || value === null) return false;
  return value !== false && !(typeof value === 'string' && OFF.has(value.trim().toLowerCase()));
}
