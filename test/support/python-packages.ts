/** Tests that need a Python package of an extra: without it they are left out, and say so. */
import { spawnSync } from 'node:child_process';
import { findPython } from '../../src/python/find.ts';

/** The Python of the tests, and whether it lacks the package that `tms setup --with EXTRA` brings; printed where it does. */
export async function pythonWith(
  extra: string,
  module: string,
): Promise<{ python: string; isMissing: boolean }> {
  const { path } = await findPython();
  const code = `import importlib.util, sys; sys.exit(importlib.util.find_spec(${JSON.stringify(module)}) is None)`;
  const isMissing = spawnSync(path, ['-c', code]).status !== 0;
  if (isMissing) process.stderr.write(`left out: ${module} is not there (npx tms setup --with ${extra})\n`);
  return { python: path, isMissing };
}
