/** Names of what is still being written: unmistakably ours, so that nothing else is ever taken for a leftover and removed. */
import { randomBytes } from 'node:crypto';

const pattern = /\.tms-(\d+)-[0-9a-f]{8}\.part$/;

/** Where `path` is written before it gets its name; `py_worker/atomic.py` makes the same. */
export function temporaryName(path: string): string {
  return `${path}.tms-${process.pid}-${randomBytes(4).toString('hex')}.part`;
}

/** The name that what is written there will get. */
export function finalName(path: string): string {
  return path.replace(/\.tms-\d+-[0-9a-f]{8}\.part/, '');
}

/** Whether a file or folder of that name was never finished, or is being written. */
export function isTemporaryName(name: string): boolean {
  return pattern.test(name);
}

/** Whether nobody writes under that name any more: its process is gone, or another one has had the number for a day. */
export function isAbandoned(name: string, changedAt: Date): boolean {
  const pid = pattern.exec(name)?.[1];
  if (pid === undefined) return false;
  return Date.now() - changedAt.getTime() > dayMilliseconds || !isAlive(Number(pid));
}

const dayMilliseconds = 86_400_000;

/** Whether a process of this machine has that number. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
