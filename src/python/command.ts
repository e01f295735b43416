import { spawn } from 'node:child_process';
import { interruptedBy } from '../errors.ts';
import { isHangUpIgnored } from './hang-up.ts';

/** How a child process ended; `code` is null when it could not start or a signal ended it. */
export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  /** Empty when the output was shown while it ran. */
  readonly stderr: string;
  /** Why the program could not be started; null when it ran. */
  readonly startError: string | null;
}

/** Settings of `runCommand`. */
export interface CommandOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Show the child's output on our stderr while it runs, progress bars included, instead of collecting it. */
  readonly show?: boolean;
  readonly timeoutSeconds?: number;
  /** It and all that it starts end with us, however we end: for what changes files. Such a program must exist. */
  readonly endsWithUs?: boolean;
}

/**
 * Run a program to its end, in a process group of its own: a signal ends all of it before `InterruptedError` is thrown, so that callers
 * can release what they hold. It runs in `/`: `python -c` imports from the current folder, where anything may lie.
 */
export function runCommand(
  program: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  return untilInterrupted(() => start(program, args, options));
}

type Running = { readonly stop: (signal: NodeJS.Signals) => void; readonly ended: Promise<CommandResult> };

function start(program: string, args: readonly string[], options: CommandOptions): Running {
  const { env, show = false, timeoutSeconds, endsWithUs = false } = options;
  const output = show ? 2 : 'pipe';
  const [file, ...rest] = endsWithUs ? ['/bin/sh', '-c', guarded, program, ...args] : [program, ...args];
  const child = spawn(file, rest, {
    cwd: '/',
    env,
    detached: true,
    stdio: ['ignore', output, output, ...(endsWithUs ? ['pipe' as const] : [])],
  });
  const collected = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name]?.setEncoding('utf8').on('data', text => {
      collected[name] += text;
    });
  const stop = (signal: NodeJS.Signals) => signalGroup(child.pid, signal);
  const timer =
    timeoutSeconds === undefined ? undefined : setTimeout(() => stop('SIGKILL'), timeoutSeconds * 1000);
  const ended = new Promise<CommandResult>(done => {
    child.once('error', error => done({ code: null, ...collected, startError: error.message }));
    child.once('exit', () => {
      child.stdio[3]?.destroy();
      stop('SIGKILL'); // what it started and left behind
    });
    child.once('close', code => done({ code, ...collected, startError: null }));
  });
  return { stop, ended: ended.finally(() => clearTimeout(timer)) };
}

/** A shell that becomes the program, after it has left somebody to wait for our end of a pipe to close: then the group is killed. */
const guarded = '{ read -r _ <&3; kill -s KILL 0; } </dev/null >/dev/null 2>&1 & exec 3<&- "$0" "$@"';

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // All of it is gone already.
  }
}

const graceMilliseconds = 5000;

/** Hears signals before it begins: one that comes while the program is being started counts too. */
async function untilInterrupted(begin: () => Running): Promise<CommandResult> {
  let running: Running | undefined;
  let interrupted: NodeJS.Signals | null = null;
  let timer: NodeJS.Timeout | undefined;
  const onSignal = (signal: NodeJS.Signals) => {
    if (signal === 'SIGHUP' && isHangUpIgnored(process.env)) return;
    interrupted = signal;
    running?.stop(signal);
    timer ??= setTimeout(() => running?.stop('SIGKILL'), graceMilliseconds);
  };
  const names = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const name of names) process.on(name, onSignal);
  try {
    running = begin();
    const result = await running.ended;
    if (interrupted !== null) throw interruptedBy(interrupted);
    return result;
  } finally {
    clearTimeout(timer);
    for (const name of names) process.off(name, onSignal);
  }
}

/** The last lines of what a program said, for an error message. */
export function lastLines(text: string, count = 12): string {
  return text.trimEnd().split('\n').slice(-count).join('\n');
}
