/** SIGINT, SIGTERM and SIGHUP: the first asks a run to stop at its next safe point. */
import { readFileSync, readlinkSync } from 'node:fs';
import { constants } from 'node:os';
import { basename } from 'node:path';
import { InterruptedError } from '../errors.ts';

/** npm passes Ctrl-C on to a program that the terminal has told already: twice so soon is once. */
const echoMilliseconds = 200;

/** Hears signals until it is released; `signal.reason` is an `InterruptedError` with the exit code 128 + number. */
export function listenForStop(say: (line: string) => void, env: NodeJS.ProcessEnv) {
  const controller = new AbortController();
  let canEnd = false;
  const onSignal = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) {
      // A closing terminal hangs up more than once, and nobody can have meant "at once" by it.
      if (canEnd && name !== 'SIGHUP') process.exit(exitCodeOf(name)); // the worker dies with us
      return;
    }
    controller.abort(new InterruptedError(`interrupted by ${name}`, { exitCode: exitCodeOf(name) }));
    setTimeout(
      () => {
        canEnd = true;
        say('stopping at the next safe point; once more to stop at once');
      },
      env.npm_command === undefined ? 0 : echoMilliseconds,
    ).unref();
  };
  const names: NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];
  const onHangUp = isHangUpIgnored(env) ? () => {} : onSignal;
  for (const name of names) process.on(name, name === 'SIGHUP' ? onHangUp : onSignal);
  return {
    signal: controller.signal,
    release: () => {
      for (const name of names) process.off(name, name === 'SIGHUP' ? onHangUp : onSignal);
    },
  };
}

function exitCodeOf(name: NodeJS.Signals): number {
  return 128 + constants.signals[name];
}

/**
 * Whether this process was started to outlive its terminal. Node forgets that a signal was ignored when it started, so `nohup` is
 * known by what it leaves: the shell's name for the command, a standard input that cannot be read, nohup.out, a parent that ignores too.
 */
function isHangUpIgnored(env: NodeJS.ProcessEnv): boolean {
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
