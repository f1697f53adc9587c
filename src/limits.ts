// Every bound in one place, with its unit in its name and its reason. A bound that is nowhere else may not be invented
// where it is used.

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const KIB = 1024;
const MIB = 1024 * KIB;

// Credentials
/** Provider keys are under 1 KB; a session token with all its claims is about 700 bytes. */
export const MAX_TOKEN_CHARS = 8 * KIB;
/** Ids reach URLs, logs and object names. */
export const MAX_ID_CHARS = 128;
/** RFC 7519 leaves the leeway to us: clocks of issuers drift, our own expiry need not. */
export const CLOCK_SKEW_ISSUED_SECONDS = 60;
export const CLOCK_SKEW_EXPIRY_SECONDS = 5;
/** Verified tokens kept per isolate: about 1 KB each. */
export const MAX_CACHED_TOKENS = 10_000;
/** A Cloudflare Access assertion with the groups of a large directory in it; the platform's own bound on a header is higher. */
export const MAX_ACCESS_ASSERTION_CHARS = 16 * KIB;
/** Access names its keys by a SHA-256 in hex. */
export const MAX_ACCESS_KID_CHARS = 128;
/** Cloudflare Access publishes two keys of 2 KB each. */
export const MAX_ACCESS_KEYS_BYTES = 64 * KIB;
export const MAX_ACCESS_KEYS = 32;
/** Access replaces its key every six weeks; an unknown one is asked for at once anyway. */
export const ACCESS_KEYS_REFRESH_AFTER_MS = 60 * MINUTE;
/** While the endpoint of the keys is down, those that are held verify this long; a key withdrawn meanwhile does so too. */
export const ACCESS_KEYS_MAX_AGE_MS = 24 * 60 * MINUTE;
/** Between two fetches for an unknown key, or after a failed one: whoever invents keys must not make us flood Access. */
export const ACCESS_KEYS_RETRY_MS = MINUTE;
/** Fetches of one isolate within that time while it holds no key at all. */
export const MAX_ACCESS_KEY_FETCHES = 16;
/** All of a fetch of keys: an operator waits for it on the first call of an isolate. */
export const ACCESS_KEYS_TIMEOUT_MS = 3 * SECOND;
/** A credential's scopes and segments. */
export const MAX_SCOPES = 64;
export const MAX_SEGMENTS = 16;

// Requests
/** Long conversations with pictures reach some MB; an isolate has 128 MB for everything. */
export const MAX_REQUEST_BODY_BYTES = 16 * MIB;
/** A client that is still sending hears no answer, so a body that is refused is read on, up to this; it is not kept. */
export const MAX_DRAINED_BODY_BYTES = 64 * MIB;
/** Parsers of the providers stop near here too; deeper is an attack on the stack. */
export const MAX_JSON_DEPTH = 128;
/** What a URL may be before it is read. */
export const MAX_URL_CHARS = 8 * KIB;
export const MAX_IDEMPOTENCY_KEY_CHARS = 255;

// Answers
/** A whole JSON answer is held to read its usage. */
export const MAX_JSON_ANSWER_BYTES = 32 * MIB;
/** One event of a stream; hosted image tools send partial pictures of several MB in one. */
export const MAX_STREAM_EVENT_BYTES = 8 * MIB;
/** A tool's answer passes through; past this it is cut. */
export const MAX_PASSED_ANSWER_BYTES = 256 * MIB;
/** Until the upstream's headers arrive, and all of an answer that is read whole. Reasoning models think for minutes. */
export const UPSTREAM_TIMEOUT_MS = 10 * MINUTE;
/** Between two chunks of a stream. */
export const STREAM_IDLE_TIMEOUT_MS = 2 * MINUTE;

// The ledger
/** Beyond this an amount cannot be added without losing micro-USD. A tenth of 2^53, so that ten of them still add up. */
export const MAX_MICRO_USD = 900_000_000_000_000;
export const MAX_TOKENS = 900_000_000_000_000;
/** The write-ahead block: at most this fraction of a limit is in doubt after a crash. */
export const BLOCK_FRACTION_OF_LIMIT = 0.01;
/** The block covers this much of recent holds. */
export const BLOCK_WINDOW_MS = 2 * SECOND;
/** Settlements and memory-admitted holds become durable together after this long. */
export const BATCH_DELAY_MS = 200;
/** Without admissions for this long the ceiling comes down, so that an idle eviction loses nothing (eviction comes after 10 s). */
export const SEAL_AFTER_MS = 5 * SECOND;
/** What is worth keeping and urgent to nobody (a count of refusals) is written after this long. */
export const IDLE_WRITE_DELAY_MS = 5 * SECOND;
/** An object that died before it sealed is looked after this long after its last grant. */
export const UNSEALED_CHECK_MS = MINUTE;
/** An alarm that is due later has been set by an incarnation long gone, and is durable. */
export const ARM_AGAIN_WITHIN_MS = 24 * 60 * MINUTE;
/** Between two tries to tell the control object of a session's status. */
export const REPORT_RETRY_MS = 10 * SECOND;
/** A stream's hold lives this long after its last watch. */
export const STREAM_LEASE_MS = 30 * SECOND;
/** Beyond the upstream's own timeout, for the settlement to arrive. */
export const LEASE_MARGIN_MS = 30 * SECOND;
/** Holds open at once in one session: the head of the ledger carries them all. */
export const MAX_OPEN_HOLDS = 2_048;
/** Ended ids answered from memory; older ones are looked up on disk. */
export const MAX_RESOLVED_IN_MEMORY = 4_096;
/** Settlements may arrive this long after the session's end. */
export const SESSION_GRACE_MS = 15 * MINUTE;
/** Refused in a row for being too big, the tenth trips. */
export const TOO_BIG_IN_A_ROW_TRIPS = 10;
/** Idempotency keys remembered per session. */
export const MAX_IDEMPOTENCY_KEYS = 10_000;
/** Retry-After while other requests hold the money: most requests end within seconds. */
export const SPEND_HELD_RETRY_SECONDS = 2;

/** What an isolate refuses by itself, again and again, is told to the session's log once in this time. */
export const DENIAL_REPORT_WINDOW_MS = 10 * SECOND;
/** Sessions times codes times routes that an isolate counts at once. */
export const MAX_DENIAL_WINDOWS = 10_000;

// Streams
export const WATCH_TIMEOUT_MS = 15 * SECOND;
/** A stream that has been without a watch for longer is cut. */
export const MAX_UNWATCHED_MS = 5 * SECOND;

// The snapshot
/** How often an isolate asks, and how old what it decides by may be, where the policy does not say. */
export const REVOCATION_REFRESH_SECONDS = 5;
export const REVOCATION_MAX_AGE_SECONDS = 60;
/** What a policy may say. Longer intervals would make a kill switch slow; a longer age, an outage unnoticed. */
export const MAX_REVOCATION_REFRESH_SECONDS = 60;
export const MAX_REVOCATION_AGE_SECONDS = 300;
/** An isolate that was idle refreshes beside its admission and waits at most this long. */
export const SNAPSHOT_BESIDE_ADMISSION_MS = 250;
/** A request whose body came more slowly is screened anew before its admission, as if it had come only then. */
export const SLOW_BODY_MS = 1 * SECOND;
/** An isolate says once in this time that its relay, or the control object, confirms nothing. */
export const MISSED_SOURCE_LOG_MS = MINUTE;
/** Requests of one isolate that ask for the head within a moment, while its copy is good enough to decide by. */
export const MAX_REFRESHES_AT_ONCE = 4;
export const REFRESH_WINDOW_MS = 1 * SECOND;
/** A relay answers with it thousands of times a second. Its parts, all at their most, make three quarters of it. */
export const MAX_HEAD_BYTES = 64 * KIB;
/** Revocations that a head carries itself: 4 KiB, so that most changes need no blob. */
export const MAX_RECENT_REVOCATIONS = 512;
/** Blobs that a head names: five tiers of seven at the very most, merged where it would be more. */
export const MAX_REVOCATION_BLOBS = 32;
/** So many blobs of one tier make one of the next: an entry is rewritten about five times on its way to a million. */
export const BLOBS_PER_TIER = 8;
/** All entries of the list: 16 MB in an isolate of 128 MB, twice that while a merge is loaded. */
export const MAX_REVOCATIONS = 2_000_000;
/** Agents revoked at once; a revocation leaves when the last credential of before has expired. */
export const MAX_REVOKED_AGENTS = 256;
/** Blobs of revocations that an isolate holds: those of its head, and those of the one before until these are loaded. */
export const MAX_EDGE_BLOB_BYTES = 40 * MIB;
/** Lists of at most MAX_RECENT_REVOCATIONS that heads carried, searched until the blobs that took them in are here. */
export const MAX_CARRIED_LISTS = 32;
/** One place that may have a blob is waited for so long, 16 MB at the most; there are three. */
export const BLOB_ANSWER_TIMEOUT_MS = 4 * SECOND;
/** A blob load that has said nothing for so long was lost with the request that it ran under. */
export const BLOB_LOAD_TIMEOUT_MS = 15 * SECOND;
/** Between two tries to load a blob that nobody could give. */
export const BLOB_RETRY_MS = 5 * SECOND;
/** What was published under a digest never changes, so locations may keep it for a day. */
export const BLOB_CACHE_SECONDS = 24 * 60 * 60;
/** After this a head that names a merged blob cannot be current anywhere: the longest maximum age is 5 minutes. */
export const BLOB_RETENTION_MS = 60 * MINUTE;
/** Durable Objects keep rows of at most 2 MB. */
export const BLOB_CHUNK_BYTES = 1 * MIB;
/** An answer of a relay or the control object is waited for so long; the relay's own question fits within it. */
export const SNAPSHOT_ANSWER_TIMEOUT_MS = 2 * SECOND;
/** An isolate that has just heard from nobody refuses at once for so long, instead of asking with each request. */
export const STALE_RETRY_MS = 500;
/** The last part of the refresh interval over which isolates spread their questions. */
export const REFRESH_JITTER_FRACTION = 0.2;
/** Sessions that an isolate has learned to be revoked before the list told it. */
export const MAX_LEARNED_REVOCATIONS = 10_000;

/** A signature of the head serves all who ask within this time. */
export const HEAD_MAX_REUSE_MS = 500;
/** KV takes one write per second and key. */
export const PUBLISH_EVERY_MS = 1 * SECOND;
export const PUBLISH_RETRY_MS = 5 * SECOND;
/** How often entries whose credential has expired are taken off the list. */
export const REVOCATION_SWEEP_MS = 60 * MINUTE;

// Agents
/** Sessions of a revoked agent told at once, and in one turn: an object may make a thousand calls, on a free account 50. */
export const AGENT_REVOCATIONS_AT_ONCE = 16;
export const AGENT_REVOCATIONS_PER_TURN = 480;
/** Whoever has not answered by then is told again in another turn: one that hangs must not keep it from the others. */
export const AGENT_ANSWER_TIMEOUT_MS = 5 * SECOND;
/** Between two turns of telling them. */
export const AGENT_RETRY_MS = 2 * SECOND;
/** Between two tries to have a revoked agent taken into the head. */
export const AGENT_LIST_RETRY_MS = MINUTE;
/** A session leaves the index of its agent this long after its end: clocks differ. */
export const AGENT_SESSION_KEPT_MS = 60 * MINUTE;

// Relays
/** Per region. Eight share 100,000 isolates at 5 s so that none gets a quarter of what an object can take. */
export const RELAY_SHARDS = 8;
/** A relay answers by itself with a head that was confirmed no longer ago; else it asks the control object first. */
export const RELAY_CONFIRMED_MS = 2 * SECOND;
/** A relay waits so long for the control object, then answers with what it has. */
export const RELAY_ASK_TIMEOUT_MS = 1 * SECOND;
/** A relay waits so long for each of the two that may have a blob: both within what those who ask it wait. */
export const RELAY_BLOB_TIMEOUT_MS = 2 * SECOND;
/** After a question that failed, so that those who ask the relay need not all wait for the next one. */
export const RELAY_RETRY_MS = 500;
/** Changed heads are pushed to relays that asked within this time. */
export const RELAY_ACTIVE_MS = MINUTE;
/** All regions with all shards, and room for more. */
export const MAX_RELAYS = 256;
/** Blobs that a relay keeps: the whole list at its most, and half of one that is being replaced. */
export const MAX_RELAY_BLOB_BYTES = 24 * MIB;

// The index of sessions
/** A session is listed this long after its end, and some. By its id its own object answers for ever. */
export const INDEX_KEPT_MS = 90 * 24 * 60 * MINUTE;
/** Between two turns of dropping old rows, while there are more. */
export const INDEX_SWEEP_AGAIN_MS = 5 * SECOND;
/** Rows that are read, or dropped, in one turn. */
export const LIVE_PAGE_ROWS = 5_000;
/** An object may have 10 GB. Past this nothing is issued any more, so that what stops things can still be written. */
export const MAX_INDEX_BYTES = 8 * 1024 * MIB;

// Kill switches
/** Lifting a global one takes a second person within this: long enough to be found, too short to be forgotten. */
export const LIFT_CONFIRM_WITHIN_MS = 15 * MINUTE;
/** Those of live traffic together, as JSON in the head. The two global ones always fit. */
export const MAX_SWITCHES_BYTES = 12 * KIB;
/** Those of a drill, which has to work also where operators have pulled all that fits. */
export const MAX_DRILL_SWITCHES_BYTES = 2 * KIB;
/** A preview asks this many sessions what they have spent, and says how many answered: a free account allows 50 calls. */
export const MAX_SESSIONS_PREVIEWED = 256;
/** A session that has not answered a preview by then is left out of it: eight times that is within an operator's patience. */
export const PREVIEW_ANSWER_TIMEOUT_MS = 2 * SECOND;
/** What a preview calls the last minute. */
export const PREVIEW_WINDOW_MS = MINUTE;

// Drills
/** How often one is due where the policy does not say. */
export const DRILL_EVERY_DAYS = 30;
/** A drill that has not ended by then was lost, and another may begin. */
export const MAX_DRILL_MS = 10 * MINUTE;
/** Evidence of some years. */
export const MAX_DRILLS_KEPT = 500;
export const MAX_DRILLS_LISTED = 50;

// The control plane
/** An object that has not answered by then counts as out of reach. Revoking an agent with many sessions takes some seconds. */
export const ADMIN_ANSWER_TIMEOUT_MS = 30 * SECOND;
/** The row that tells of a broken glass comes first where the control object answers in time; where not, the call goes on. */
export const BREAK_GLASS_NOTE_WAIT_MS = 1 * SECOND;
/** One call's worth of imported revocations: a line is at most a session's name and a time. */
export const MAX_IMPORT_LINES = 10_000;
export const MAX_IMPORT_BYTES = 2 * MIB;
/** A credential that lives longer than this is no session's; its entry would hardly ever leave the list. */
export const MAX_IMPORTED_LIFE_MS = 400 * 24 * 60 * MINUTE;
/** Own sessions that were revoked in bulk, told at once, and in one turn of the control object's alarm. */
export const UNTOLD_AT_ONCE = 16;
export const UNTOLD_PER_TURN = 160;
/** Whoever has not answered by then is told again in another turn: one that hangs must not hold up the alarm. */
export const UNTOLD_ANSWER_TIMEOUT_MS = 5 * SECOND;
export const UNTOLD_RETRY_MS = 1 * SECOND;
export const MAX_ADMIN_BODY_BYTES = 64 * KIB;
export const MAX_REASON_CHARS = 500;
export const MAX_POLICY_BYTES = 256 * KIB;
/** A policy within JSON: some characters are written as two. */
export const MAX_POLICY_BODY_BYTES = 2 * MAX_POLICY_BYTES + 4 * KIB;
/** A year of changes each workday; texts that differ are kept once. */
export const MAX_POLICY_VERSIONS = 200;
/** One page of a listing asks each session's object, and a free account allows 50 subrequests. */
export const MAX_SESSIONS_PER_PAGE = 25;
export const MAX_LEDGER_ENTRIES_PER_PAGE = 1_000;
/** The longest credential that a policy may allow. */
export const MAX_SESSION_TTL_SECONDS = 30 * 24 * 60 * 60;

// The audit log
/** Identical denials of so long are counted into one row. */
export const AUDIT_FOLD_WINDOW_MS = MINUTE;
/** Kinds of denials counted at once: every code on some routes. The oldest makes room, and tells what it counted. */
export const MAX_OPEN_FOLDS = 128;
/** A checkpoint vouches for at most so many rows, and comes at most so late while rows are written. */
export const CHECKPOINT_EVERY_ROWS = 500;
export const CHECKPOINT_EVERY_MS = MINUTE;
/** Lines of a log that ride in a session's head: some KB in a row that is written anyway, instead of a row of their own. */
export const MAX_RIDING_LINES = 16;
/** Texts of requests reach rows: models, actions. Longer than any reason; what is cut ends in an ellipsis. */
export const MAX_AUDIT_TEXT_CHARS = 512;
/** A row has a dozen texts at most, an entry of the ledger likewise. */
export const MAX_LOG_LINE_CHARS = 256 * KIB;
/** Lines of a log in one answer of an object: some MB, where RPC takes 32. */
export const MAX_LOG_LINES_PER_PAGE = 5_000;
/** What a caller may have verified in one call: a million rows, compressed or not. */
export const MAX_VERIFIED_BYTES = 64 * MIB;

// Archives
/** When the policy that created a session said nothing of it. */
export const DEFAULT_RETENTION_DAYS = 30;
/** Ten years. */
export const MAX_RETENTION_DAYS = 3_650;
/** Compressed, and held in memory while it is verified: a million rows. A session with more stays as it is. */
export const MAX_ARCHIVE_BYTES = 32 * MIB;
/** A value of an object's storage may have 2 MiB. */
export const ARCHIVE_CHUNK_BYTES = 1 * MIB;
/** After the first failure; twice as long after each other, up to a day. */
export const ARCHIVE_RETRY_MS = 10 * MINUTE;
export const MAX_ARCHIVE_RETRY_MS = 24 * 60 * MINUTE;
