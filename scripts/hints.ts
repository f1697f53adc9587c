// Lines to paste: how to issue a session at a gateway on this machine and to use it, with curl and with an SDK.

export interface HintOptions {
  /** Of the gateway. */
  readonly url: string;
  /** As it is to be pasted: the token, or `$ADMIN_TOKEN`. */
  readonly adminToken: string;
  /** A route of protocol openai, with its scope. */
  readonly route: string;
  readonly scope: string;
  /** A credential that exists already. */
  readonly sessionToken?: string;
}

/** The hints, as lines without colours. */
export function hints({ url, adminToken, route, scope, sessionToken }: HintOptions): string {
  const session = JSON.stringify({
    agent: 'my-agent',
    scopes: [scope],
    limits: { spend_usd: '0.50' },
    ttl_seconds: 3_600,
    reason: 'trying it out',
  });
  const question = JSON.stringify({ model: 'gpt-4o-mini', messages: [{ role: 'user', content: 'hello' }] });
  const issue = `curl -s ${url}/admin/sessions -H 'content-type: application/json' -H "authorization: Bearer ${adminToken}" -d '${session}'`;
  return [
    '# a credential for one session of one agent, with a cap of 50 cents',
    sessionToken === undefined ? `TOKEN=$(${issue} | sed 's/.*"token":"\\([^"]*\\)".*/\\1/')` : `TOKEN=${sessionToken}`,
    '',
    '# a call with it; the cap is shown in the RateLimit headers',
    `curl -si ${url}/${route}/v1/chat/completions -H 'content-type: application/json' -H "authorization: Bearer $TOKEN" -d '${question}'`,
    `curl -s ${url}/session -H "authorization: Bearer $TOKEN"`,
    '',
    '# the same from code: change baseURL and apiKey, nothing else',
    `new OpenAI({ baseURL: '${url}/${route}/v1', apiKey: TOKEN })                 // TypeScript`,
    `OpenAI(base_url="${url}/${route}/v1", api_key=TOKEN)                         # Python`,
  ].join('\n');
}
