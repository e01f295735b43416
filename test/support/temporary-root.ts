import { existsSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';

const inMemory = '/dev/shm';
const neededBytes = 4 * 2 ** 30;

/**
 * Where tests put what they throw away: in memory where there is room, since a run syncs every file that it writes and a disk makes that
 * four times as slow. TMPDIR says otherwise.
 */
export function temporaryRoot(): string {
  if (process.env.TMPDIR) return process.env.TMPDIR;
  if (!existsSync(inMemory)) return tmpdir();
  const found = statfsSync(inMemory);
  return found.bavail * found.bsize >= neededBytes ? inMemory : tmpdir();
}
