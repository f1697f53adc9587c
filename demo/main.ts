// `npm run demo`: from nothing to a runaway session that stops at its cap, in half a minute, with no account and no key.
// `-- --once` ends with exit code 0 only if everything that it promises was observed.
import { parseArgs } from 'node:util';
import { adminClient } from '../scripts/admin-client.ts';
import { startGateway, StartError, type Gateway } from '../scripts/gateway-process.ts';
import { hints } from '../scripts/hints.ts';
import { readPolicyTexts, UPSTREAM_PORT } from '../scripts/local-settings.ts';
import { onStopRequested } from '../scripts/stop-signals.ts';
import { throwawaySecrets } from '../scripts/throwaway-secrets.ts';
import { BuildError } from '../scripts/worker-bundle.ts';
import { OBSERVATIONS, playIncident, type Observation } from './incident.ts';
import { receipt } from './receipt.ts';
import { createScreen } from './screen.ts';
import { startUpstream, type Upstream } from './upstream/server.ts';

const GATEWAY_PORT = 8_787;
const USAGE = `usage: npm run demo [-- --once]
  --once  ends by itself, with exit code 0 only if everything that it promises was observed`;

const values = readArguments();
const screen = createScreen(process.stdout, process.env);
const closers: (() => Promise<unknown>)[] = [];
const close = async (): Promise<void> => {
  for (const closer of closers.splice(0).toReversed()) await closer();
};
const leave = (code: number): void => {
  void close().finally(() => process.exit(code));
};
onStopRequested(leave);

try {
  const missing = await play();
  if (values.once) leave(missing.length === 0 ? 0 : 1);
} catch (error) {
  console.error(error instanceof StartError || error instanceof BuildError ? error.message : error);
  leave(1);
}

/** The whole demo; answers with what was not observed. */
async function play(): Promise<Observation[]> {
  screen.say('Building the Worker and starting it on workerd, with a local upstream that speaks the OpenAI API ...');
  const upstream = await startWhereFree();
  closers.push(() => upstream.close());
  const secrets = await throwawaySecrets();
  const texts = await readPolicyTexts({ file: null, upstreamPort: upstream.port });
  const gateway = await startGatewayWhereFree({ persist: null, vars: secrets.vars, ...texts });
  closers.push(() => gateway.stop());
  screen.say(`ready ${gateway.url} (upstream ${upstream.url})`);

  const admin = adminClient({ url: gateway.url, token: secrets.adminToken });
  const incident = await playIncident({ gatewayUrl: gateway.url, admin, upstream, screen });
  screen.heading('The receipt');
  for (const line of receipt(incident)) screen.say(line);

  screen.heading('Observed');
  const all = Object.keys(OBSERVATIONS) as Observation[];
  for (const name of all)
    screen.event(
      incident.observed[name] ? 'good' : 'trip',
      `${incident.observed[name] ? '' : 'MISSING: '}${OBSERVATIONS[name]}`,
    );
  const missing = all.filter((name) => !incident.observed[name]);
  if (values.once) return missing;

  const { token } = await admin.issue({
    agent: 'you',
    scopes: ['llm:*', 'ticket:*'],
    limits: { spend_usd: '0.50' },
    ttl_seconds: 3_600,
  });
  screen.heading('It stays up: try it yourself (Ctrl-C ends it)');
  screen.say(`ADMIN_TOKEN=${secrets.adminToken}`);
  screen.say(
    hints({
      url: gateway.url,
      adminToken: '$ADMIN_TOKEN',
      route: 'local-openai',
      scope: 'llm:openai',
      sessionToken: token,
    }),
  );
  screen.say(`\n# the tripped session, its ledger, and who else spent what`);
  screen.say(`curl -s ${gateway.url}/admin/sessions/${incident.session.id} -H "authorization: Bearer $ADMIN_TOKEN"`);
  screen.say(
    `curl -s ${gateway.url}/admin/sessions/${incident.session.id}/ledger -H "authorization: Bearer $ADMIN_TOKEN" -H 'accept: application/x-ndjson'`,
  );
  return missing;
}

function readArguments(): { readonly once: boolean } {
  const options = { once: { type: 'boolean', default: false }, help: { type: 'boolean', default: false } } as const;
  try {
    const { values: given } = parseArgs({ options });
    if (!given.help) return given;
    console.log(USAGE);
    process.exit(0);
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    process.exit(1);
  }
}

/** At the usual port, so that what is pasted from the documentation works; at a free one where that is taken, or nobody reads along. */
async function startWhereFree(): Promise<Upstream> {
  if (values.once) return startUpstream({ port: 0 });
  return startUpstream({ port: UPSTREAM_PORT }).catch(() => startUpstream({ port: 0 }));
}

async function startGatewayWhereFree(options: Omit<Parameters<typeof startGateway>[0], 'port'>): Promise<Gateway> {
  if (values.once) return startGateway({ port: 0, ...options });
  return startGateway({ port: GATEWAY_PORT, ...options }).catch((error: unknown) => {
    if (!(error instanceof StartError)) throw error;
    return startGateway({ port: 0, ...options });
  });
}
