// What wrangler deploys: the fetch handler and the Durable Object classes.
import policyText from '../policy.yaml';
import { type App, type Bindings, createApp } from './app.ts';
import { configWarnings, describeConfigErrors, parseConfig } from './config.ts';
import type { Whereabouts } from './rpc/region.ts';

export { AgentObject } from './agent/agent-object.ts';
export { ControlObject } from './control/control-object.ts';
export { RelayObject } from './relay/relay-object.ts';
export { SessionObject } from './session/session-object.ts';

type Env = Bindings & Readonly<Record<string, unknown>>;

/** Made by the first request of an isolate that finds none; bindings do not change within its life. */
let app: App | null = null;

export default {
  fetch(request: Request, env: Env, context: ExecutionContext): Promise<Response> {
    return app === null ? start(request, env, context) : app.fetch(request, context);
  },

  /** The daily trigger of wrangler.toml. */
  async scheduled(_controller: ScheduledController, env: Env, context: ExecutionContext): Promise<void> {
    const made = app ?? (await make({}, env, context));
    // A trigger does not say where it runs: what requests are served by is made by the first of them.
    app = null;
    if (typeof made !== 'string') await made.daily(context);
  },
};

async function start(request: Request, env: Env, context: ExecutionContext): Promise<Response> {
  const made = await make((request.cf ?? {}) as Whereabouts, env, context);
  return typeof made === 'string' ? notConfigured(made) : made.fetch(request, context);
}

/** The parts of this isolate; what is wrong with its configuration, where they cannot be made. */
async function make(whereabouts: Whereabouts, env: Env, context: ExecutionContext): Promise<App | string> {
  const reading = await parseConfig(env, policyText);
  if (!reading.ok) return describeConfigErrors(reading.errors);
  if (app === null) {
    for (const what of configWarnings(reading.config, Date.now())) {
      console.warn(JSON.stringify({ event: 'config.warning', what }));
    }
    app = createApp(reading.config, env, {
      now: Date.now,
      random: Math.random,
      whereabouts,
    });
    context.waitUntil(app.started());
  }
  return app;
}

/** Fails closed: without its secrets and a valid policy the Worker serves nothing, and says what is missing. */
function notConfigured(what: string): Response {
  console.error(JSON.stringify({ event: 'not-configured', what }));
  return Response.json(
    {
      type: '/problems/enforcement-unavailable',
      title: 'Fusebox is not configured',
      status: 503,
      code: 'enforcement-unavailable',
      detail: what,
    },
    { status: 503, headers: { 'content-type': 'application/problem+json', 'cache-control': 'no-store' } },
  );
}
