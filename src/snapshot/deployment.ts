// Which deployment a head speaks for: read in one way by those who sign heads and those who adopt them.

/** The variable DEPLOYMENT_ID, else ISSUER, else "fusebox". What is empty or blank counts as not set. */
export function deploymentIdOf(env: Readonly<Record<string, unknown>>): string {
  for (const name of ['DEPLOYMENT_ID', 'ISSUER']) {
    const value = env[name];
    if (typeof value === 'string' && value.trim() !== '') return value.trim();
  }
  return 'fusebox';
}
