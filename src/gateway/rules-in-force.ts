// The rules that requests of this isolate are served by: those of the deployed policy, or of a run-time version once it
// was read and made ready as a whole. One assignment puts them in force; a request takes them once and keeps them.
import type { TokenVerifier } from '../credential/session-token.ts';
import { digestOf } from '../policy/digest.ts';
import type { Policy } from '../policy/policy.ts';
import { type PolicyGround, readRunTimePolicy } from '../policy/run-time.ts';
import { type Rules, routeTable } from './route-table.ts';

interface RulesInForceOptions {
  /** The policy deployed, with the local routes: in force until something else is adopted. */
  readonly policy: Policy;
  readonly ground: PolicyGround;
  /** The secrets of providers. */
  readonly env: Readonly<Record<string, unknown>>;
  /** Verifies by a policy, and remembers nothing of another one's verdicts. */
  readonly verifierFor: (policy: Policy) => TokenVerifier;
}

export class RulesInForce {
  readonly #options: RulesInForceOptions;
  readonly #deployed: Rules;
  #inForce: { readonly rules: Rules; readonly digest: string | null };

  constructor(options: RulesInForceOptions) {
    this.#options = options;
    this.#deployed = this.#rulesOf(options.policy);
    this.#inForce = { rules: this.#deployed, digest: null };
  }

  /** For one request, for as long as it takes. */
  current(): Rules {
    return this.#inForce.rules;
  }

  /** Hex SHA-256 of the run-time version in force; null for the deployed file. */
  inForce(): string | null {
    return this.#inForce.digest;
  }

  /**
   * Puts a run-time version in force, or with nulls the deployed file again. False where the text is not what the digest
   * says, or is no valid policy here: what was in force stays.
   */
  async adopt(text: string | null, digest: string | null): Promise<boolean> {
    if (digest === null) {
      this.#inForce = { rules: this.#deployed, digest: null };
      return true;
    }
    if (text === null || digestOf(text) !== digest) return false;
    const reading = readRunTimePolicy(text, this.#options.ground);
    if (!reading.ok) return false;
    this.#inForce = { rules: this.#rulesOf(reading.policy), digest };
    return true;
  }

  #rulesOf(policy: Policy): Rules {
    const { env, verifierFor } = this.#options;
    return { policy, routes: routeTable(policy, env), tokens: verifierFor(policy) };
  }
}
