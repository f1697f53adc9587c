import { describe, expect, it } from 'vitest';
import { alertBreakGlass } from '../../src/admin/break-glass.ts';
import type { ControlRpc } from '../../src/rpc/control-rpc.ts';

const USE = {
  admin: { id: 'glass', person: 'ann', roles: ['operator'], breakGlass: true },
  request: new Request('https://gateway.example/admin/kill-switches/global/all?dry_run=true', { method: 'PUT' }),
  requestId: 'r1',
} as const;

async function loggedWith(note: () => Promise<void>): Promise<readonly unknown[]> {
  const logged: Readonly<Record<string, unknown>>[] = [];
  await alertBreakGlass({ control: { note } as unknown as ControlRpc, log: (entry) => logged.push(entry) }, USE);
  return logged.map(({ event }) => event);
}

describe('the alarm of a broken glass', () => {
  it.each<[string, () => Promise<void>, readonly string[]]>([
    ['refuses', () => Promise.reject(new Error('no')), ['break-glass.used', 'break-glass.not-noted']],
    [
      'cannot even be called',
      () => {
        throw new Error('no stub');
      },
      ['break-glass.used', 'break-glass.not-noted'],
    ],
    ['never answers', () => new Promise<void>(() => {}), ['break-glass.used']],
  ])('holds nobody up where the control object %s', async (_how, note, events) => {
    expect(await loggedWith(note)).toEqual(events);
  });
});
