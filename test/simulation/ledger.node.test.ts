import { describe, expect, it } from 'vitest';
import * as admission from '../../src/session/admission.ts';
import * as ledger from '../../src/session/ledger.ts';
import * as commit from '../../src/session/ledger-commit.ts';
import * as session from '../../src/session/session.ts';
import { simulate } from './simulation.ts';

const LIVES = 300;
const OPERATIONS = 400;

describe('the ledger, against the reference', () => {
  it(
    `holds through ${LIVES * OPERATIONS} random operations with crashes between any two steps`,
    { timeout: 60_000 },
    () => {
      const first = Number(process.env['SEED'] ?? Date.now() % 1_000_000_000);
      console.log(`seeds ${first} to ${first + LIVES - 1}`);
      let crashes = 0;
      let admitted = 0;
      let refused = 0;
      for (let life = 0; life < LIVES; life += 1) {
        const result = simulate({ admission, ledger, commit, session }, first + life, OPERATIONS);
        crashes += result.crashes;
        admitted += result.admitted;
        refused += result.refused;
      }
      console.log(`${LIVES * OPERATIONS} operations, ${admitted} admitted, ${refused} refused, ${crashes} crashes`);
      expect(crashes).toBeGreaterThan(LIVES);
      expect(admitted).toBeGreaterThan(LIVES * 10);
      expect(refused).toBeGreaterThan(LIVES);
    },
  );
});
