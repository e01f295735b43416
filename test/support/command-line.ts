/** The program as a person starts it, without a terminal. */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { temporaryDirectory } from './temporary-directory.ts';

export type Surroundings = {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
};

/** Run `tms`; what it keeps for a user goes to a directory of its own. */
export function tms(
  args: readonly string[],
  { cwd, env, input = '' }: Surroundings = {},
): SpawnSyncReturns<string> {
  const root = join(import.meta.dirname, '..', '..');
  const program = ['--import', import.meta.resolve('tsx'), join(root, 'src', 'cli', 'main.ts'), ...args];
  const home = { TMS_HOME: temporaryDirectory(), NO_COLOR: '1' };
  return spawnSync(process.execPath, program, {
    cwd,
    env: { ...process.env, ...home, ...env },
    encoding: 'utf8',
    input,
  });
}
