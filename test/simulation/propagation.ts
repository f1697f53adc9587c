// How long a change takes to work everywhere: locations with isolates that serve traffic, relays, a control object and a KV
// that is minutes late, on a clock of its own. Edges and relays are the real ones; the network between them, and the
// control object's storage, are simulated. Every request is held against the promise of the revocation list.
import { Relay } from '../../src/relay/relay.ts';
import type { HeadRpc } from '../../src/rpc/control-rpc.ts';
import { REGIONS, type RelayName, relayName } from '../../src/rpc/region.ts';
import type { SignedHead } from '../../src/rpc/relay-rpc.ts';
import type { KeyRing } from '../../src/signing/signing-keys.ts';
import { SNAPSHOT_BESIDE_ADMISSION_MS } from '../../src/limits.ts';
import type { Head } from '../../src/snapshot/head.ts';
import { signHead } from '../../src/snapshot/signed-head.ts';
import { EdgeSnapshot } from '../../src/snapshot/snapshot-client.ts';
import type { ScreenedCaller } from '../../src/snapshot/snapshot.ts';
import { callerOf, headOf, recent, START_MS } from '../support/heads.ts';
import { type Failure, isIn, type Scenario } from './propagation-faults.ts';
import { type Random, seeded } from './random.ts';
import { VirtualTime } from './virtual-time.ts';

export interface PropagationOptions {
  readonly keys: KeyRing;
  readonly scenario: Scenario;
  readonly seed: number;
  readonly locations: number;
  readonly isolatesPerLocation: number;
  readonly seconds: number;
  /** Other parts in the place of the real ones, to see that a broken one is found out. */
  readonly parts?: { readonly Relay?: typeof Relay; readonly EdgeSnapshot?: typeof EdgeSnapshot };
}

export interface PropagationResult {
  readonly requests: number;
  readonly refusedAsStale: number;
  readonly refreshes: number;
  /** For each change and isolate that was serving, how long after the change a request of its subject still passed; ms, ascending. */
  readonly lagsMs: readonly number[];
  /** The same, of requests that woke an isolate which had been idle; these are held to the maximum age alone. */
  readonly wakingLagsMs: readonly number[];
}

const RULES = { refreshMs: 5_000, maxAgeMs: 60_000 };
/** The promise: while a relay that hears from the control object, or that one itself, can be reached for so long. */
const REACHABLE_BOUND_MS = 10_000;
/** The admission and the way of a request that was screened at the last moment. */
const ON_ITS_WAY_MS = 1_000;
const CHANGE_EVERY_MS = 15_000;
const RELAY_REMEMBERED_MS = 60_000;
const MAX_KV_DELAY_MS = 180_000;

interface Change {
  readonly atMs: number;
  readonly subject: ScreenedCaller;
}

interface Isolate {
  readonly region: number;
  readonly relay: RelayName;
  readonly kvDelayMs: number;
  /** Between two requests, on average. */
  readonly meanGapMs: number;
  snapshot: EdgeSnapshot;
  servedMs: number;
  /** Since when it has been serving without a pause. */
  awakeMs: number;
  readonly lagsMs: Map<Change, number>;
}

export async function simulatePropagation(options: PropagationOptions): Promise<PropagationResult> {
  return new Deployment(options).run();
}

class Deployment {
  readonly #options: PropagationOptions;
  readonly #random: Random;
  readonly #time = new VirtualTime(START_MS);
  readonly #changes: Change[] = [];
  #head: Head = headOf();
  /** What KV was given, and when. */
  readonly #published: { readonly atMs: number; readonly head: string }[] = [];
  readonly #relays = new Map<RelayName, Relay>();
  readonly #askedMs = new Map<RelayName, number>();
  #signed: { readonly atMs: number; readonly epoch: number; readonly head: Promise<string> } | null = null;
  #requests = 0;
  #refusedAsStale = 0;
  #refreshes = 0;
  readonly #wakingLagsMs: number[] = [];
  #violation: Error | null = null;

  constructor(options: PropagationOptions) {
    this.#options = options;
    this.#random = seeded(options.seed);
  }

  async run(): Promise<PropagationResult> {
    const { locations, isolatesPerLocation, seconds, scenario } = this.#options;
    await this.#publish();
    const isolates = Array.from({ length: locations * isolatesPerLocation }, (_, index) =>
      this.#isolate(index % locations),
    );
    for (const isolate of isolates) this.#serveFrom(isolate, START_MS + this.#random.below(10_000));
    for (let atMs = START_MS + CHANGE_EVERY_MS; atMs < START_MS + (seconds - 20) * 1_000; atMs += CHANGE_EVERY_MS)
      this.#time.at(atMs + this.#random.below(5_000), () => void this.#change());
    if (scenario.relaysRestartEverySeconds !== undefined) this.#restartRelays(scenario.relaysRestartEverySeconds);
    for (let second = 1; second <= seconds && this.#violation === null; second += 1)
      await this.#time.runUntil(START_MS + second * 1_000);
    if (this.#violation !== null) throw this.#violation;
    const lagsMs = isolates.flatMap((isolate) => Array.from(isolate.lagsMs.values()));
    return {
      requests: this.#requests,
      refusedAsStale: this.#refusedAsStale,
      refreshes: this.#refreshes,
      lagsMs: lagsMs.toSorted((a, b) => a - b),
      wakingLagsMs: this.#wakingLagsMs.toSorted((a, b) => a - b),
    };
  }

  // ------------------------------------------------------------------------------------------------- the control object

  async #change(): Promise<void> {
    const name = `fusebox~${this.#changes.length}`;
    const atMs = this.#time.now();
    this.#changes.push({ atMs, subject: callerOf(name) });
    const names = this.#changes.map(({ subject }) => subject.name);
    this.#head = { ...this.#head, epoch: this.#head.epoch + 1, revoked: { blobs: [], recent: recent(...names) } };
    const head = await this.#sign();
    for (const [relay, askedMs] of this.#askedMs) {
      const isLost = this.#random.chance(this.#options.scenario.pushesLost) || this.#isCutOff();
      if (askedMs < atMs - RELAY_REMEMBERED_MS || isLost || this.#relayFailure(relay) !== null) continue;
      const arrivesMs = atMs + 20 + this.#random.below(150);
      this.#time.at(arrivesMs, () => void this.#relay(relay).push(head));
    }
    await this.#publish();
  }

  async #publish(): Promise<void> {
    const { head } = await this.#sign();
    this.#published.push({ atMs: this.#time.now(), head });
  }

  async #sign(): Promise<SignedHead> {
    const atMs = this.#time.now();
    const { epoch } = this.#head;
    if (this.#signed === null || this.#signed.epoch !== epoch || atMs - this.#signed.atMs >= 500) {
      const head = signHead({ ...this.#head, asOfMs: atMs }, this.#options.keys);
      this.#signed = { atMs, epoch, head };
    }
    return { head: await this.#signed.head, epoch, asOfMs: this.#signed.atMs };
  }

  /** The control object as somebody reaches it over a way that takes so long. */
  #control(hopMs: number, isCut: () => boolean): HeadRpc {
    return {
      head: async (request) => {
        await this.#time.delay(hopMs);
        const { control } = this.#options.scenario;
        if (isCut()) throw new Error('cut off');
        if (isIn(control?.spans, this.#second())) await this.#fail(control?.how ?? 'rejects');
        if (request?.relay !== undefined) this.#askedMs.set(request.relay as RelayName, this.#time.now());
        const head = await this.#sign();
        await this.#time.delay(hopMs);
        return head;
      },
      blob: async () => null,
    };
  }

  // ---------------------------------------------------------------------------------------------------------- the relays

  #relay(name: RelayName): Relay {
    let relay = this.#relays.get(name);
    if (relay === undefined) {
      const control = this.#control(10 + this.#random.below(80), () => this.#isCutOff());
      const { now, within } = this.#time;
      relay = new (this.#options.parts?.Relay ?? Relay)({
        control: () => control,
        kv: { blob: async () => null },
        name,
        now,
        within,
      });
      this.#relays.set(name, relay);
    }
    return relay;
  }

  #restartRelays(everySeconds: number): void {
    this.#time.at(this.#time.now() + everySeconds * 1_000, () => {
      for (const name of this.#relays.keys()) if (this.#random.chance(0.5)) this.#relays.delete(name);
      this.#restartRelays(everySeconds);
    });
  }

  #isCutOff(): boolean {
    return isIn(this.#options.scenario.relaysCutOff, this.#second());
  }

  #relayFailure(name: RelayName): Failure | null {
    const { relays } = this.#options.scenario;
    const region = REGIONS.findIndex((known) => name === relayName(known, Number(name.at(-1)) / 8));
    return relays !== undefined && region % relays.everyRegion === 0 && isIn(relays.spans, this.#second())
      ? relays.how
      : null;
  }

  // --------------------------------------------------------------------------------------------------------- an isolate

  #isolate(location: number): Isolate {
    const region = location % REGIONS.length;
    const relay = relayName(REGIONS[region] ?? 'enam', this.#random.below(1_000) / 1_000);
    const isolate: Omit<Isolate, 'snapshot'> = {
      region,
      relay,
      kvDelayMs: 1_000 + this.#random.below(MAX_KV_DELAY_MS),
      meanGapMs: this.#random.pick([200, 1_000, 3_000, 20_000, 90_000]),
      servedMs: Number.NEGATIVE_INFINITY,
      awakeMs: Number.POSITIVE_INFINITY,
      lagsMs: new Map(),
    };
    return Object.assign(isolate, { snapshot: this.#snapshot(isolate) });
  }

  #snapshot({ relay, kvDelayMs }: Omit<Isolate, 'snapshot'>): EdgeSnapshot {
    const hopMs = 1 + this.#random.below(40);
    const control = this.#control(20 + this.#random.below(100), () => false);
    return new (this.#options.parts?.EdgeSnapshot ?? EdgeSnapshot)({
      relay: () => ({
        head: async (request) => {
          this.#refreshes += 1;
          await this.#time.delay(hopMs);
          const failure = this.#relayFailure(relay);
          if (failure !== null) await this.#fail(failure);
          const head = await this.#relay(relay).head(request);
          await this.#time.delay(hopMs);
          return head;
        },
        blob: async () => null,
      }),
      control: () => control,
      kv: {
        head: async () => {
          await this.#time.delay(5 + this.#random.below(40));
          const { kvRolledBack } = this.#options.scenario;
          const seen = this.#published.filter(({ atMs }) => atMs + kvDelayMs <= this.#time.now());
          return (kvRolledBack === true ? seen[0] : seen.at(-1))?.head ?? null;
        },
        blob: async () => null,
      },
      keys: this.#options.keys,
      deployment: 'fusebox',
      rules: () => RULES,
      policy: { inForce: () => null, adopt: async () => false },
      now: this.#time.now,
      random: () => this.#random.below(1_000) / 1_000,
      within: this.#time.within,
      log: () => undefined,
    });
  }

  #serveFrom(isolate: Isolate, atMs: number): void {
    this.#time.at(atMs, () => {
      // Now and then the platform starts a new one in its place.
      if (this.#random.chance(0.002)) {
        isolate.snapshot = this.#snapshot(isolate);
        isolate.servedMs = Number.NEGATIVE_INFINITY;
      }
      void this.#serve(isolate).catch((error: unknown) => {
        this.#violation ??= error instanceof Error ? error : new Error(String(error));
      });
      const gapMs = Math.ceil(-Math.log(1 - this.#random.below(1_000) / 1_000) * isolate.meanGapMs);
      this.#serveFrom(isolate, this.#time.now() + gapMs + 1);
    });
  }

  /** A request as the pipeline screens it, before and after its admission. */
  async #serve(isolate: Isolate): Promise<void> {
    const { snapshot } = isolate;
    const startedMs = this.#time.now();
    if (startedMs - isolate.servedMs > RULES.refreshMs) isolate.awakeMs = startedMs;
    isolate.servedMs = startedMs;
    this.#requests += 1;
    const freshness = snapshot.freshness();
    if (freshness === 'stale') await snapshot.refresh();
    else if (freshness === 'fresh' && snapshot.refreshIsDue()) void snapshot.refresh();
    if (snapshot.freshness() === 'stale') {
      this.#refusedAsStale += 1;
      return;
    }
    const beside =
      freshness === 'unconfirmed' ? this.#time.within(snapshot.refresh(), SNAPSHOT_BESIDE_ADMISSION_MS) : null;
    await this.#time.delay(5 + this.#random.below(100));
    await beside;
    this.#check(isolate, { startedMs, snapshot });
  }

  /** The request is forwarded now: nothing may pass that should have been refused. */
  #check(
    isolate: Isolate,
    { startedMs, snapshot }: { readonly startedMs: number; readonly snapshot: EdgeSnapshot },
  ): void {
    const now = this.#time.now();
    for (const change of this.#changes) {
      const isRefused = snapshot.verdict(change.subject, { feature: null, namespace: 'live' }) !== null;
      if (isRefused) {
        if (!isolate.lagsMs.has(change) && isolate.awakeMs < change.atMs) isolate.lagsMs.set(change, 0);
        continue;
      }
      const lagMs = now - change.atMs;
      const isAwake = startedMs - isolate.awakeMs >= REACHABLE_BOUND_MS;
      if (isAwake) isolate.lagsMs.set(change, lagMs);
      else this.#wakingLagsMs.push(lagMs);
      if (lagMs > RULES.maxAgeMs + ON_ITS_WAY_MS)
        throw this.#broken(`a revoked session passed ${lagMs} ms later, past the maximum age`);
      if (isAwake && this.#wasReachable(change.atMs, now))
        throw this.#broken(`a revoked session passed ${lagMs} ms later, though it could have been heard of`);
    }
  }

  /**
   * Whether the change could have been heard of for the time that the promise names, without a break. Edges always have a
   * way to the control object here; a relay without it has nothing new to tell.
   */
  #wasReachable(fromMs: number, toMs: number): boolean {
    let sinceMs = fromMs;
    for (const [from, to] of this.#options.scenario.control?.spans ?? []) {
      const [downMs, upMs] = [START_MS + from * 1_000, START_MS + to * 1_000];
      if (downMs < toMs && upMs > sinceMs) sinceMs = upMs;
    }
    return toMs - sinceMs > REACHABLE_BOUND_MS;
  }

  #second(): number {
    return (this.#time.now() - START_MS) / 1_000;
  }

  #fail(how: Failure): Promise<never> {
    return how === 'hangs' ? new Promise(() => undefined) : Promise.reject(new Error('out of reach'));
  }

  #broken(what: string): Error {
    const { scenario, seed } = this.#options;
    return new Error(`${what} (scenario "${scenario.name}", seed ${seed}, second ${this.#second().toFixed(1)})`);
  }
}
