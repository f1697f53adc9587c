// The classic build-it-yourself alternative: an Express middleware that verifies the token with jose, reserves budget in Redis
// before it forwards, and settles there what the answer cost. Same decisions as the gateway's, without durability,
// streams, audit or recovery. Runs as a process of its own and says its port on its first line.
import express, { type NextFunction, type Request, type Response } from 'express';
import { importJWK, jwtVerify, type JWK } from 'jose';
import type { AddressInfo } from 'node:net';
import { createClient } from 'redis';

const [upstream = '', redisPort = '', publicJwk = '{}'] = process.argv.slice(2);
/** Held per request and given back but for what it cost. */
const HOLD_MICRO_USD = 1_000;
const MICRO_USD_PER_MILLION_INPUT = 150_000;
const MICRO_USD_PER_MILLION_OUTPUT = 600_000;

/** Refuses the revoked; counts the request; holds only what the limit leaves room for. All or nothing, as one script. */
const RESERVE = `
if redis.call('EXISTS', KEYS[1] .. ':revoked') == 1 then return -1 end
local used = tonumber(redis.call('HGET', KEYS[1], 'settled') or '0') + tonumber(redis.call('HGET', KEYS[1], 'held') or '0')
if used + tonumber(ARGV[1]) > tonumber(ARGV[2]) then return -2 end
redis.call('HINCRBY', KEYS[1], 'held', ARGV[1])
return redis.call('HINCRBY', KEYS[1], 'requests', 1)`;
const SETTLE = `
redis.call('HINCRBY', KEYS[1], 'held', -tonumber(ARGV[1]))
return redis.call('HINCRBY', KEYS[1], 'settled', ARGV[2])`;

const key = await importJWK(JSON.parse(publicJwk) as JWK, 'EdDSA');
const redis = createClient({ socket: { host: '127.0.0.1', port: Number(redisPort) } });
await redis.connect();
const reserve = await redis.scriptLoad(RESERVE);
const settle = await redis.scriptLoad(SETTLE);

async function guard(request: Request, response: Response, next: NextFunction): Promise<void> {
  try {
    const token = (request.headers.authorization ?? '').replace(/^Bearer /, '');
    const { payload } = await jwtVerify(token, key, { algorithms: ['EdDSA'] });
    const limits = payload['limits'] as { readonly spend_micro_usd: number };
    const session = `session:${String(payload['sid'])}`;
    const admitted = await redis.evalSha(reserve, {
      keys: [session],
      arguments: [String(HOLD_MICRO_USD), String(limits.spend_micro_usd)],
    });
    if (Number(admitted) < 0) {
      response.status(Number(admitted) === -1 ? 401 : 429).json({ error: { message: 'refused' } });
      return;
    }
    response.locals['session'] = session;
    next();
  } catch {
    response.status(401).json({ error: { message: 'not a valid token' } });
  }
}

async function forward(request: Request, response: Response): Promise<void> {
  const answer = await fetch(upstream + request.path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', authorization: 'Bearer provider-key' },
    body: JSON.stringify(request.body),
  });
  const body = await answer.json<{ usage: { prompt_tokens: number; completion_tokens: number } }>();
  const { prompt_tokens: input, completion_tokens: output } = body.usage;
  const cost = Math.ceil((input * MICRO_USD_PER_MILLION_INPUT + output * MICRO_USD_PER_MILLION_OUTPUT) / 1_000_000);
  await redis.evalSha(settle, {
    keys: [String(response.locals['session'])],
    arguments: [String(HOLD_MICRO_USD), String(cost)],
  });
  response.status(answer.status).json(body);
}

const app = express();
app.disable('x-powered-by');
app.use(express.json({ limit: '16mb' }));
// oxlint-disable-next-line oxc/no-async-endpoint-handlers -- Express 5 takes a rejected promise as an error
app.post('/v1/chat/completions', guard, forward);
const server = app.listen(0, '127.0.0.1', () => console.log((server.address() as AddressInfo).port));
process.stdin.resume().once('end', () => process.exit());
