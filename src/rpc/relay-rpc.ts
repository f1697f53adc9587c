// What crosses between the Worker, a relay and the control object. Types only: members are added as optional and never
// change their meaning, since for some minutes of a deploy one side is newer than the other.

/** A signed head, and beside it what a relay must know of it. Whoever decides by it reads the signed text. */
export interface SignedHead {
  /** Compact JWS: see snapshot/signed-head.ts. */
  readonly head: string;
  readonly epoch: number;
  readonly asOfMs: number;
}

/** The methods that a relay serves. */
export interface RelayRpc {
  /**
   * The head, confirmed by the control object within that time, or as it was when that one could last be asked; null when
   * it never could.
   */
  head(request: { readonly confirmedWithinMs: number }): Promise<SignedHead | null>;
  /** The bytes of a blob, by name; null when nobody has it. */
  blob(name: string): Promise<Uint8Array | null>;
  /** A head that has changed, from the control object. */
  push(head: SignedHead): Promise<void>;
}
