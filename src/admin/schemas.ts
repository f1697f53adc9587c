// What the control plane takes and gives, as schemas: the same ones validate, type the handlers and become the OpenAPI
// document.
import * as z from 'zod';
import { readTimestamp } from '../http/timestamp.ts';
import {
  MAX_LEDGER_ENTRIES_PER_PAGE,
  MAX_POLICY_BYTES,
  MAX_REASON_CHARS,
  MAX_SCOPES,
  MAX_SEGMENTS,
  MAX_SESSION_TTL_SECONDS,
  MAX_TOKENS,
} from '../limits.ts';
import { choice, group, list, MAX_REQUESTS_PER_MINUTE, money, says, text, whole } from '../policy/fields.ts';
import { ID_PATTERN, isGrantedScope, isId } from '../policy/grammar.ts';
import { KILL_LEVELS } from '../rpc/kill-switch.ts';

const SESSION_STATUSES = ['active', 'warned', 'tripped', 'revoked', 'expired'] as const;
const MAX_CURSOR_CHARS = 512;

function id(description: string): z.ZodString {
  const message = 'is not an id: letters, digits and ._:- only, at most 128, the first a letter or digit';
  return z.string(says(message)).refine(isId, says(message)).meta({ description, pattern: ID_PATTERN });
}

const reasonText = z
  .string(says('is not a text'))
  .trim()
  .min(1, says('is empty'))
  .max(MAX_REASON_CHARS, says(`is longer than ${MAX_REASON_CHARS} characters`))
  .refine((written) => !/\p{Cc}/u.test(written), says('has control characters'))
  .meta({ description: 'Why, for the record.' });

const ttlSeconds = whole(
  1,
  MAX_SESSION_TTL_SECONDS,
  "How long the credential lasts; by default as the policy says, and at most the policy's longest session.",
);
const tokens = whole(0, MAX_TOKENS, 'The most tokens, input and output together.');
const tokensPerRequest = whole(0, MAX_TOKENS, 'The most tokens of one request.');
const requestsPerMinute = whole(0, MAX_REQUESTS_PER_MINUTE, 'The most requests in a minute.');

export const issueBody = group({
  agent: id('Who runs the session.'),
  customer: id('For whom.').nullish(),
  segment: z
    .union(
      [id('The group of customers.'), z.array(id('One of several.')).min(1).max(MAX_SEGMENTS)],
      says('is not an id or a list of ids'),
    )
    .nullish(),
  scopes: list(
    text(isGrantedScope, 'is not a scope such as "llm:openai" or "ticket:*"', 'A scope, or a branch of them.'),
    'What the session may do.',
  ).max(MAX_SCOPES, says(`has more than ${MAX_SCOPES} members`)),
  limits: group({
    spend_usd: money('The most that the session may spend, in USD.').optional(),
    tokens: tokens.optional(),
    tokens_per_request: tokensPerRequest.optional(),
    requests_per_minute: requestsPerMinute.optional(),
  })
    .optional()
    .meta({ description: "What is not given is as the policy's sessions.limits says." }),
  ttl_seconds: ttlSeconds.optional(),
  reason: reasonText.optional(),
});

export const credentialBody = group({ ttl_seconds: ttlSeconds.optional(), reason: reasonText.optional() });

export const patchBody = group({
  limits: group({
    spend_usd: money('The most that the session may spend, in USD.').optional(),
    tokens: tokens.nullish(),
    tokens_per_request: tokensPerRequest.nullish(),
    requests_per_minute: requestsPerMinute.nullish(),
  })
    .refine((limits) => Object.keys(limits).length > 0, says('names no limit to change'))
    .meta({ description: 'What is not given stays; null takes a limit away (never that of spend).' }),
  reason: reasonText,
});

export const reasonBody = group({ reason: reasonText });

export const pullBody = group({
  reason: reasonText.optional().meta({ description: 'Why, for the record. Not needed for a preview.' }),
  expires_at: z
    .string(says('is not a time'))
    .meta({ description: 'When it ends by itself; by default it does not.', format: 'date-time' })
    .nullish(),
});

export const pullQuery = group({
  dry_run: choice(['true', 'false'], 'true: nothing is pulled; the answer says what would be stopped.').optional(),
});

export const liftBody = group({ reason: reasonText.optional() });

/** Some clients send no body with DELETE. */
export const liftQuery = group({ reason: reasonText.optional() });

const sha256Digest = z
  .string(says('is not a digest'))
  .regex(/^[0-9a-f]{64}$/, says('is not a SHA-256 in small hex digits'));

const dryRun = choice(['true', 'false'], 'true: nothing is changed; the answer says whether it could be.').optional();

export const policyQuery = group({
  digest: sha256Digest.meta({ description: 'Of a version that is kept; by default the one in force.' }).optional(),
});

export const policyPutQuery = group({ dry_run: dryRun });

export const policyBody = group({
  yaml: z
    .string(says('is not a text'))
    .max(MAX_POLICY_BYTES, says(`is longer than ${MAX_POLICY_BYTES} bytes`))
    .meta({ description: 'The text of a whole policy.' })
    .optional(),
  digest: sha256Digest.meta({ description: 'Of a version that is kept: it is validated again.' }).optional(),
  deployed: z
    .literal(true, says('is not true'))
    .meta({ description: 'Let the run-time version go: the deployed file is in force again.' })
    .optional(),
  reason: reasonText.optional().meta({ description: 'Why, for the record. Not needed with dry_run=true.' }),
}).refine(
  ({ yaml, digest, deployed }) => [yaml, digest, deployed].filter((given) => given !== undefined).length === 1,
  says('has not exactly one of yaml, digest and deployed'),
);

export const importQuery = group({ reason: reasonText });

export const revocationLine = group({
  session: z.string(says('is not a text')).meta({ description: "The session id; 'issuer~id' for another issuer's." }),
  expires_at: z
    .string(says('is not a text'))
    .refine((written) => readTimestamp(written) !== null, says('is not a time such as 2026-01-31T12:00:00Z (RFC 3339)'))
    .meta({ description: 'When its last credential expires: then it leaves the list.', format: 'date-time' }),
});

export const signOffBody = group({
  reason: reasonText.meta({ description: 'What the signature says, for the record.' }),
  remedial_action: reasonText.optional().meta({ description: 'What is done about the issues found.' }),
});

const cursor = z
  .string()
  .min(1, says('is empty'))
  .max(MAX_CURSOR_CHARS, says('is not a cursor'))
  .meta({ description: "The last page's next_cursor." });

/** As control/control-store.ts makes them: when a session was created, its issuer and its id. */
const LIST_CURSOR = /^\d{1,16}~[^~]{1,128}~[^~]{1,128}$/;

export const listQuery = group({
  agent: id('Only sessions of this agent.').optional(),
  status: choice(SESSION_STATUSES, 'Only sessions in this state.').optional(),
  cursor: cursor.refine((written) => LIST_CURSOR.test(written), says('is not a cursor')).optional(),
});

export const ledgerQuery = group({
  cursor: cursor.optional(),
  limit: z
    .string()
    .regex(/^[1-9]\d{0,3}$/, says('is not a whole number'))
    .transform(Number)
    .refine((most) => most <= MAX_LEDGER_ENTRIES_PER_PAGE, says(`is more than ${MAX_LEDGER_ENTRIES_PER_PAGE}`))
    .meta({ description: `Entries per page, at most ${MAX_LEDGER_ENTRIES_PER_PAGE}.` })
    .optional(),
});

export const auditQuery = group({ cursor: cursor.optional() });

/** Longer than any name of a log. */
const MAX_LOG_NAME_CHARS = 300;

export const verifyQuery = group({
  log: z
    .string()
    .min(1, says('is empty'))
    .max(MAX_LOG_NAME_CHARS, says('is not the name of a log'))
    .meta({ description: 'The log that it has to be: "control", or "session ISSUER~SID".' })
    .optional(),
});

export const noQuery = group({});

/** What calls answer with, by the name that the OpenAPI document gives it. */
export const answerSchemas = z.registry<{ id: string }>();

const usd = z
  .string()
  .regex(/^-?\d+\.\d{6}$/)
  .meta({ description: 'USD, with six decimals.' });
const time = z.string().meta({ format: 'date-time' });
const count = z.int();

export const sessionAnswer = z
  .strictObject({
    id: z.string().meta({ description: "The session id; 'issuer~id' for another issuer's." }),
    agent: z.string(),
    customer: z.string().nullable(),
    segment: z.union([z.string(), z.array(z.string())]).nullable(),
    scopes: z.array(z.string()),
    status: z.enum(SESSION_STATUSES),
    created_at: time,
    expires_at: time,
    limits: z.strictObject({
      spend_usd: usd,
      tokens: count.nullable(),
      tokens_per_request: count.nullable(),
      requests_per_minute: count.nullable(),
    }),
    spend: z.strictObject({ settled_usd: usd, held_usd: usd, available_usd: usd }),
    tokens: z.strictObject({ settled: count, held: count, available: count.nullable() }),
    requests: z.strictObject({ admitted: count, denied: count }),
    breaker: z.strictObject({ state: z.enum(['closed', 'open']), since: time, reason: z.string().nullable() }),
    risk: z
      .strictObject({ score: z.literal(0), components: z.strictObject({}) })
      .meta({ description: 'Not scored by this version: 0, with no component.' }),
    warnings: z.array(z.enum(['spend-90', 'tokens-90'])),
    trip: z
      .strictObject({ at: time, reason: z.string(), evidence: z.record(z.string(), z.union([z.string(), z.number()])) })
      .nullable(),
    revocation: z.strictObject({ at: time, reason: z.string(), by: z.string() }).nullable(),
  })
  .register(answerSchemas, { id: 'Session' });

export const issuedAnswer = z
  .strictObject({
    session: sessionAnswer,
    token: z.string().meta({ description: 'The credential. It is shown once.' }),
    expires_at: time,
  })
  .register(answerSchemas, { id: 'Issued' });

export const listAnswer = z
  .strictObject({
    sessions: z.array(sessionAnswer),
    unreachable: z.array(z.string()).meta({ description: 'Sessions of this page that could not be asked.' }),
    next_cursor: z.string().nullable(),
  })
  .register(answerSchemas, { id: 'Sessions' });

export const ledgerEntryAnswer = z
  .strictObject({
    id: z.string(),
    at: time,
    route: z.string(),
    protocol: z.string(),
    model: z.string().nullable(),
    action: z.string(),
    state: z.enum(['open', 'settled', 'voided', 'expired']),
    hold_usd: usd,
    hold_tokens: count,
    cost_usd: usd,
    cost_tokens: count,
    usage: z
      .strictObject({
        input_tokens: count,
        output_tokens: count,
        cache_read_tokens: count,
        cache_write_tokens: count,
        reasoning_tokens: count,
      })
      .nullable(),
    estimated: z.boolean(),
    reason: z.string().nullable(),
    adjusts: z.string().optional(),
    flags: z.array(z.string()).optional(),
  })
  .register(answerSchemas, { id: 'LedgerEntry' });

export const ledgerAnswer = z
  .strictObject({ entries: z.array(ledgerEntryAnswer), next_cursor: z.string().nullable() })
  .register(answerSchemas, { id: 'Ledger' });

const auditLine = z
  .looseObject({})
  .meta({ description: 'A row (seq, at, event, its members, prev, hash) or a checkpoint (a compact JWS).' })
  .register(answerSchemas, { id: 'AuditLine' });

export const auditFileLine = z
  .looseObject({})
  .meta({ description: 'A line of a file: the header, a row, a checkpoint, or the last line.' })
  .register(answerSchemas, { id: 'AuditFileLine' });

export const auditAnswer = z
  .strictObject({
    log: z.strictObject({ deployment: z.string(), log: z.string() }),
    entries: z.array(auditLine),
    next_cursor: z.string().nullable(),
  })
  .register(answerSchemas, { id: 'Audit' });

export const auditVerdictAnswer = z
  .strictObject({
    valid: z.boolean(),
    deployment: z.string().nullable(),
    log: z.string().nullable().meta({ description: 'The log that was verified; null where it does not say.' }),
    rows: count,
    checkpoints: count,
    last_checkpoint: z.strictObject({ seq: count, at: time }).nullable(),
    unsigned_rows: count.meta({
      description: 'Rows after the last checkpoint: chained, and vouched for by no signature. None in a valid log.',
    }),
    first_bad: z
      .strictObject({ line: count, seq: count.nullable(), problem: z.string(), detail: z.string() })
      .nullable()
      .meta({ description: 'The first line, counted from 1 with the header, that is not what or where it was.' }),
  })
  .register(answerSchemas, { id: 'AuditVerdict' });

const killSwitchAnswer = z
  .strictObject({
    level: z.enum(KILL_LEVELS),
    target: z.string(),
    reason: z.string(),
    pulled_by: z.string(),
    pulled_at: time,
    expires_at: time.nullable(),
    lift: z
      .strictObject({ requested_by: z.string(), reason: z.string(), requested_at: time, confirm_by: time })
      .nullable()
      .meta({ description: 'A lift that waits for a second person.' }),
  })
  .register(answerSchemas, { id: 'KillSwitch' });

export const killSwitchesAnswer = z
  .strictObject({ kill_switches: z.array(killSwitchAnswer) })
  .register(answerSchemas, { id: 'KillSwitches' });

export const pulledAnswer = z
  .union([
    killSwitchAnswer,
    z.strictObject({
      dry_run: z.literal(true),
      level: z.enum(KILL_LEVELS),
      target: z.string(),
      live_sessions: count,
      spend_last_minute_usd: usd,
      sessions_asked: count.meta({ description: 'Of the live sessions, how many answered what they have spent.' }),
      routes: z.array(z.string()).optional().meta({ description: 'The routes of the feature.' }),
    }),
  ])
  .register(answerSchemas, { id: 'PulledOrPreview' });

export const liftedAnswer = z
  .strictObject({ state: z.enum(['lifted', 'lift-requested']), kill_switch: killSwitchAnswer })
  .register(answerSchemas, { id: 'Lifted' });

export const agentRevokedAnswer = z
  .strictObject({
    agent: z.string(),
    revoked_before: time.meta({ description: 'Credentials issued until then are dead.' }),
    sessions: count.meta({ description: 'Live sessions that were found.' }),
    pending: count.meta({ description: 'Of those, how many have not acknowledged it yet.' }),
    listed: z.boolean().meta({ description: 'False while the edges cannot hear of it.' }),
  })
  .register(answerSchemas, { id: 'AgentRevoked' });

const policyEvent = z.enum(['deploy', 'run-time', 'let-go']);

export const policyAnswer = z
  .strictObject({
    digest: z.string().meta({ description: 'Hex SHA-256 of the text.' }),
    in_force: z.boolean(),
    yaml: z.string(),
    current: z.strictObject({
      digest: z.string(),
      source: z.enum(['deployed', 'run-time']),
      since: time.nullable(),
      by: z.string().nullable(),
      reason: z.string().nullable(),
    }),
    deployed: z.string().meta({ description: 'The digest of the file that this Worker was deployed with.' }),
    drift: z.boolean().meta({ description: 'Whether another text than the deployed one is in force.' }),
  })
  .register(answerSchemas, { id: 'Policy' });

export const policyPutAnswer = z
  .union([policyAnswer, z.strictObject({ dry_run: z.literal(true), digest: z.string() })])
  .register(answerSchemas, { id: 'PolicyOrValidation' });

export const policyVersionsAnswer = z
  .strictObject({
    versions: z.array(
      z.strictObject({ event: policyEvent, digest: z.string(), at: time, by: z.string(), reason: z.string() }),
    ),
  })
  .register(answerSchemas, { id: 'PolicyVersions' });

export const importAnswer = z
  .strictObject({
    listed: count.meta({
      description: 'How many were put on the list: not those that have expired, nor, of few, those that were on it.',
    }),
    epoch: count,
  })
  .register(answerSchemas, { id: 'ImportedRevocations' });

const drillChecks = z.array(z.strictObject({ what: z.string(), passed: z.boolean(), detail: z.string() }));
const milliseconds = count.nullable();

export const drillAnswer = z
  .strictObject({
    id: z.string(),
    started_at: time,
    finished_at: time,
    trigger: z.enum(['operator', 'schedule']),
    by: z.string(),
    reason: z.string(),
    required_seconds: count,
    goal_seconds: count,
    session_goal_seconds: count,
    method: z.string(),
    stops: z.array(
      z.strictObject({
        stop: z.enum([...KILL_LEVELS, 'session', 'halt']),
        target: z.string(),
        decided_at: time,
        refused_after_ms: milliseconds,
        stream_cut_after_ms: milliseconds,
        recovered_after_ms: milliseconds,
        checks: drillChecks,
        passed: z.boolean(),
        within_goal: z.boolean(),
      }),
    ),
    checks: drillChecks,
    passed: z.boolean(),
    within_goal: z.boolean(),
    issues: z.array(z.string()),
    sign_off: z
      .strictObject({
        by: z.string(),
        owner: z.string(),
        at: time,
        note: z.string(),
        remedial_action: z.string().nullable(),
      })
      .nullable(),
  })
  .register(answerSchemas, { id: 'Drill' });

export const drillsAnswer = z.strictObject({ drills: z.array(drillAnswer) }).register(answerSchemas, { id: 'Drills' });

export const openApiAnswer = z
  .looseObject({ openapi: z.string(), paths: z.record(z.string(), z.unknown()) })
  .register(answerSchemas, { id: 'OpenApi' });
