import { join } from 'node:path';
import { defineConfig } from 'vitest/config';
import { temporaryRoot } from './test/support/temporary-root.ts';

// A process for each file: tests send signals, and native modules live in it.
export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    setupFiles: ['test/support/patterns.ts'],
    globalSetup: ['test/support/build.ts'],
    // Every worker imports torch: compiled once it takes half as long. Set where an image switches that off.
    env: {
      TMPDIR: temporaryRoot(),
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
