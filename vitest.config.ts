import { defineConfig } from 'vitest/config';

// `forks` is required: PR_SET_PDEATHSIG in the worker belongs to the thread that spawned it.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/support/patterns.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 180_000,
  },
});
