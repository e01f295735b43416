import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

/** The command line is tested as it is shipped, compiled: what stands in dist/ is that of src/ when the tests begin. */
export function setup(): void {
  const root = join(import.meta.dirname, '..', '..');
  execFileSync(process.execPath, [join(root, 'scripts', 'prepare.mjs')], { stdio: 'inherit' });
}
