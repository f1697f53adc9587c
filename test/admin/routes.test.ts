import { beforeEach, describe, expect, it } from 'vitest';
import { ADMIN_ROUTES } from '../../src/admin/routes.ts';
import { type AdminWorld, adminWorld, TOKENS } from '../support/admin.ts';

let world: AdminWorld;

beforeEach(async () => {
  world = await adminWorld();
});

async function outcome(response: Response): Promise<string> {
  const body = await response.json<{ code?: string }>();
  return `${response.status} ${body.code ?? ''}`;
}

describe.each(ADMIN_ROUTES.map((route) => [`${route.method} ${route.path}`, route] as const))('%s', (_name, route) => {
  const path = route.path.replace('{id}', 'some-session').replace('{level}', 'global').replace('{target}', 'all');
  const body = route.body === null ? undefined : {};

  it('refuses a missing credential', async () => {
    const response = await world.call(route.method, path, { token: null, body });
    expect(response.headers.get('www-authenticate')).toContain('Bearer');
    expect(await outcome(response)).toBe('401 credential-missing');
  });

  it.each([
    ['a wrong token', 'Bearer wrong'],
    ['an empty token', 'Bearer '],
    ['the token under another scheme', `Basic ${TOKENS[route.role]}`],
    ['the token without a scheme', TOKENS[route.role]],
    ['the token cut short', `Bearer ${TOKENS[route.role].slice(0, -1)}`],
    ['the token and more', `Bearer ${TOKENS[route.role]}x`],
    ['two tokens', `Bearer ${TOKENS[route.role]}, Bearer ${TOKENS[route.role]}`],
    ['an endless token', `Bearer ${'x'.repeat(4_000)}`],
  ])('refuses %s', async (_what, authorization) => {
    const response = await world.call(route.method, path, { token: null, body, headers: { authorization } });
    expect(await outcome(response)).toBe('401 credential-invalid');
  });

  it('refuses the token elsewhere than in Authorization', async () => {
    const headers = { 'x-api-key': TOKENS[route.role], cookie: `token=${TOKENS[route.role]}` };
    expect(
      await outcome(
        await world.call(route.method, `${path}?token=${TOKENS[route.role]}`, { token: null, body, headers }),
      ),
    ).toBe('401 credential-missing');
  });

  it.each(
    Object.keys(TOKENS).filter((role) => role !== route.role && role !== route.orRole) as (keyof typeof TOKENS)[],
  )('refuses the role %s', async (role) => {
    const response = await world.call(route.method, path, { token: TOKENS[role], body });
    expect(await outcome(response)).toBe('403 scope-denied');
  });

  it('lets its own role in', async () => {
    const response = await world.call(route.method, path, { token: TOKENS[route.role], body });
    expect([401, 403]).not.toContain(response.status);
  });

  it('refuses a browser origin that is not listed, even with the right token', async () => {
    const response = await world.call(route.method, path, {
      token: TOKENS[route.role],
      body,
      headers: { origin: 'https://evil.example' },
    });
    expect(await outcome(response)).toBe('403 policy-denied');
    expect(response.headers.has('access-control-allow-origin')).toBe(false);
  });

  it('refuses a parameter that it does not know', async () => {
    const response = await world.call(route.method, `${path}?nothing=1`, { token: TOKENS[route.role], body });
    expect(await outcome(response)).toBe('400 bad-request');
  });

  if (route.body !== null) {
    it.each([
      ['what is not JSON', '{', '400 bad-request'],
      ['a list', '[]', '400 bad-request'],
      ['duplicate keys', '{"reason":"a","reason":"b"}', '400 bad-request'],
      ['__proto__', '{"__proto__":{},"reason":"a"}', '400 bad-request'],
      ['an unknown key', '{"reason":"a","nothing":1}', '400 bad-request'],
      ['an empty reason', '{"reason":"  "}', '400 bad-request'],
      ['a reason with a line break', '{"reason":"a\\nb"}', '400 bad-request'],
      ['a reason that is too long', JSON.stringify({ reason: 'x'.repeat(501) }), '400 bad-request'],
      ['too large a body', JSON.stringify({ reason: 'x'.repeat(route.maxBodyBytes ?? 70_000) }), '413 body-too-large'],
    ])('refuses %s', async (_what, text, expected) => {
      expect(await outcome(await world.call(route.method, path, { token: TOKENS[route.role], body: text }))).toBe(
        expected,
      );
    });

    it('refuses a body that is compressed, or of another type', async () => {
      for (const headers of [{ 'content-encoding': 'gzip' }, { 'content-type': 'application/x-www-form-urlencoded' }]) {
        const response = await world.call(route.method, path, {
          token: TOKENS[route.role],
          body: '{"reason":"a"}',
          headers,
        });
        expect(await outcome(response)).toBe('415 encoding-unsupported');
      }
    });
  }

  if (route.path.includes('/sessions/{id}')) {
    it('does not know a session that was never issued', async () => {
      const ok =
        route.method === 'PATCH'
          ? { limits: { tokens: 5 }, reason: 'a' }
          : route.body === null
            ? undefined
            : { reason: 'a' };
      const response = await world.call(route.method, path, { token: TOKENS[route.role], body: ok });
      expect(await outcome(response)).toBe('404 session-unknown');
      expect(world.revocations).toEqual([]);
    });

    it.each(['a%2Fb', '..%2f..', 'a%20b', '~', 'a~b~c', '%00'])('refuses the id %s', async (id) => {
      const response = await world.call(route.method, route.path.replace('{id}', id), {
        token: TOKENS[route.role],
        body,
      });
      expect([400, 404]).toContain(response.status);
      expect(world.calls).toEqual([]);
    });
  }

  it('answers with a request id and is kept by no cache', async () => {
    const response = await world.call(route.method, path, { token: TOKENS[route.role], body });
    expect(response.headers.get('x-request-id')).toMatch(/^id-/);
    expect(response.headers.get('cache-control')).toBe('no-store');
  });
});

describe('the control plane', () => {
  it('tells nothing about its addresses to strangers', async () => {
    for (const path of ['/admin', '/admin/', '/admin/nothing', '/admin/sessions/a/nothing']) {
      expect(await outcome(await world.call('GET', path, { token: null })), path).toBe('401 credential-missing');
      expect(await outcome(await world.call('GET', path)), path).toBe('404 resource-unknown');
    }
  });

  it('says which methods an address has', async () => {
    const response = await world.call('DELETE', '/admin/sessions/a', { token: TOKENS.operator });
    expect(response.headers.get('allow')).toBe('GET, PATCH');
    expect(await outcome(response)).toBe('405 method-not-allowed');
  });

  it('is not fooled by a method override', async () => {
    const response = await world.call('GET', '/admin/sessions', { headers: { 'x-http-method-override': 'POST' } });
    expect(response.status).toBe(200);
    expect(world.objects.size).toBe(0);
  });

  it('lets listed browser origins in, and names them only', async () => {
    const listed = await adminWorld({ ADMIN_ORIGINS: 'https://ops.example' });
    const preflight = await listed.call('OPTIONS', '/admin/sessions', {
      token: null,
      headers: { origin: 'https://ops.example' },
    });
    expect(preflight.status).toBe(204);
    const response = await listed.call('GET', '/admin/sessions', { headers: { origin: 'https://ops.example' } });
    expect(response.status).toBe(200);
    expect(response.headers.get('access-control-allow-origin')).toBe('https://ops.example');
    expect(
      await outcome(
        await listed.call('OPTIONS', '/admin/sessions', { token: null, headers: { origin: 'https://evil.example' } }),
      ),
    ).toBe('403 policy-denied');
  });

  it('answers 503 when an object cannot be asked, and tells why to the log only', async () => {
    world.broken.add('control.list');
    const response = await world.call('GET', '/admin/sessions');
    expect(response.headers.get('retry-after')).not.toBeNull();
    expect(await response.text()).not.toContain('object overloaded');
    expect(JSON.stringify(world.logged)).toContain('object overloaded');
  });

  it('counts wrong tokens per address, and never locks the right one out', async () => {
    const from = (address: string, token: string) =>
      world.call('GET', '/admin/sessions', { token, headers: { 'cf-connecting-ip': address } });
    for (let attempt = 0; attempt < 120; attempt += 1) expect((await from('192.0.2.1', 'wrong')).status).toBe(401);
    const refused = await from('192.0.2.1', 'wrong');
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect(await outcome(refused)).toBe('429 velocity-exceeded');
    expect((await from('192.0.2.2', 'wrong')).status).toBe(401);
    expect((await from('192.0.2.1', TOKENS.viewer)).status).toBe(200);
    world.nowMs += 60_000;
    expect((await from('192.0.2.1', 'wrong')).status).toBe(401);
  });
});

describe('GET /admin/openapi.json', () => {
  it('describes every route', async () => {
    const response = await world.call('GET', '/admin/openapi.json');
    const document = await response.json<{ openapi: string; paths: Record<string, Record<string, unknown>> }>();
    expect(document.openapi).toBe('3.1.0');
    for (const route of ADMIN_ROUTES)
      expect(document.paths[route.path]?.[route.method.toLowerCase()], route.path).toBeDefined();
    expect(JSON.stringify(document)).toContain('spend_usd');
    const text = JSON.stringify(document);
    for (const [, name] of text.matchAll(/"\$ref":"([^"]*)"/g))
      expect(text).toContain(`"${String(name).replace('#/components/schemas/', '')}":{`);
    expect(text).not.toContain('$defs');
  });
});
