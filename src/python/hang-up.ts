import { readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';

/**
 * Whether this process was started to outlive its terminal. Node forgets that a signal was ignored when it started, so `nohup` is
 * known by what it leaves: the shell's name for the command, a standard input that cannot be read, nohup.out, a parent that ignores too.
 */
export function isHangUpIgnored(env: NodeJS.ProcessEnv): boolean {
  return (
    basename(env._ ?? '') === 'nohup' ||
    basename(linkOf('/proc/self/fd/1')) === 'nohup.out' ||
    (linkOf('/proc/self/fd/0') === '/dev/null' && isWriteOnly(readProc('/proc/self/fdinfo/0'))) ||
    ignoresHangUp(readProc(`/proc/${process.ppid}/status`))
  );
}

function isWriteOnly(fdinfo: string): boolean {
  return (Number.parseInt(/^flags:\s*([0-7]+)/m.exec(fdinfo)?.[1] ?? '0', 8) & 3) === 1;
}

/** Signal 1 is the lowest bit of the mask. */
function ignoresHangUp(status: string): boolean {
  return (Number.parseInt(/^SigIgn:\s*([0-9a-f]+)/m.exec(status)?.[1]?.slice(-1) ?? '0', 16) & 1) === 1;
}

function readProc(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return ''; // no Linux
  }
}

function linkOf(path: string): string {
  try {
    return readlinkSync(path);
  } catch {
    return '';
  }
}
