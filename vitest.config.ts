import { cloudflareTest } from '@cloudflare/vitest-plugin';
import { defineConfig } from 'vitest/config';
import { makeSigningKeys } from './scripts/secrets.ts';

// A developer's own .dev.vars must not decide what the tests see.
const bindings = { SESSION_SIGNING_KEYS: await makeSigningKeys() };

export default defineConfig({
  test: {
    projects: [
      {
        plugins: [
          cloudflareTest({
            wrangler: { configPath: './wrangler.toml' },
            miniflare: { bindings, r2Buckets: ['ARCHIVE'] },
          }),
        ],
        test: { name: 'workerd', include: ['test/**/*.test.ts'], exclude: ['test/**/*.node.test.ts'] },
      },
      { test: { name: 'node', include: ['test/**/*.node.test.ts'], environment: 'node' } },
    ],
  },
});
