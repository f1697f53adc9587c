// Random lives of one session: requests, settlements, extensions, limits, crashes between any two steps. After every
// step the ledger is held against the reference; at the end everything is settled and must add up to the micro-dollar.
import type { AdmissionRules, Demand, Receipt, SessionIdentity } from '../../src/rpc/session-rpc.ts';
import { type MicroUsd, microUsd } from '../../src/money.ts';
import { type Random, seeded } from './random.ts';
import { ReferenceLedger, type Sum } from './reference-ledger.ts';
import { checkLog } from './simulated-log.ts';
import { type Domain, SimulatedObject } from './simulated-object.ts';

/** A request that was admitted, as its Worker knows it. */
interface Running {
  receipt: Receipt;
  readonly stream: boolean;
  leaseUntilMs: number;
  /** Its stream has a long poll open, which breaks when the object dies. */
  watched: boolean;
  /** The Worker is gone: nobody will settle it. */
  abandoned: boolean;
  acknowledged: boolean;
}

export interface SimulationResult {
  readonly operations: number;
  readonly crashes: number;
  readonly admitted: number;
  readonly refused: number;
}

class Violation extends Error {}

const RULES: AdmissionRules = { warnAt: 0.9, onLimit: 'pause', leastUsefulMicroUsd: null };
const CREATION = { rules: RULES, act: { by: 'simulation', reason: 'to be simulated' }, deployment: 'simulation' };
const START_MS = 1_800_000_000_000;
const LIFE_MS = 24 * 3_600_000;
const LEASE_MS = 60_000;
const DAY_MS = 24 * 3_600_000;

/** One life of `operations` random steps. Throws with the seed and the step where an invariant breaks. */
export function simulate(domain: Domain, seed: number, operations: number): SimulationResult {
  const life = new Life(domain, seeded(seed));
  for (let step = 0; step < operations; step += 1) {
    try {
      life.step();
      life.check();
    } catch (error) {
      throw new Error(
        `seed ${seed}, step ${step} (${life.doing}): ${error instanceof Error ? error.message : String(error)}`,
        { cause: error },
      );
    }
  }
  try {
    life.finish();
  } catch (error) {
    throw new Error(`seed ${seed}, at the end: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
  return { operations, crashes: life.crashes, admitted: life.admitted, refused: life.refused };
}

class Life {
  doing = 'start';
  crashes = 0;
  admitted = 0;
  refused = 0;
  readonly #domain: Domain;
  readonly #random: Random;
  readonly #object: SimulatedObject;
  readonly #reference: ReferenceLedger;
  readonly #running = new Map<string, Running>();
  #nowMs = START_MS;
  #nextId = 0;
  /** Charged beyond what was really taken on, each with its cause: doubt that nobody can claim, by generation, … */
  readonly #unclaimable = new Map<number, Sum>();
  /** When each generation's doubt began. */
  readonly #doubtSinceMs = new Map<number, number>();
  /** … and holds whose reply got lost. */
  #unheardOf: Sum = { microUsd: 0, tokens: 0 };

  constructor(domain: Domain, random: Random) {
    this.#domain = domain;
    this.#random = random;
    const limit = {
      microUsd: random.pick([1_000_000, 3_333_333, 50_000, 9_999_991]),
      tokens: random.pick([2_000_000, 500_000, 77_777]),
    };
    this.#reference = new ReferenceLedger(limit);
    const identity: SessionIdentity = {
      issuer: 'fusebox',
      sid: 'simulated',
      agent: 'agent',
      customer: null,
      segments: [],
      scopes: [],
      limits: {
        spendMicroUsd: microUsd(limit.microUsd),
        tokens: limit.tokens,
        tokensPerRequest: null,
        requestsPerMinute: null,
      },
      expiresAtMs: START_MS + LIFE_MS,
    };
    this.#object = new SimulatedObject(domain, domain.session.createSession(identity, CREATION, START_MS));
  }

  step(): void {
    const dice = this.#random.below(1_000);
    if (dice < 330) this.#admit();
    else if (dice < 560) this.#settle();
    else if (dice < 640) this.#extend();
    else if (dice < 690) this.#watch();
    else if (dice < 720) this.#void();
    else if (dice < 730) this.#abandon();
    else if (dice < 820) this.#batch();
    else if (dice < 935) this.#pass(this.#random.below(400));
    else if (dice < 955) this.#pass(this.#random.below(70_000));
    else if (dice < 965) this.#idle();
    else if (dice < 972) this.#changeLimit();
    else if (dice < 973) this.#revoke();
    else this.#crash();
  }

  // ---------------------------------------------------------------------------------------------------- the Worker's side

  #admit(): void {
    this.doing = 'admit';
    const id = `request-${(this.#nextId += 1)}`;
    const demand = this.#demand();
    const stream = this.#random.chance(0.4);
    const request = {
      id,
      session: this.#object.session.identity,
      purpose: { route: 'r', protocol: 'openai', model: 'm', action: 'a' },
      demand,
      leaseMs: LEASE_MS,
      idempotency: null,
      rules: RULES,
    };
    const decide = (): ReturnType<Domain['admission']['admit']> =>
      this.#domain.admission.admit(this.#object.session, request, this.#nowMs);
    let decision = decide();
    if (decision.write && this.#random.chance(0.05)) {
      // Dies before the write: the reply is lost with it. The Worker tries again with the same id.
      this.#crashNow();
      decision = decide();
    }
    let answer = this.#object.apply(decision);
    if (decision.write && this.#random.chance(0.05)) {
      this.#crashNow();
      if (this.#random.chance(0.3)) return this.#replyLost(answer);
      answer = this.#object.apply(decide());
    }
    if (!answer.admitted) {
      this.refused += 1;
      if (answer.denial.code === 'spend-held') this.#checkRefusal(demand);
      if (this.#object.session.breaker.state === 'open') {
        this.#reference.tripped = true;
        if (this.#random.chance(0.2)) this.#crashNow();
      }
      return;
    }
    this.admitted += 1;
    const amount = { microUsd: answer.receipt.microUsd, tokens: answer.receipt.tokens };
    if (this.#reference.revoked) throw new Violation('a revoked session admitted a request');
    if (this.#reference.tripped) throw new Violation('a tripped session admitted a request');
    if (!this.#reference.fits(amount)) {
      throw new Violation(
        `admitted ${show(amount)} over the limit ${show(this.#reference.limit)} with ${show(this.#reference.liability())} taken on`,
      );
    }
    this.#reference.deliver(id, amount);
    this.#running.set(id, {
      receipt: answer.receipt,
      stream,
      leaseUntilMs: this.#nowMs + LEASE_MS,
      watched: false,
      abandoned: false,
      acknowledged: false,
    });
    if (this.#random.chance(0.03)) {
      // Delivered twice by the network: the same answer, no second hold.
      const again = this.#object.apply(decide());
      if (!again.admitted || again.receipt.microUsd !== answer.receipt.microUsd)
        throw new Violation('a repeated admission answered differently');
    }
  }

  /** The hold is on disk and nobody knows of it: it will be charged when it expires. */
  #replyLost(answer: { readonly admitted: boolean }): void {
    if (!answer.admitted || !('receipt' in answer)) return;
    const { microUsd: money, tokens } = answer.receipt as Receipt;
    this.#unheardOf = add(this.#unheardOf, { microUsd: money, tokens });
  }

  #demand(): Demand {
    const { microUsd: limit } = this.#reference.limit;
    const size = this.#random.pick([0.0002, 0.001, 0.004, 0.02, 0.2]);
    const fixed = Math.floor(this.#random.below(1_000) * 0.001 * size * limit);
    const output = this.#random.chance(0.5)
      ? {
          microUsdPerMillion: this.#random.pick([600_000, 15_000_000]),
          askedTokens: 1 + this.#random.below(3_000),
          floorTokens: 1,
          firstTokens: 1 + this.#random.below(400),
          choices: 1,
        }
      : null;
    return { fixedMicroUsd: microUsd(fixed), inputTokens: this.#random.below(500), output };
  }

  #settle(): void {
    this.doing = 'settle';
    const running = this.#pick(() => true);
    if (running === null || running.abandoned) return;
    const { receipt } = running;
    const cost = this.#reference.costOf(receipt.id) ?? {
      microUsd: this.#random.below(receipt.microUsd + 1),
      tokens: this.#random.below(receipt.tokens + 1),
    };
    this.#settleAt(receipt, cost);
    // Acknowledged ones stay for a while, so that some settle twice.
    this.#object.whenDurable(() => (running.acknowledged = true));
    if (running.acknowledged && this.#random.chance(0.5)) this.#running.delete(receipt.id);
  }

  /** What a Worker does once it knows the cost: again as often as it takes, so the same receipt may come twice. */
  #settleAt(receipt: Receipt, cost: Sum): void {
    this.#reference.conclude(receipt.id, cost);
    this.#object.recall(receipt.id);
    const settlement = {
      receipt,
      costMicroUsd: money(cost.microUsd),
      tokens: cost.tokens,
      usage: null,
      estimated: false,
      reason: 'completed',
    };
    const { state } = this.#object.apply(this.#domain.admission.settle(this.#object.session, settlement, this.#nowMs));
    if (state === 'frozen') throw new Violation(`nothing on the books explains ${receipt.id}`);
  }

  #void(): void {
    this.doing = 'void';
    const running = this.#pick(({ receipt }) => this.#reference.costOf(receipt.id) === null);
    if (running === null || running.abandoned) return;
    const { receipt } = running;
    this.#reference.conclude(receipt.id, { microUsd: 0, tokens: 0 });
    this.#object.recall(receipt.id);
    this.#object.apply(this.#domain.admission.voidHold(this.#object.session, receipt, 'unreachable', this.#nowMs));
    this.#object.whenDurable(() => (running.acknowledged = true));
  }

  #extend(): void {
    this.doing = 'extend';
    const running = this.#pick(({ receipt, stream }) => stream && this.#reference.costOf(receipt.id) === null);
    if (running === null || running.abandoned || running.leaseUntilMs <= this.#nowMs) return;
    const { receipt } = running;
    this.#object.recall(receipt.id);
    const wanted = {
      receipt,
      microUsd: money(receipt.microUsd + this.#random.below(5_000)),
      tokens: receipt.tokens + this.#random.below(400),
    };
    const answer = this.#object.apply(this.#domain.admission.extend(this.#object.session, wanted, this.#nowMs));
    if (!answer.extended) {
      if (answer.denial.code === 'enforcement-unavailable')
        throw new Violation(`the hold of ${receipt.id} was lost while its lease ran`);
      return;
    }
    const amount = { microUsd: answer.receipt.microUsd, tokens: answer.receipt.tokens };
    const more = { microUsd: amount.microUsd - receipt.microUsd, tokens: amount.tokens - receipt.tokens };
    if (!this.#reference.fits(more)) throw new Violation(`extended by ${show(more)} over the limit`);
    this.#reference.deliver(receipt.id, amount);
    running.receipt = answer.receipt;
  }

  #watch(): void {
    this.doing = 'watch';
    const running = this.#pick(({ receipt, stream }) => stream && this.#reference.costOf(receipt.id) === null);
    if (running === null || running.abandoned || running.leaseUntilMs <= this.#nowMs) return;
    this.#watchOne(running);
  }

  #watchOne(running: Running): void {
    const { receipt } = running;
    this.#object.recall(receipt.id);
    const request = { receipt, meteredMicroUsd: this.#random.below(receipt.microUsd + 1), meteredTokens: 0 };
    const answer = this.#object.apply(this.#domain.admission.watch(this.#object.session, request, this.#nowMs));
    if (!answer.cut) {
      running.leaseUntilMs = this.#nowMs + 30_000;
      running.watched = true;
      running.receipt = answer.receipt;
      return;
    }
    if (answer.denial.code === 'enforcement-unavailable')
      throw new Violation(`the hold of ${receipt.id} was lost while its lease ran`);
    // The Worker cuts its stream; all that is left to do is to settle.
    running.leaseUntilMs = this.#nowMs;
  }

  #abandon(): void {
    this.doing = 'abandon';
    const running = this.#pick(({ receipt }) => this.#reference.costOf(receipt.id) === null);
    if (running !== null) running.abandoned = true;
  }

  // --------------------------------------------------------------------------------------------------- the operators' side

  #changeLimit(): void {
    this.doing = 'change limit';
    const spendMicroUsd = money(
      Math.max(1_000, Math.floor(this.#reference.limit.microUsd * this.#random.pick([0.3, 0.7, 1.5, 2]))),
    );
    const decision = this.#domain.session.changeLimits(
      this.#object.session,
      { spendMicroUsd },
      { by: 'operator', reason: 'simulated' },
      this.#nowMs,
    );
    this.#object.apply(decision);
    this.#reference.limit = { ...this.#reference.limit, microUsd: spendMicroUsd };
    this.#reference.tripped &&= this.#object.session.breaker.state === 'open';
    if (this.#random.chance(0.2)) this.#crashNow();
  }

  #revoke(): void {
    this.doing = 'revoke';
    this.#object.apply(
      this.#domain.session.revoke(this.#object.session, { by: 'operator', reason: 'simulated' }, this.#nowMs),
    );
    this.#reference.revoked = true;
    if (this.#random.chance(0.5)) this.#crashNow();
  }

  // ------------------------------------------------------------------------------------------------- time, disk and faults

  #batch(): void {
    this.doing = 'batch';
    if (this.#random.chance(0.5)) this.#object.startBatch(this.#nowMs);
    else this.#object.confirmBatch();
  }

  #pass(milliseconds: number): void {
    this.doing = `pass ${milliseconds} ms`;
    this.#nowMs += milliseconds;
    this.#object.setTime(this.#nowMs);
    if (milliseconds > 50) this.#flush();
    this.#alarm();
  }

  /** Nothing is asked for long enough that the object is evicted. That is no crash: nothing may be in doubt afterwards. */
  #idle(): void {
    this.doing = 'idle eviction';
    this.#flush();
    this.#pass(6_000);
    this.#flush();
    this.#pass(60_000);
    this.#flush();
    const before = this.#object.session.ledger.doubt.size;
    this.#object.crash({ batchLands: true, nowMs: this.#nowMs });
    this.#object.wake();
    if (this.#object.session.ledger.doubt.size > before)
      throw new Violation('an idle eviction left something in doubt');
  }

  #crash(): void {
    this.doing = 'crash';
    this.#crashNow();
  }

  #crashNow(): void {
    this.crashes += 1;
    const batchLands = this.#random.chance(0.5);
    this.#object.crash({ batchLands, nowMs: this.#nowMs });
    this.#accountForDoubt();
    if (this.#random.chance(0.2)) this.#object.crash({ batchLands: false, nowMs: this.#nowMs });
    this.#object.wake();
    this.#watchAgain();
  }

  /** The Workers of watched streams notice that the poll broke: most watch again at once, the others give up. */
  #watchAgain(): void {
    for (const running of this.#running.values()) {
      if (
        !running.watched ||
        running.leaseUntilMs <= this.#nowMs ||
        this.#reference.costOf(running.receipt.id) !== null
      )
        continue;
      if (!running.abandoned && this.#random.chance(0.8)) this.#watchOne(running);
      else running.leaseUntilMs = this.#nowMs;
    }
  }

  /** What a crash put in doubt, less what the Workers still hold receipts for, can be claimed by nobody. */
  #accountForDoubt(): void {
    const image = this.#object.durableImage;
    const doubt = this.#object.session.ledger.doubt.get(image.ledger.generation)?.amounts ?? NONE;
    const block = {
      microUsd: Math.ceil(image.ledger.limit.microUsd / 100),
      tokens: Math.ceil(image.ledger.limit.tokens / 100),
    };
    if (doubt.microUsd > block.microUsd || doubt.tokens > block.tokens) {
      throw new Violation(`a crash put ${show(doubt)} in doubt, more than one block of ${show(block)}`);
    }
    const onDisk = new Map(image.ledger.open.map((hold) => [hold.id, hold.amounts]));
    const ended = new Set(this.#object.allEntries().map((entry) => entry.id));
    const inOlderDoubt = (receipt: Receipt): boolean => receipt.generation < image.ledger.generation;
    let claimable = NONE;
    for (const { receipt } of this.#running.values()) {
      if (ended.has(receipt.id) || inOlderDoubt(receipt)) continue;
      const known = onDisk.get(receipt.id) ?? NONE;
      claimable = add(claimable, {
        microUsd: Math.max(0, receipt.microUsd - known.microUsd),
        tokens: Math.max(0, receipt.tokens - known.tokens),
      });
    }
    if (claimable.microUsd > doubt.microUsd || claimable.tokens > doubt.tokens) {
      throw new Violation(`receipts for ${show(claimable)} were lost, and only ${show(doubt)} is in doubt`);
    }
    if (!this.#doubtSinceMs.has(image.ledger.generation)) this.#doubtSinceMs.set(image.ledger.generation, this.#nowMs);
    this.#unclaimable.set(image.ledger.generation, {
      microUsd: doubt.microUsd - claimable.microUsd,
      tokens: doubt.tokens - claimable.tokens,
    });
  }

  #flush(): void {
    this.#object.confirmBatch();
    this.#object.startBatch(this.#nowMs);
    this.#object.confirmBatch();
  }

  #alarm(): void {
    if (this.#domain.ledger.nextExpiryMs(this.#object.session.ledger) > this.#nowMs) return;
    this.#object.apply(this.#domain.admission.expireDue(this.#object.session, this.#nowMs));
  }

  // ------------------------------------------------------------------------------------------------------------ invariants

  check(): void {
    const { ledger } = this.#object.session;
    const used = this.#domain.ledger.usedOf(ledger);
    const liability = this.#reference.liability();
    if (used.microUsd < liability.microUsd || used.tokens < liability.tokens) {
      throw new Violation(`the ledger counts ${show(used)}, and ${show(liability)} was taken on`);
    }
    for (const sum of [ledger.settled, ledger.held, ...[...ledger.doubt.values()].map(({ amounts }) => amounts)]) {
      if (sum.microUsd < 0 || sum.tokens < 0) throw new Violation(`a sum is negative: ${show(sum)}`);
    }
    for (const [generation, { untilMs }] of ledger.doubt) {
      const latestMs = (this.#doubtSinceMs.get(generation) ?? untilMs) + this.#object.session.longestLeaseMs;
      if (untilMs > latestMs)
        throw new Violation(`the doubt of generation ${generation} is put off by each incarnation`);
    }
    let held = NONE;
    for (const hold of ledger.open.values()) {
      held = add(held, hold.amounts);
      if (ledger.resolved.has(hold.id)) throw new Violation(`${hold.id} is open and ended`);
    }
    if (held.microUsd !== ledger.held.microUsd || held.tokens !== ledger.held.tokens)
      throw new Violation('the holds do not add up');
  }

  /** A refusal for want of money is right only if the amount did not fit beside everything that may have been taken on. */
  #checkRefusal(demand: Demand): void {
    const available = this.#domain.ledger.availableOf(this.#object.session.ledger);
    const { output } = demand;
    const most = {
      microUsd:
        demand.fixedMicroUsd + Math.ceil(((output?.firstTokens ?? 0) * (output?.microUsdPerMillion ?? 0)) / 1_000_000),
      tokens: demand.inputTokens + (output?.firstTokens ?? 0),
    };
    if (most.microUsd <= available.microUsd && most.tokens <= available.tokens) {
      throw new Violation(`refused ${show(most)} with ${show(available)} available`);
    }
  }

  /** Everybody who can still settle does; the rest expires. Then every micro-dollar must have its cause. */
  finish(): void {
    this.doing = 'finish';
    for (const running of this.#running.values()) {
      const { receipt } = running;
      if (running.abandoned || running.acknowledged) continue;
      const cost = this.#reference.costOf(receipt.id) ?? { microUsd: Math.floor(receipt.microUsd / 2), tokens: 0 };
      this.#settleAt(receipt, cost);
    }
    this.#flush();
    this.#pass(2 * DAY_MS);
    this.#flush();
    const { ledger } = this.#object.session;
    if (ledger.open.size > 0 || ledger.doubt.size > 0)
      throw new Violation('something is open or in doubt after the end');
    checkLog(this.#object.durableLog, this.#object.session);
    const entries = this.#object.allEntries();
    const sum = entries.reduce((total, entry) => total + entry.costMicroUsd, 0);
    if (sum !== ledger.settled.microUsd)
      throw new Violation(`the entries add up to ${sum}, settled is ${ledger.settled.microUsd}`);
    if (new Set(entries.map((entry) => entry.id)).size !== entries.length) throw new Violation('an entry stands twice');
    const expected = [...this.#unclaimable.values()].reduce(add, add(this.#reference.liability(), this.#unheardOf));
    if (ledger.settled.microUsd !== expected.microUsd || ledger.settled.tokens !== expected.tokens) {
      throw new Violation(`settled ${show(ledger.settled)}; taken on and in doubt were ${show(expected)}`);
    }
  }

  #pick(which: (running: Running) => boolean): Running | null {
    const candidates = [...this.#running.values()].filter(which);
    return candidates.length === 0 ? null : this.#random.pick(candidates);
  }
}

const NONE: Sum = { microUsd: 0, tokens: 0 };
const add = (a: Sum, b: Sum): Sum => ({ microUsd: a.microUsd + b.microUsd, tokens: a.tokens + b.tokens });
const show = ({ microUsd: amount, tokens }: Sum): string => `${amount} micro-USD and ${tokens} tokens`;
const money = (amount: number): MicroUsd => microUsd(amount);
