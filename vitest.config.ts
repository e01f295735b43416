import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

// `forks` is required: PR_SET_PDEATHSIG in the worker belongs to the thread that spawned it.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/support/patterns.ts'],
    // Every worker imports torch: compiled once it takes half as long. Set where an image switches that off.
    env: {
      PYTHONDONTWRITEBYTECODE: '',
      PYTHONPYCACHEPREFIX: join(import.meta.dirname, 'node_modules/.cache/python'),
    },
    pool: 'forks',
    maxWorkers: 2,
    // A limit is for what hangs: on a machine with ten times its work a test is ten times as slow, and still right.
    testTimeout: 900_000,
    hookTimeout: 900_000,
  },
});
