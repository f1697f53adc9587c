import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { RedactingPassage, redact, redactHeaders } from '../../src/gateway/redaction.ts';

const SECRET = 'sk-live-0123456789';
const encoder = new TextEncoder();

describe('redaction', () => {
  it('takes every occurrence out of text', () => {
    expect(redact(`a ${SECRET} b ${SECRET}`, [SECRET])).toEqual({ text: 'a [redacted] b [redacted]', found: true });
    expect(redact('nothing here', [SECRET])).toEqual({ text: 'nothing here', found: false });
  });

  it('drops headers that hold the key', () => {
    const headers = new Headers({ 'x-echo': `Bearer ${SECRET}`, 'content-type': 'text/plain' });
    redactHeaders(headers, [SECRET]);
    expect([...headers.keys()]).toEqual(['content-type']);
  });

  it('finds the key wherever chunks cut it, and changes nothing else', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.oneof(
            fc.constant(SECRET),
            fc.string({ maxLength: 12 }).filter((text) => !text.includes('sk')),
          ),
          { maxLength: 12 },
        ),
        fc.array(fc.integer({ min: 1, max: 7 }), { maxLength: 80 }),
        (parts, sizes) => {
          const bytes = encoder.encode(parts.join('|'));
          const passage = new RedactingPassage([SECRET]);
          const out: number[] = [];
          let at = 0;
          for (const size of [...sizes, bytes.length]) {
            out.push(...passage.push(bytes.slice(at, at + size)));
            at += size;
          }
          out.push(...passage.end());
          const expected = parts.map((part) => (part === SECRET ? '*'.repeat(SECRET.length) : part)).join('|');
          expect(new TextDecoder().decode(new Uint8Array(out))).toBe(expected);
          expect(passage.found).toBe(parts.includes(SECRET));
        },
      ),
    );
  });
});
