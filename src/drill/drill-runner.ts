// Runs a drill: pulls each stop against synthetic sessions through the same pipeline and the same control object as real
// traffic, watches what the edge does, lifts it and watches again. Reaches everything through its ports.
import type { ControlRpc } from '../rpc/control-rpc.ts';
import type { DrillCheck, DrilledStop, DrillReport, DrillRpc } from '../rpc/drill-rpc.ts';
import { KILL_LEVELS, type KillLevel, type SwitchAct } from '../rpc/kill-switch.ts';
import type { SessionRef } from '../rpc/session-name.ts';
import { chatRequest, type DrillSubject, subjectOf, switchOf, toolRequest } from './drill-plan.ts';
import { GOAL_SECONDS, issuesOf, judged, REQUIRED_SECONDS, SESSION_GOAL_SECONDS, verdictOf } from './drill-verdict.ts';

export interface IssuedSubject {
  readonly token: string;
  readonly session: SessionRef;
}

export interface DrillPorts {
  /** The data plane, in the namespace of drills. */
  readonly probe: (request: Request) => Promise<Response>;
  /** The same, halted. */
  readonly probeHalted: (request: Request) => Promise<Response>;
  /** Requests for that path that have reached the upstream. */
  readonly upstreamCalls: (path: string) => number;
  readonly issue: (subject: DrillSubject) => Promise<IssuedSubject>;
  readonly revoke: (session: SessionRef, reason: string) => Promise<void>;
  readonly control: Pick<ControlRpc, 'pull' | 'lift'> & Pick<DrillRpc, 'drillEvents'>;
  /** Whether the control plane refuses pulling and lifting to whoever lacks the role. */
  readonly authorisation: () => readonly DrillCheck[];
  readonly now: () => number;
  readonly sleep: (delayMs: number) => Promise<void>;
}

export interface DrillOrder {
  readonly id: string;
  readonly trigger: DrillReport['trigger'];
  readonly by: string;
  readonly reason: string;
}

/** How exactly times are seen. */
const PROBE_EVERY_MS = 200;
const PATIENCE_MS = (REQUIRED_SECONDS + 5) * 1_000;
/** After this a drill's switches end by themselves, whatever became of the drill. */
const SWITCH_LIFE_MS = 5 * 60_000;
const METHOD =
  'Synthetic sessions, one for each stop, called through the data plane of one isolate: a tool every 200 ms, and a stream that ' +
  'runs all the time. Switches are pulled at the control object in the namespace of drills and reach that isolate as every ' +
  'other: no shortcut is taken. Times are from the decision to what the caller sees.';

/**
 * Runs the whole drill: about half a minute where everything works, some minutes at most. Never rejects: what cannot be
 * drilled has failed, and is in the evidence.
 */
export async function runDrill(order: DrillOrder, ports: DrillPorts): Promise<DrillReport> {
  const startedMs = ports.now();
  const drill = new Drill(order, ports);
  const narrow = KILL_LEVELS.filter((level) => level !== 'global');
  const stops: DrilledStop[] = await Promise.all([
    ...narrow.map((level) => drill.attempt(level, () => drill.level(level))),
    drill.attempt('session', () => drill.session()),
    drill.attempt('halt', () => drill.halt()),
  ]);
  // It stops the subjects of all others, so it comes after them.
  stops.unshift(await drill.attempt('global', () => drill.level('global')));
  const checks = [...ports.authorisation(), await drill.logged()];
  return {
    id: order.id,
    started_at: timestamp(startedMs),
    finished_at: timestamp(ports.now()),
    trigger: order.trigger,
    by: order.by,
    reason: order.reason,
    required_seconds: REQUIRED_SECONDS,
    goal_seconds: GOAL_SECONDS,
    session_goal_seconds: SESSION_GOAL_SECONDS,
    method: METHOD,
    stops,
    checks,
    ...verdictOf(stops, checks),
    issues: issuesOf(stops, checks),
    sign_off: null,
  };
}

/** Of a stop that could not be begun. */
const NOTHING_SEEN = { refused_after_ms: null, stream_cut_after_ms: null, recovered_after_ms: null };

class Drill {
  readonly #order: DrillOrder;
  readonly #ports: DrillPorts;

  constructor(order: DrillOrder, ports: DrillPorts) {
    this.#order = order;
    this.#ports = ports;
  }

  /** What a stop's drill saw; a failed one where a part that it needs could not be asked. */
  async attempt(stop: DrilledStop['stop'], run: () => Promise<DrilledStop>): Promise<DrilledStop> {
    const begunMs = this.#ports.now();
    try {
      return await run();
    } catch (error) {
      return judged({
        stop,
        target: stop === 'session' || stop === 'halt' ? stop : switchOf(this.#order.id, stop).target,
        decided_at: timestamp(begunMs),
        refused_after_ms: null,
        stream_cut_after_ms: null,
        recovered_after_ms: null,
        checks: [check('it could be drilled to its end', false, String(error))],
      });
    }
  }

  /** Pulls and lifts a kill switch of that level. */
  async level(level: KillLevel): Promise<DrilledStop> {
    const { id } = this.#order;
    const { control, now } = this.#ports;
    const name = switchOf(id, level);
    const subject = subjectOf(id, level);
    const checks: DrillCheck[] = [];
    const issued = await this.#ports.issue(subject);
    const bystander = await this.#ports.issue(subjectOf(id, `bystander-${level}`));
    try {
      const stream = await this.#begin(subject, issued, checks);
      const decidedMs = now();
      const pulled = await control.pull({ ...name, untilMs: decidedMs + SWITCH_LIFE_MS, act: this.#act('ann') });
      checks.push(check('the switch was pulled', pulled.pulled, pulled.pulled ? 'pulled' : 'there was no room for it'));
      if (!pulled.pulled) {
        await stream.stop();
        return judged({ ...NOTHING_SEEN, stop: level, target: name.target, decided_at: timestamp(decidedMs), checks });
      }
      const refused = await this.#until(subject, issued, 'kill-switch-active', decidedMs);
      const cutMs = await stream.cut('kill-switch-active', decidedMs);
      checks.push(await this.#untouched(subject, issued));
      if (level !== 'global') checks.push(await this.#unharmed(subjectOf(id, `bystander-${level}`), bystander));
      checks.push(...(await this.#lift(level)));
      const liftedMs = now();
      const recovered = await this.#until(subject, issued, 'ok', liftedMs);
      return judged({
        stop: level,
        target: name.target,
        decided_at: timestamp(decidedMs),
        refused_after_ms: refused,
        stream_cut_after_ms: cutMs,
        recovered_after_ms: recovered,
        checks,
      });
    } finally {
      await this.#clear([issued, bystander]);
    }
  }

  /** Revokes one session in its own object. */
  async session(): Promise<DrilledStop> {
    const subject = subjectOf(this.#order.id, 'session');
    const checks: DrillCheck[] = [];
    const issued = await this.#ports.issue(subject);
    const stream = await this.#begin(subject, issued, checks);
    const decidedMs = this.#ports.now();
    await this.#ports.revoke(issued.session, this.#reason());
    const refused = await this.#until(subject, issued, 'session-revoked', decidedMs);
    const cutMs = await stream.cut('session-revoked', decidedMs);
    checks.push(await this.#untouched(subject, issued));
    return judged({
      stop: 'session',
      target: `${issued.session.issuer}~${issued.session.sid}`,
      decided_at: timestamp(decidedMs),
      refused_after_ms: refused,
      stream_cut_after_ms: cutMs,
      recovered_after_ms: null,
      checks,
    });
  }

  /** Asks a data plane that is halted: it needs neither the control object nor KV. */
  async halt(): Promise<DrilledStop> {
    const subject = subjectOf(this.#order.id, 'halt');
    const issued = await this.#ports.issue(subject);
    try {
      const decidedMs = this.#ports.now();
      const code = await codeOf(await this.#ports.probeHalted(toolRequest(subject, issued.token)));
      const refusedMs = this.#ports.now() - decidedMs;
      return judged({
        stop: 'halt',
        target: 'HALT',
        decided_at: timestamp(decidedMs),
        refused_after_ms: code === 'kill-switch-active' ? refusedMs : null,
        stream_cut_after_ms: null,
        recovered_after_ms: null,
        checks: [check('a halted data plane refuses', code === 'kill-switch-active', `it answered ${code}`)],
      });
    } finally {
      await this.#clear([issued]);
    }
  }

  /** What the deployment's log has to say of all this. */
  async logged(): Promise<DrillCheck> {
    const what = 'every pull and lift is in the log, refused lifts too';
    let events: readonly string[];
    try {
      events = await this.#ports.control.drillEvents(this.#order.id);
    } catch (error) {
      return check(what, false, String(error));
    }
    const count = (event: string): number => events.filter((logged) => logged === event).length;
    const pulled = count('kill-switch.pulled');
    const lifted = count('kill-switch.lifted');
    const refused = count('kill-switch.lift-refused');
    const wanted = KILL_LEVELS.length;
    return check(
      what,
      pulled === wanted && lifted === wanted && refused >= 3,
      `${pulled} pulled, ${lifted} lifted, ${refused} lifts refused`,
    );
  }

  /** The subject works, and has a stream under way. */
  async #begin(subject: DrillSubject, { token }: IssuedSubject, checks: DrillCheck[]): Promise<Stream> {
    const { probe, now } = this.#ports;
    const code = await codeOf(await probe(toolRequest(subject, token)));
    checks.push(check('the session worked before', code === 'ok', `it answered ${code}`));
    const stream = new Stream(await probe(chatRequest(subject, token)), now);
    checks.push(check('a stream was under way before', await stream.begun, `status ${stream.status}`));
    return stream;
  }

  /** Calls until the answer is of that code; how long that took, or null. */
  async #until(subject: DrillSubject, { token }: IssuedSubject, code: string, sinceMs: number): Promise<number | null> {
    const { probe, now, sleep } = this.#ports;
    while (now() - sinceMs < PATIENCE_MS) {
      if ((await codeOf(await probe(toolRequest(subject, token)))) === code) return now() - sinceMs;
      await sleep(PROBE_EVERY_MS);
    }
    return null;
  }

  /** What is refused does not reach the upstream. */
  async #untouched(subject: DrillSubject, { token }: IssuedSubject): Promise<DrillCheck> {
    const { probe, upstreamCalls } = this.#ports;
    const path = `/${subject.customer}`;
    const before = upstreamCalls(path);
    const codes = [];
    for (let call = 0; call < 3; call += 1) codes.push(await codeOf(await probe(toolRequest(subject, token))));
    const passed = upstreamCalls(path) === before && !codes.includes('ok');
    return check(
      'no refused call reached the upstream',
      passed,
      `${codes.join(', ')}; ${upstreamCalls(path) - before} calls`,
    );
  }

  /** Somebody else goes on. */
  async #unharmed(subject: DrillSubject, { token }: IssuedSubject): Promise<DrillCheck> {
    const code = await codeOf(await this.#ports.probe(toolRequest(subject, token)));
    return check('a session that is not meant went on', code === 'ok', `it answered ${code}`);
  }

  /** Lifts, and tries what must not work first. */
  async #lift(level: KillLevel): Promise<DrillCheck[]> {
    const name = switchOf(this.#order.id, level);
    const attempt = async (what: string, act: SwitchAct, expected: string): Promise<DrillCheck> => {
      const answer = await this.#ports.control.lift(name, act);
      const outcome = answer.outcome === 'refused' ? answer.why : answer.outcome;
      return check(what, outcome === expected, outcome);
    };
    if (level !== 'global') return [await attempt('one operator lifts it', this.#act('ann'), 'lifted')];
    return [
      await attempt('an approver cannot begin the lift', this.#act('bob', ['approver']), 'not-operator'),
      await attempt('one person alone only asks for it', this.#act('ann'), 'requested'),
      await attempt('the same person under another token is refused', this.#act('Ann ', ['approver']), 'same-person'),
      await attempt('a second operator who may not approve is refused', this.#act('bob'), 'not-approver'),
      await attempt('a second person who may approve lifts it', this.#act('bob', ['approver']), 'lifted'),
    ];
  }

  async #clear(issued: readonly IssuedSubject[]): Promise<void> {
    await Promise.all(issued.map(({ session }) => this.#ports.revoke(session, this.#reason())));
  }

  /** People whom only drills know. */
  #act(person: string, roles: readonly string[] = ['operator']): SwitchAct {
    return { by: `drill:${person.trim()}:${roles.join('+')}`, owner: `drill:${person}`, roles, reason: this.#reason() };
  }

  #reason(): string {
    return `drill ${this.#order.id}`;
  }
}

/** A streamed answer, read as it comes. */
class Stream {
  readonly status: number;
  /** Whether anything of it came. */
  readonly begun: Promise<boolean>;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array> | null;
  readonly #ended: Promise<{ readonly atMs: number; readonly text: string }>;

  constructor(response: Response, now: () => number) {
    this.status = response.status;
    this.#reader = response.body?.getReader() ?? null;
    const begun = Promise.withResolvers<boolean>();
    this.begun = begun.promise;
    this.#ended = this.#read((isFine) => begun.resolve(isFine && response.ok)).then((text) => ({ atMs: now(), text }));
  }

  /** How long after the decision it ended with that code; null where it did not in time, or said something else. */
  async cut(code: string, sinceMs: number): Promise<number | null> {
    const late = Promise.withResolvers<null>();
    const timer = setTimeout(late.resolve, PATIENCE_MS, null);
    const end = await Promise.race([this.#ended, late.promise]);
    clearTimeout(timer);
    if (end === null) await this.stop();
    return end?.text.includes(`"${code}"`) === true ? end.atMs - sinceMs : null;
  }

  async stop(): Promise<void> {
    await this.#reader?.cancel();
  }

  /** The end of what came. */
  async #read(begun: (isFine: boolean) => void): Promise<string> {
    const decoder = new TextDecoder();
    let text = '';
    try {
      for (let read = await this.#reader?.read(); read?.done === false; read = await this.#reader?.read()) {
        begun(true);
        text = (text + decoder.decode(read.value, { stream: true })).slice(-KEPT_CHARS);
      }
    } catch {
      // It broke off instead of saying why: the code is missed, and that is what the report says.
    }
    begun(false);
    return text;
  }
}

/** The end of a stream is what tells why. */
const KEPT_CHARS = 4_096;

/** `ok`, or the code of the problem. */
async function codeOf(response: Response): Promise<string> {
  const body = await response.json<{ code?: unknown }>();
  if (response.ok) return 'ok';
  return typeof body.code === 'string' ? body.code : `status ${response.status}`;
}

function check(what: string, passed: boolean, detail: string): DrillCheck {
  return { what, passed, detail };
}

function timestamp(atMs: number): string {
  return new Date(atMs).toISOString();
}
