// The shape of policy.yaml, key by key: what parses it and what generates its JSON Schema for editors. Values only; rules
// that span keys are in policy/parse.ts.
import * as z from 'zod';
import {
  DRILL_EVERY_DAYS,
  MAX_SESSION_TTL_SECONDS,
  MAX_TOKENS,
  UPSTREAM_TIMEOUT_MS,
  MAX_RETENTION_DAYS,
} from '../limits.ts';
import { formatUsd } from '../money.ts';
import { ADMIN_KNOWN_KEYS, adminSection } from './admin-section.ts';
import { DEFAULT_BOUNDS, DEFAULT_SESSIONS } from './defaults.ts';
import { choice, fraction, group, list, MAX_REQUESTS_PER_MINUTE, money, says, text, whole } from './fields.ts';
import { isHeaderName, isId, isScope } from './grammar.ts';
import { revocationSection } from './revocation-section.ts';

/** Said of what the format has and this version does not read. */
export const NOT_YET = 'is not supported by this version';
const LATER_PROTOCOLS = new Set(['mcp', 'x402']);

const limits = group({
  spend_usd: money('The most that a session may spend, in USD.').prefault(
    formatUsd(DEFAULT_SESSIONS.limits.spendMicroUsd),
  ),
  tokens: whole(
    0,
    MAX_TOKENS,
    'The most tokens, input and output together. No limit where it is not given.',
  ).optional(),
  tokens_per_request: whole(
    0,
    MAX_TOKENS,
    'The most tokens of one request. No limit where it is not given.',
  ).optional(),
  requests_per_minute: whole(0, MAX_REQUESTS_PER_MINUTE, 'No limit where it is not given.').optional(),
});

const sessions = group({
  ttl_seconds: whole(1, MAX_SESSION_TTL_SECONDS, 'How long a session lasts when its issuer does not say.').default(
    DEFAULT_SESSIONS.ttlSeconds,
  ),
  ttl_seconds_max: whole(1, MAX_SESSION_TTL_SECONDS, 'How long a session may last at most.').default(
    DEFAULT_SESSIONS.ttlSecondsMax,
  ),
  limits: limits.meta({ description: 'What a credential that names no limit gets.' }).optional(),
  warn_at: fraction('The part of a limit at which the warning comes.').default(DEFAULT_SESSIONS.warnAt),
  on_limit: choice(['revoke', 'pause'], 'What happens at 100 %: the session is revoked, or its breaker opens.').default(
    DEFAULT_SESSIONS.onLimit,
  ),
  least_useful_usd: money(
    'What the least useful request costs: less than this left is 100 %. At least 0.000001, at most 10 % of a limit; by default 1 % of the limit and at most one cent.',
  ).optional(),
  holds: choice(['strict'], 'Holds are upper bounds. Calibrated estimates are not supported by this version.').default(
    'strict',
  ),
  default_output_tokens: whole(1, 1_000_000, 'Set on requests that name no maximum.').default(
    DEFAULT_SESSIONS.defaultOutputTokens,
  ),
  retention_days: whole(
    0,
    MAX_RETENTION_DAYS,
    'How long after its end a session is kept whole; then it is archived and reduced to its tombstone.',
  ).default(DEFAULT_SESSIONS.retentionDays),
  required_claims: list(
    choice(['customer', 'segment'], 'A claim that every credential must have.'),
    'So that no credential escapes a kill level.',
  ).default([]),
});

const fee = group({
  method: text(
    (written) => /^[A-Za-z]{1,16}$/.test(written),
    'is not an HTTP method',
    'Any where it is not given.',
  ).optional(),
  path: text(
    (written) => /^\/[A-Za-z0-9._~!$&'()*+,=:@%/-]*$/.test(written) && !written.includes('//'),
    'is not a path that starts with "/"',
    'The path after the route; `*` stands for one segment or a part of it, a final `/*` for all that follows. Any where it is not given.',
  ).optional(),
  usd: money('What one request costs.'),
  scope: text(isScope, 'is not a scope', 'Needed besides the scope of the route.').optional(),
});

const auth = group({
  header: text(
    (written) => isHeaderName(written.toLowerCase()),
    'is not the name of a header',
    'The header that carries the key of the provider.',
  ),
  value: text(
    (written) => /^[\x20-\x7e]+$/.test(written),
    'is not printable ASCII',
    'With ${NAME} where the Worker secret NAME goes.',
  ),
});

const PROTOCOLS = ['openai', 'anthropic', 'gemini', 'http'] as const;
const protocol = z
  .enum(PROTOCOLS, {
    error: (issue) => {
      if (issue.input === undefined) return 'is missing';
      return typeof issue.input === 'string' && LATER_PROTOCOLS.has(issue.input)
        ? `"${issue.input}" ${NOT_YET}`
        : `is not one of ${PROTOCOLS.join(', ')}`;
    },
  })
  .meta({ description: 'How the traffic is read and priced.' });

const route = group({
  upstream: text(
    (written) => written.length > 0,
    'is not a URL',
    'https://HOST, with a base path where the upstream has one.',
  ),
  protocol,
  auth: auth.optional(),
  scope: text(isScope, 'is not a scope such as "llm:openai"', 'What a credential must be granted.'),
  feature: text(isId, 'is not an id', 'The capability, for kill switches.').optional(),
  fees: list(
    fee,
    'protocol http: what a request costs. The first match wins; what matches none is refused; the last one may be the default.',
  ).optional(),
  forward_headers: list(
    text((written) => isHeaderName(written.toLowerCase()), 'is not the name of a header', 'A request header.'),
    'Request headers forwarded beyond those of the protocol.',
  ).optional(),
  timeout_seconds: whole(
    1,
    UPSTREAM_TIMEOUT_MS / 1_000,
    'Until the headers of the answer arrive; of an answer that is no stream, until its end.',
  ).default(UPSTREAM_TIMEOUT_MS / 1_000),
});

const price = group({
  match: text(
    (written) => /^[A-Za-z0-9._:/@*-]{1,128}$/.test(written),
    'is not the id of a model, with * for any part of it',
    'The models that it prices.',
  ),
  input_usd_per_million: money('Per million input tokens.'),
  output_usd_per_million: money('Per million output tokens.'),
  cached_input_usd_per_million: money(
    'Per million input tokens read from a cache. As other input where it is not given.',
  ).optional(),
  cache_write_usd_per_million: money(
    'Per million input tokens written to a cache. As other input where it is not given.',
  ).optional(),
  context_tokens: whole(1, 100_000_000, 'The context window.'),
  max_output_tokens: whole(1, 100_000_000, 'The most output of one answer.'),
});

const hostedTool = group({
  uses_max: whole(0, 1_000, 'How often one request may use it, where the request does not say.'),
  input_tokens_per_use: whole(0, 10_000_000, 'What one use adds to the input.'),
  usd_per_use: money('What one use costs besides its tokens.'),
});

const bounds = group({
  image_tokens: whole(1, 10_000_000, 'One picture of a request.').default(DEFAULT_BOUNDS.imageTokens),
  document_tokens_per_kib: whole(1, 10_000_000, 'Each KiB of a document.').default(DEFAULT_BOUNDS.documentTokensPerKib),
  audio_tokens_per_kib: whole(1, 10_000_000, 'Each KiB of audio.').default(DEFAULT_BOUNDS.audioTokensPerKib),
  video_tokens_per_kib: whole(1, 10_000_000, 'Each KiB of video.').default(DEFAULT_BOUNDS.videoTokensPerKib),
  hosted_tools: z
    .record(
      text(
        (written) => /^[A-Za-z][A-Za-z0-9_.-]{0,63}$/.test(written),
        'is not the name of a tool',
        "The provider's own name of the tool.",
      ),
      hostedTool,
      says('is not a mapping'),
    )
    .default({}),
});

const drills = group({
  every_days: whole(0, 366, 'How often a kill drill is due; 0 runs none by itself and calls none overdue.').default(
    DRILL_EVERY_DAYS,
  ),
});

/** The whole file. Unknown keys are refused on every level. */
export const policySchema = group({
  version: z
    .literal(1, says('is not 1: this program reads version 1 of the policy'))
    .meta({ description: 'The version of this format.' }),
  sessions: sessions.optional(),
  revocation: revocationSection.optional(),
  drills: drills.meta({ description: 'The regular trial of everything that stops.' }).optional(),
  routes: z
    .record(z.string(), route, says('is not a mapping of names to routes'))
    .meta({ description: 'What can be reached, by the first segment of the path.' }),
  prices: list(price, 'Added to, or over, the price library.').default([]),
  bounds: bounds.meta({ description: 'Declared worst cases for what the bytes of a request do not bound.' }).optional(),
  admin: adminSection.meta({ description: 'Who may use the control plane, besides the admin tokens.' }).optional(),
});

export type PolicyDocument = z.output<typeof policySchema>;

/** The known keys by the place they stand in (`*` for any name or index), for "did you mean". */
export const KNOWN_KEYS: ReadonlyMap<string, readonly string[]> = new Map([
  ['', Object.keys(policySchema.shape)],
  ['sessions', Object.keys(sessions.shape)],
  ['sessions.limits', Object.keys(limits.shape)],
  ['revocation', Object.keys(revocationSection.shape)],
  ['drills', Object.keys(drills.shape)],
  ['routes.*', Object.keys(route.shape)],
  ['routes.*.auth', Object.keys(auth.shape)],
  ['routes.*.fees.*', Object.keys(fee.shape)],
  ['prices.*', Object.keys(price.shape)],
  ['bounds', Object.keys(bounds.shape)],
  ['bounds.hosted_tools.*', Object.keys(hostedTool.shape)],
  ...ADMIN_KNOWN_KEYS,
]);

/** Keys of the format that later versions of this program read. */
export const LATER_KEYS: ReadonlyMap<string, readonly string[]> = new Map([
  ['', ['issuers', 'rules', 'breakers', 'risk', 'alerts']],
  ['routes.*', ['tools', 'hosts', 'payments']],
]);
