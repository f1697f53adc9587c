import { describe, expect, it } from 'vitest';
import { planDeploy, readSecretListing } from '../../scripts/deploy.ts';

describe('what the account says about secrets', () => {
  it('is their names', () => {
    const stdout =
      '[\n  { "name": "ADMIN_TOKENS", "type": "secret_text" },\n  { "name": "OPENAI_API_KEY", "type": "secret_text" }\n]\n';
    expect(readSecretListing({ exitCode: 0, stdout, stderr: '' })).toEqual({
      ok: true,
      names: ['ADMIN_TOKENS', 'OPENAI_API_KEY'],
    });
    expect(readSecretListing({ exitCode: 0, stdout: `[WARNING] old\n${stdout}`, stderr: '' })).toMatchObject({
      ok: true,
    });
    expect(readSecretListing({ exitCode: 0, stdout: '[]', stderr: '' })).toEqual({ ok: true, names: [] });
  });

  it('is none for a Worker that is not there yet', () => {
    const stderr =
      'X [ERROR] Worker "fusebox" not found.\n\nIf this is a new Worker, run `wrangler deploy` first to create it.\n';
    expect(readSecretListing({ exitCode: 1, stdout: '', stderr })).toEqual({ ok: true, names: [] });
  });

  it.each([
    [{ exitCode: 1, stdout: '', stderr: 'You are not logged in.' }],
    [{ exitCode: 1, stdout: '', stderr: 'fetch failed' }],
    [{ exitCode: 0, stdout: 'hello', stderr: '' }],
    [{ exitCode: 0, stdout: '{}', stderr: '' }],
    [{ exitCode: 0, stdout: '[1]', stderr: '' }],
  ])('is not guessed where it cannot be read: %j', (outcome) => {
    expect(readSecretListing(outcome)).toMatchObject({ ok: false });
  });
});

describe('a deployment', () => {
  it('makes the secrets that are missing, and shows the admin token that it made', async () => {
    const plan = await planDeploy([], ['OPENAI_API_KEY']);
    expect(Object.keys(plan.secrets)).toEqual(['SESSION_SIGNING_KEYS', 'ADMIN_TOKENS']);
    expect(plan.adminToken).toMatch(/^fusebox_admin_/);
    expect(plan.missingProviderKeys).toEqual(['OPENAI_API_KEY']);
  });

  it('replaces none that exists', async () => {
    const plan = await planDeploy(['SESSION_SIGNING_KEYS', 'ADMIN_TOKEN', 'OPENAI_API_KEY'], ['OPENAI_API_KEY']);
    expect(plan).toEqual({ secrets: {}, adminToken: null, missingProviderKeys: [] });
  });
});
