// What a session has really taken on, seen from outside: no blocks, no batches, no crashes. Every delivered admission
// counts in full until its cost is known, and at its cost from then on. The ledger must never count less.

export interface Sum {
  readonly microUsd: number;
  readonly tokens: number;
}

interface Delivered {
  amount: Sum;
  cost: Sum | null;
}

export class ReferenceLedger {
  limit: Sum;
  revoked = false;
  tripped = false;
  readonly #delivered = new Map<string, Delivered>();

  constructor(limit: Sum) {
    this.limit = limit;
  }

  /** The reply of an admission (or extension) reached the Worker. */
  deliver(id: string, amount: Sum): void {
    const known = this.#delivered.get(id);
    if (known === undefined) this.#delivered.set(id, { amount, cost: null });
    else known.amount = amount;
  }

  /** The Worker knows what it cost, whether or not anybody has heard it yet. */
  conclude(id: string, cost: Sum): void {
    const known = this.#delivered.get(id);
    if (known === undefined) throw new Error(`${id} was never admitted`);
    known.cost ??= cost;
  }

  costOf(id: string): Sum | null {
    return this.#delivered.get(id)?.cost ?? null;
  }

  amountOf(id: string): Sum {
    return this.#delivered.get(id)?.amount ?? { microUsd: 0, tokens: 0 };
  }

  /** What the session stands for: costs that are known, whole holds where they are not. */
  liability(): Sum {
    let microUsd = 0;
    let tokens = 0;
    for (const { amount, cost } of this.#delivered.values()) {
      microUsd += (cost ?? amount).microUsd;
      tokens += (cost ?? amount).tokens;
    }
    return { microUsd, tokens };
  }

  /** Whether an admission of that amount stays within the limit; what adds nothing to a dimension always does. */
  fits(amount: Sum): boolean {
    const { microUsd, tokens } = this.liability();
    const money = amount.microUsd === 0 || microUsd + amount.microUsd <= this.limit.microUsd;
    return money && (amount.tokens === 0 || tokens + amount.tokens <= this.limit.tokens);
  }
}
