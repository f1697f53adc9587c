// An agent's object on its platform, with real sessions and the real control object.
import { env } from 'cloudflare:workers';
import { reset, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, it } from 'vitest';
import type { AgentObject } from '../../src/agent/agent-object.ts';
import type { ControlObject } from '../../src/control/control-object.ts';
import { AGENT_REVOCATIONS_AT_ONCE, MAX_REVOKED_AGENTS } from '../../src/limits.ts';
import type { AgentRevocation } from '../../src/rpc/agent-rpc.ts';
import type { SessionObject } from '../../src/session/session-object.ts';
import { digestHex, digestOf } from '../../src/snapshot/digest64.ts';
import { verifyHead } from '../../src/snapshot/signed-head.ts';
import { loadSigningKeys } from '../../src/signing/signing-keys.ts';
import { ACT, identity, RULES } from '../session/given.ts';

const bindings = env as {
  AGENT: DurableObjectNamespace<AgentObject>;
  CONTROL: DurableObjectNamespace<ControlObject>;
  SESSION: DurableObjectNamespace<SessionObject>;
  SESSION_SIGNING_KEYS: string;
};
const AGENT = 'billing-7';
const agent = () => bindings.AGENT.getByName(AGENT);
const control = () => bindings.CONTROL.getByName('control');
const sessionOf = (sid: string) => bindings.SESSION.getByName(`fusebox~${sid}`);
const HOUR_MS = 3_600_000;

afterEach(() => reset());

/** A session that exists, and of which the agent's object has heard. */
async function live(sid: string, untilMs = Date.now() + HOUR_MS): Promise<void> {
  await sessionOf(sid).create({
    session: identity({}, { sid, agent: AGENT, expiresAtMs: untilMs }),
    rules: RULES,
    act: ACT,
  });
  await agent().track({ issuer: 'fusebox', sid, untilMs });
}

function revoke(): Promise<AgentRevocation> {
  return agent().revoke({ agent: AGENT, act: { by: 'ann', reason: 'rogue' }, untilMs: Date.now() + HOUR_MS });
}

async function statusOf(sid: string): Promise<string> {
  const answer = await sessionOf(sid).describe();
  return answer.known ? answer.view.status : 'unknown';
}

async function agentsInHead(): Promise<readonly (readonly [string, number, number])[]> {
  const { head } = await control().head();
  const keys = await loadSigningKeys(bindings.SESSION_SIGNING_KEYS);
  const reading = await verifyHead(head, keys, 'fusebox');
  if (!reading.ok) throw new Error(reading.reason);
  return reading.head.agents;
}

describe('revoking an agent', () => {
  it('revokes each of its sessions in its own object, and tells the edges', async () => {
    const sids = Array.from({ length: 40 }, (_, index) => `s-${index}`);
    await Promise.all(sids.map((sid) => live(sid)));
    const { beforeMs, ...answer } = await revoke();
    expect(answer).toEqual({ sessions: 40, pending: 0, listed: true });
    expect(new Set(await Promise.all(sids.map(statusOf)))).toEqual(new Set(['revoked']));
    expect(await agentsInHead()).toEqual([[digestHex(digestOf(AGENT)), beforeMs, expect.any(Number)]]);
  });

  it('leaves alone what comes after it, and says since when', async () => {
    await live('before');
    const { beforeMs } = await revoke();
    expect(await agent().track({ issuer: 'fusebox', sid: 'after', untilMs: beforeMs + HOUR_MS })).toEqual({
      revokedBeforeMs: beforeMs,
    });
    await live('after');
    expect([await statusOf('before'), await statusOf('after')]).toEqual(['revoked', 'active']);
  });

  it('again finds only what has come since', async () => {
    await live('first');
    await revoke();
    await live('second');
    expect(await revoke()).toMatchObject({ sessions: 1, pending: 0 });
    expect(await statusOf('second')).toBe('revoked');
  });

  it('passes over sessions that have ended, and forgets them in time', async () => {
    await agent().track({ issuer: 'fusebox', sid: 'ended', untilMs: Date.now() - 1 });
    await agent().track({ issuer: 'fusebox', sid: 'long-ago', untilMs: Date.now() - 2 * HOUR_MS });
    await live('alive');
    expect(await revoke()).toMatchObject({ sessions: 1 });
  });

  it('goes on by itself with what did not answer', async () => {
    await live('left');
    // Written down, and then the object was gone before it told anybody.
    await runInDurableObject(agent(), async (_instance, state) => {
      state.storage.sql.exec('UPDATE sessions SET pending = 1');
      state.storage.kv.put('revocation', {
        agent: AGENT,
        act: ACT,
        beforeMs: Date.now(),
        untilMs: Date.now() + HOUR_MS,
        sessions: 1,
        listed: false,
      });
      await state.storage.setAlarm(Date.now() + 60_000);
    });
    expect(await statusOf('left')).toBe('active');
    expect(await runDurableObjectAlarm(agent())).toBe(true);
    expect(await statusOf('left')).toBe('revoked');
    expect(await agentsInHead()).toHaveLength(1);
  });

  it('comes to the sessions that answer, however many stand before them that never do', async () => {
    const broken = Array.from({ length: AGENT_REVOCATIONS_AT_ONCE }, (_, index) => `a-${index}`);
    await Promise.all(broken.map((sid) => live(sid)));
    await live('z');
    for (const sid of broken) {
      await runInDurableObject(sessionOf(sid), async (_instance, state) => {
        state.storage.kv.put('head', { version: 1 });
        await state.storage.sync();
        state.abort('no such session can be loaded');
      }).catch(() => undefined);
    }
    await revoke();
    for (let turn = 0; turn < 50 && (await statusOf('z')) === 'active'; turn += 1) await runDurableObjectAlarm(agent());
    expect(await statusOf('z')).toBe('revoked');
  });

  it('gives up telling sessions that ended long ago', async () => {
    await live('over');
    await runInDurableObject(agent(), async (_instance, state) => {
      const endedMs = Date.now() - 2 * HOUR_MS;
      state.storage.sql.exec('UPDATE sessions SET pending = 1, until_ms = ?', endedMs);
      const revocation = { agent: AGENT, act: ACT, beforeMs: endedMs, untilMs: endedMs, sessions: 1, listed: true };
      state.storage.kv.put('revocation', revocation);
      await state.storage.setAlarm(Date.now() + 60_000);
    });
    await runDurableObjectAlarm(agent());
    expect(await runDurableObjectAlarm(agent())).toBe(false);
    expect(await statusOf('over')).toBe('active');
  });

  it('revokes the sessions also where the head has no room for the agent', async () => {
    await runInDurableObject(control(), (_instance, state) => {
      for (let index = 0; index < MAX_REVOKED_AGENTS; index += 1)
        state.storage.sql.exec('INSERT INTO revoked_agents VALUES (?, 1, ?)', `agent-${index}`, Date.now() + HOUR_MS);
    });
    await live('without-room');
    expect(await revoke()).toMatchObject({ sessions: 1, pending: 0, listed: false });
    expect(await statusOf('without-room')).toBe('revoked');
    expect(await agentsInHead()).toHaveLength(MAX_REVOKED_AGENTS);
  });
});
