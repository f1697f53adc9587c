// Whoever shows no valid credential of a session that was issued gets one answer, and leaves no trace.
import { exportJWK, generateKeyPair, type JWTPayload } from 'jose';
import { createHmac } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { goodClaims, keyRing, privateJwk, signTexts, signToken } from '../support/credentials.ts';
import { startStack, type Stack } from '../support/stack.ts';
import { problemOf, settledLedger } from './money.ts';
import { sendRaw } from './raw-http.ts';
import { unmoved } from './unmoved.ts';

type Keys = Awaited<ReturnType<typeof keyRing>>;

const policy = (upstream: string): string => `version: 1
sessions: { ttl_seconds_max: 7200, limits: { spend_usd: "1.00" } }
routes:
  tickets: { upstream: ${upstream}, protocol: http, scope: "ticket:read", fees: [{ usd: "0.01" }] }
  chat: { upstream: ${upstream}/openai, protocol: openai, scope: "llm:openai" }
`;

const encoded = (value: object | string): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

const seconds = (offset: number): number => Math.floor(Date.now() / 1_000) + offset;

interface Published {
  readonly keys: readonly { readonly x: string }[];
}

describe('credentials', () => {
  let stack: Stack;
  let keys: Keys;
  let strangers: Keys;
  let id: string;
  let token: string;
  const logged: string[] = [];

  beforeAll(async () => {
    const jwks = [await privateJwk('first'), await privateJwk('second', 'ES256')];
    keys = await keyRing(...jwks);
    strangers = await keyRing({ ...(await privateJwk('first')) });
    stack = await startStack({
      policy,
      vars: { SESSION_SIGNING_KEYS: JSON.stringify(jwks) },
      onLog: (line) => logged.push(line),
    });
    const issued = await stack.issueSession();
    id = issued.session.id;
    token = issued.token;
  });
  afterAll(() => stack.close());

  /** Claims of the session that was issued, as Fusebox would sign them now. */
  const claims = (more: Readonly<Record<string, unknown>> = {}): JWTPayload => {
    const now = Math.floor(Date.now() / 1_000);
    return goodClaims({ sid: id, sub: 'tester', iat: now, exp: now + 600, ...more });
  };
  const texts = (more: string, header = '{"alg":"EdDSA","typ":"agent-session+jwt","kid":"first"}'): Promise<string> =>
    signTexts(keys, { header, claims: `${JSON.stringify(claims()).slice(0, -1)}${more}}` });
  const get = (credential: string): Promise<Response> => stack.call('/tickets/tickets', { token: credential });
  const refused = async (credential: string): Promise<object> => {
    const response = await unmoved(stack, id, () => get(credential));
    const { status, code } = await problemOf(response);
    expect(response.headers.get('www-authenticate')).toMatch(/^Bearer /);
    expect(response.headers.get('x-should-retry')).toBe('false');
    expect(response.headers.get('x-fusebox-session')).toBeNull();
    return { status, code };
  };
  const INVALID = { status: 401, code: 'credential-invalid' };

  it('takes a token of its own, signed by any of its keys', async () => {
    expect((await get(token)).status).toBe(200);
    expect((await get(await signToken(keys, claims()))).status).toBe(200);
    const second = keys.byKid.get('second');
    if (second === undefined) throw new Error('there is no second key');
    expect((await get(await signToken({ ...keys, signer: second }, claims()))).status).toBe(200);
    await settledLedger(stack, id);
  });

  const headers: readonly (readonly [string, Readonly<Record<string, unknown>>])[] = [
    ['a kid that is not known', { kid: 'third' }],
    ['a kid that is a path', { kid: '../../../../dev/null' }],
    ['a kid that every object has', { kid: 'constructor' }],
    ['no kid', { kid: undefined }],
    ['the kid of another key', { kid: 'second' }],
    ['the type of any JWT', { typ: 'JWT' }],
    ['the type of an access token', { typ: 'at+jwt' }],
    ['no type', { typ: undefined }],
    ['a key address of its own', { jku: 'https://evil.example/jwks' }],
    ['a certificate address of its own', { x5u: 'https://evil.example/cert' }],
    ['a certificate of its own', { x5c: ['MIIB'] }],
    ['a content type', { cty: 'JWT' }],
  ];
  it.each(headers)('refuses a header with %s', async (_what, header) => {
    expect(await refused(await signToken(keys, claims(), header))).toEqual(INVALID);
  });

  it('refuses what a stranger signed, with the name of our key and with a key in the header', async () => {
    expect(await refused(await signToken(strangers, claims()))).toEqual(INVALID);
    const { publicKey, privateKey } = await generateKeyPair('EdDSA', { extractable: true });
    const ring = { ...strangers, signer: { ...strangers.signer, privateKey, publicKey } };
    expect(await refused(await signToken(ring, claims(), { jwk: await exportJWK(publicKey) }))).toEqual(INVALID);
  });

  it('refuses alg none, in every spelling', async () => {
    for (const alg of ['none', 'None', 'NONE', 'nOnE', '']) {
      const unsigned = `${encoded({ alg, typ: 'agent-session+jwt', kid: 'first' })}.${encoded(claims())}.`;
      expect(await refused(unsigned)).toEqual(INVALID);
      expect(await refused(`${unsigned}${token.split('.')[2]}`)).toEqual(INVALID);
    }
  });

  it('refuses a token that is signed with a public key as if it were a secret', async () => {
    const published = await (await fetch(`${stack.url}/.well-known/jwks.json`)).json<Published>();
    expect(JSON.stringify(published)).not.toContain('"d"');
    const [key] = published.keys;
    for (const secret of [JSON.stringify(key), key?.x ?? '', Buffer.from(key?.x ?? '', 'base64url')]) {
      const signed = `${encoded({ alg: 'HS256', typ: 'agent-session+jwt', kid: 'first' })}.${encoded(claims())}`;
      expect(await refused(`${signed}.${createHmac('sha256', secret).update(signed).digest('base64url')}`)).toEqual(
        INVALID,
      );
      expect(await refused(`${signed}.${createHmac('sha512', secret).update(signed).digest('base64url')}`)).toEqual(
        INVALID,
      );
    }
  });

  it.each([
    ['crit', '{"alg":"EdDSA","typ":"agent-session+jwt","kid":"first","crit":["exp"],"exp":1}'],
    ['b64', '{"alg":"EdDSA","typ":"agent-session+jwt","kid":"first","b64":false,"crit":["b64"]}'],
    ['two algorithms', '{"alg":"none","alg":"EdDSA","typ":"agent-session+jwt","kid":"first"}'],
    ['two keys', '{"alg":"EdDSA","typ":"agent-session+jwt","kid":"third","kid":"first"}'],
    ['__proto__', '{"alg":"EdDSA","typ":"agent-session+jwt","kid":"first","__proto__":{"a":1}}'],
    ['text behind it', '{"alg":"EdDSA","typ":"agent-session+jwt","kid":"first"} '.concat('x')],
    ['an array around it', '[{"alg":"EdDSA","typ":"agent-session+jwt","kid":"first"}]'],
  ])('refuses a signed header with %s', async (_what, header) => {
    expect(await refused(await texts('', header))).toEqual(INVALID);
  });

  it.each([
    ['a session twice', ',"sid":"another"'],
    ['a session twice, once escaped', String.raw`,"si\u0064":"another"`],
    ['a limit twice', ',"limits":{"spend_micro_usd":1,"spend_micro_usd":900000000}'],
    ['__proto__', ',"__proto__":{"scope":"llm:*"}'],
    ['17 levels', `,"x":${'['.repeat(17)}${']'.repeat(17)}`],
    ['a number beyond all', ',"x":1e999'],
  ])('refuses signed claims with %s', async (_what, more) => {
    const claimed = _what === 'a limit twice' ? claims({ limits: undefined }) : claims();
    const text = `${JSON.stringify(claimed).slice(0, -1)}${more}}`;
    expect(
      await refused(
        await signTexts(keys, { header: '{"alg":"EdDSA","typ":"agent-session+jwt","kid":"first"}', claims: text }),
      ),
    ).toEqual(INVALID);
  });

  const wrong: readonly (readonly [string, () => Readonly<Record<string, unknown>>])[] = [
    ['another issuer', () => ({ iss: 'other' })],
    ['no issuer', () => ({ iss: undefined })],
    ['a list of issuers', () => ({ iss: ['fusebox'] })],
    ['another audience', () => ({ aud: 'other' })],
    ['no audience', () => ({ aud: undefined })],
    ['an issue in the future', () => ({ iat: seconds(300), exp: seconds(900) })],
    ['a beginning in the future', () => ({ nbf: seconds(300) })],
    ['a life that is too long', () => ({ exp: seconds(8_000) })],
    ['an end before its beginning', () => ({ iat: seconds(0), exp: seconds(-1) })],
    ['no end', () => ({ exp: undefined })],
    ['an end as text', () => ({ exp: String(seconds(600)) })],
    ['a fraction of a second', () => ({ exp: seconds(600) + 0.5 })],
    ['a negative issue', () => ({ iat: -1 })],
    ['no session', () => ({ sid: undefined })],
    ['a session in another alphabet', () => ({ sid: `${id.slice(0, -1)}\u0430` })],
    ['a session that is a path', () => ({ sid: '../x' })],
    ['a session of another issuer', () => ({ sid: `other~${id}` })],
    ['a session with a line break', () => ({ sid: `${id}\r\nx: y` })],
    ['a session of 129 characters', () => ({ sid: 'a'.repeat(129) })],
    ['an agent that is no id', () => ({ sub: 'a b' })],
    ['scopes that are a list', () => ({ scope: ['ticket:*'] })],
    ['the scope *', () => ({ scope: '*' })],
    ['an unknown limit', () => ({ limits: { spend_micro_usd: 1, euros: 5 } })],
    ['a negative limit', () => ({ limits: { spend_micro_usd: -1 } })],
    ['a limit beyond 2^53', () => ({ limits: { spend_micro_usd: 2 ** 53 + 2 } })],
    ['a fraction of a limit', () => ({ limits: { spend_micro_usd: 0.5 } })],
    ['a limit as text', () => ({ limits: { spend_micro_usd: '1000000' } })],
    ['limits as a list', () => ({ limits: [1] })],
  ];
  it.each(wrong)('refuses claims with %s', async (_what, more) => {
    expect(await refused(await signToken(keys, claims(more())))).toEqual(INVALID);
  });

  it('says that a token has expired, and keeps to it where it was verified before', async () => {
    expect(await refused(await signToken(keys, claims({ iat: seconds(-700), exp: seconds(-100) })))).toEqual({
      status: 401,
      code: 'credential-expired',
    });
    const short = await signToken(keys, claims({ iat: seconds(-60), exp: seconds(-3) }));
    expect((await get(short)).status).toBe(200);
    await settledLedger(stack, id);
    await new Promise((resolve) => setTimeout(resolve, 3_200));
    expect(await refused(short)).toEqual({ status: 401, code: 'credential-expired' });
  });

  it('refuses a token that must be bound to a key', async () => {
    expect(await refused(await signToken(keys, claims({ cnf: { jkt: 'x' } })))).toEqual({
      status: 401,
      code: 'proof-invalid',
    });
  });

  it.each([
    ['padding', (text: string) => `${text}==`],
    ['a dot more', (text: string) => `${text}.`],
    ['a dot before it', (text: string) => `.${text}`],
    ['one part', (text: string) => text.split('.')[0] ?? ''],
    ['no signature', (text: string) => `${text.split('.').slice(0, 2).join('.')}.`],
    [
      'bits that mean nothing',
      (text: string) => `${text.slice(0, -1)}${String.fromCharCode(text.charCodeAt(text.length - 1) + 1)}`,
    ],
    ['standard base64', (text: string) => text.replace('.', '+.')],
    ['white space inside', (text: string) => text.replace('.', ' .')],
    ['9 KiB', (text: string) => `${'A'.repeat(9 * 1024)}${text}`],
    [
      'another session under the same signature',
      (text: string) => [text.split('.')[0], encoded(claims({ sid: 'other' })), text.split('.')[2]].join('.'),
    ],
    ['nothing in it', () => 'x'],
  ])('refuses a token with %s', async (_what, bend) => {
    expect(await refused(bend(token))).toEqual(INVALID);
  });

  it('refuses a session that was never issued, and writes nothing of it', async () => {
    const unknown = await signToken(keys, claims({ sid: 'never-issued' }));
    expect((await problemOf(await get(unknown))).code).toBe('credential-invalid');
    expect((await problemOf(await stack.call('/session', { token: unknown }))).code).toBe('credential-invalid');
    expect((await problemOf(await stack.call('/session/revoke', { token: unknown, method: 'POST' }))).code).toBe(
      'credential-invalid',
    );
    await expect(stack.admin.session('never-issued')).rejects.toThrow('404');
    expect((await problemOf(await get(unknown))).status).toBe(401);
  });

  it('takes limits, agent and customer from the issuance, not from a token that says more', async () => {
    const issued = await stack.issueSession({ limits: { spend_usd: '0.02' } });
    const richer = await signToken(keys, claims({ sid: issued.session.id, limits: { spend_micro_usd: 900_000_000 } }));
    for (let call = 0; call < 2; call += 1) expect((await get(richer)).status).toBe(200);
    await settledLedger(stack, issued.session.id);
    expect((await problemOf(await get(richer))).code).toBe('spend-limit-exceeded');
    const other = await stack.issueSession({ customer: 'acme' });
    const impostor = await signToken(
      keys,
      claims({ sid: other.session.id, sub: 'somebody-else', customer: 'umbrella' }),
    );
    expect(await unmoved(stack, other.session.id, async () => (await get(impostor)).status)).toBe(401);
  });

  it('refuses what the scopes do not cover, and nothing else', async () => {
    for (const [scope, status] of [
      ['ticket:read', 200],
      ['ticket:*', 200],
      ['ticket:write', 403],
      ['ticket', 403],
      ['tick*', 401],
      ['', 403],
      ['llm:*', 403],
    ] as const) {
      expect([scope, (await get(await signToken(keys, claims({ scope })))).status]).toEqual([scope, status]);
    }
    await settledLedger(stack, id);
  });

  it.each([
    ['none at all', [], 401, 'credential-missing'],
    ['a password', ['authorization: Basic YTpi'], 401, 'credential-invalid'],
    ['a bearer without a token', ['authorization: Bearer'], 401, 'credential-invalid'],
    ['a certificate', ['x-agent-certificate: MIIB'], 401, 'credential-invalid'],
  ])('refuses a request with %s', async (_what, lines, status, code) => {
    const answer = await unmoved(stack, id, () =>
      sendRaw(stack.gateway.port, { target: '/tickets/tickets', headers: lines }),
    );
    expect({ status: answer.status, code: answer.code }).toEqual({ status, code });
  });

  it('refuses two credentials that differ, and takes one that is repeated', async () => {
    const other = (await stack.issueSession()).token;
    const send = (...lines: readonly string[]): ReturnType<typeof sendRaw> =>
      sendRaw(stack.gateway.port, { target: '/tickets/tickets', headers: lines });
    for (const lines of [
      [`authorization: Bearer ${token}`, `x-api-key: ${other}`],
      [`x-goog-api-key: ${token}`, `api-key: ${other}`],
      [`authorization: Bearer ${token}`, `authorization: Bearer ${other}`],
      [`authorization: Bearer ${token}, Bearer ${other}`],
      [`x-api-key: ${token}`, `x-api-key: ${other}`],
      [`authorization: Bearer ${token}`, 'x-agent-certificate: MIIB'],
      [`authorization: Bearer ${token}`, 'api-key: sk-real-key-of-the-agent'],
    ]) {
      const answer = await unmoved(stack, id, () => send(...lines));
      expect({ lines, status: answer.status, code: answer.code }).toEqual({
        lines,
        status: 400,
        code: 'ambiguous-credential',
      });
    }
    expect((await send(`authorization: Bearer ${token}`, `x-api-key: ${token}`)).status).toBe(200);
    await settledLedger(stack, id);
  });

  it('rotates: another credential for the same session and the same money', async () => {
    const { session, token: before } = await stack.issueSession({ limits: { spend_usd: '0.03' } });
    const rotate = (body: object): Promise<Response> =>
      fetch(`${stack.url}/admin/sessions/${session.id}/credentials`, {
        method: 'POST',
        headers: { authorization: `Bearer ${stack.adminToken}`, 'content-type': 'application/json' },
        body: JSON.stringify({ reason: 'rotation', ...body }),
      });
    const { token: after } = await (await rotate({ ttl_seconds: 900 })).json<{ token: string }>();
    expect(after).not.toBe(before);
    for (const credential of [before, after, before]) expect((await get(credential)).status).toBe(200);
    await settledLedger(stack, session.id);
    expect((await problemOf(await get(after))).code).toBe('spend-limit-exceeded');
    expect((await get(before)).status).toBe(401);
    expect((await rotate({})).status).toBe(409);
    expect((await rotate({ ttl_seconds: 8_000 })).status).toBeGreaterThanOrEqual(400);
  });

  it('tells strangers one message, and the log the reason, without a token in it', async () => {
    const messages = new Set<unknown>();
    for (const credential of [
      'x',
      await signToken(strangers, claims()),
      await signToken(keys, claims({ aud: 'other' })),
    ]) {
      messages.add((await problemOf(await get(credential))).body['detail']);
    }
    expect(messages.size).toBe(1);
    const lines = logged.filter((line) => line.includes('credential.refused'));
    expect(lines.some((line) => line.includes('signature'))).toBe(true);
    expect(logged.filter((line) => line.includes(token.split('.')[1] ?? 'x'))).toEqual([]);
  });
});
