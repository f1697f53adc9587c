// The ledger's rules, each switched off in turn by a change to the code that keeps it. A test that cannot tell the
// difference would prove nothing.

export interface Mutation {
  /** The number of the rule in docs/ledger.md. */
  readonly rule: number;
  readonly what: string;
  readonly file: 'ledger.ts' | 'ledger-commit.ts' | 'lost-holds.ts' | 'admission.ts' | 'session.ts';
  /** Must occur exactly once in the file. */
  readonly find: string;
  readonly replace: string;
}

export const MUTATIONS: readonly Mutation[] = [
  {
    rule: 1,
    what: 'a settlement gives back before its batch is confirmed',
    file: 'ledger.ts',
    find: 'const fromMemory = hasRoom(ledger.confirmed, amounts) &&',
    replace: 'const fromMemory = fitsOnTop(usedOf(ledger), amounts, ledger.confirmed.ceiling) &&',
  },
  {
    rule: 2,
    what: 'what does not fit the block is granted without a write',
    file: 'ledger.ts',
    find: "return fromMemory ? 'memory' : 'write';",
    replace: "return 'memory';",
  },
  {
    rule: 2,
    what: 'what does not fit the block is refused instead of written',
    file: 'ledger.ts',
    find: "if (!fromMemory && !fitsOnTop(usedOf(ledger), amounts, ledger.limit)) return 'refused';",
    replace: "if (!fromMemory) return 'refused';",
  },
  {
    rule: 3,
    what: 'the ceiling is raised before the batch is confirmed',
    file: 'ledger.ts',
    find: 'const fromMemory = hasRoom(ledger.confirmed, amounts) && (ledger.inFlight === null || hasRoom(ledger.inFlight, amounts));',
    replace: 'const fromMemory = hasRoom(ledger.inFlight ?? ledger.confirmed, amounts);',
  },
  {
    rule: 3,
    what: 'an idle session is not sealed',
    file: 'ledger-commit.ts',
    find: 'return isUnsealed(ledger) && nowMs - ledger.lastGrantMs >= SEAL_AFTER_MS;',
    replace: 'return false;',
  },
  {
    rule: 3,
    what: 'the block is larger than 1 % of the limit',
    file: 'ledger-commit.ts',
    find: 'return least(recent, most1Percent);',
    replace: 'return recent;',
  },
  {
    rule: 4,
    what: 'what the last incarnation may have granted is forgotten',
    file: 'ledger-commit.ts',
    find: 'if (!isNothing(unaccounted)) {',
    replace: 'if (false) {',
  },
  {
    rule: 4,
    what: 'incarnations share a generation',
    file: 'ledger-commit.ts',
    find: 'generation: image.generation + 1,',
    replace: 'generation: image.generation,',
  },
  {
    rule: 5,
    what: 'a settlement that is not known is charged without taking it from doubt',
    file: 'lost-holds.ts',
    find: '    else ledger.doubt.set(generation, { ...doubt, amounts: rest });',
    replace: '    else ledger.doubt.set(generation, doubt);',
  },
  {
    rule: 5,
    what: 'a late settlement is ignored',
    file: 'lost-holds.ts',
    find: "if (earlier !== null && earlier.state !== 'expired') return earlier;",
    replace: 'if (earlier !== null) return earlier;',
  },
  {
    rule: 5,
    what: 'ended requests are forgotten',
    file: 'ledger.ts',
    find: '  ledger.resolved.set(entry.id, entry);',
    replace: '  void entry;',
  },
  {
    rule: 6,
    what: 'doubt is charged while its holds can still be alive',
    file: 'ledger.ts',
    find: 'if (doubt.untilMs > nowMs) continue;',
    replace: '',
  },
  {
    rule: 6,
    what: 'the end of doubt is not written down, so that each eviction begins to wait anew',
    file: 'ledger-commit.ts',
    find: '    ledger.dirty = true;\n  }\n  const used',
    replace: '  }\n  const used',
  },
  {
    rule: 8,
    what: 'a revocation is answered before it is durable',
    file: 'session.ts',
    find: "return { answer: null, write: true, events: [{ event: 'revoked', ...act }] };",
    replace: "return { answer: null, write: false, events: [{ event: 'revoked', ...act }] };",
  },
  {
    rule: 8,
    what: 'a changed limit is answered before it is durable',
    file: 'session.ts',
    find: "return { answer: null, write: true, events: [{ event: 'limits-changed', ...act }, ...warn(session, nowMs)] };",
    replace:
      "return { answer: null, write: false, events: [{ event: 'limits-changed', ...act }, ...warn(session, nowMs)] };",
  },
  {
    rule: 8,
    what: 'a trip is answered before it is durable',
    file: 'admission.ts',
    find: 'return deny(session, denial, nowMs, [...events, ...tripped], true);',
    replace: 'return { ...deny(session, denial, nowMs, [...events, ...tripped]), write: false };',
  },
  {
    rule: 9,
    what: 'a lowered limit leaves the ceiling where it was',
    file: 'ledger-commit.ts',
    find: 'const ceiling = most(used, least(ledger.limit, plus(used, blockOf(ledger, nowMs))));',
    replace: 'const ceiling = plus(used, blockOf(ledger, nowMs));',
  },
];
