import { spawnSync } from 'node:child_process';
import type { EnvironmentRecord } from '../run/records.ts';

/** Commit of the working directory and whether it has uncommitted changes; null outside a repository or without git. */
export function gitState(): EnvironmentRecord['git'] {
  const commit = git('rev-parse', 'HEAD');
  const changes = git('status', '--porcelain', '--untracked-files=no');
  return commit === null || changes === null ? null : { commit, isDirty: changes !== '' };
}

function git(...args: string[]): string | null {
  const { status, stdout } = spawnSync('git', args, {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  return status === 0 ? stdout.trim() : null;
}
