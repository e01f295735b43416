import { spawn } from 'node:child_process';
import { InterruptedError } from '../errors.ts';

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
}

/**
 * Run a program to its end. Ctrl-C ends the child first, then throws `InterruptedError`, so that callers can release
 * what they hold. It runs in `/`: `python -c` imports from the current folder, where anything may lie.
 */
export async function runCommand(
  program: string,
  args: readonly string[],
  options: CommandOptions,
): Promise<CommandResult> {
  const child = spawn(program, args, {
    cwd: '/',
    env: options.env,
    stdio: options.show ? ['ignore', 2, 2] : ['ignore', 'pipe', 'pipe'],
    ...(options.timeoutSeconds === undefined ? {} : { timeout: options.timeoutSeconds * 1000 }),
  });
  const output = { stdout: '', stderr: '' };
  child.stdout?.setEncoding('utf8').on('data', text => {
    output.stdout += text;
  });
  child.stderr?.setEncoding('utf8').on('data', text => {
    output.stderr += text;
  });
  return untilInterrupted(
    signal => child.kill(signal),
    new Promise<CommandResult>(done => {
      child.once('error', error => done({ code: null, ...output, startError: error.message }));
      child.once('close', code => done({ code, ...output, startError: null }));
    }),
  );
}

async function untilInterrupted<T>(stop: (signal: NodeJS.Signals) => void, ended: Promise<T>): Promise<T> {
  let interrupted: NodeJS.Signals | null = null;
  const onSignal = (signal: NodeJS.Signals) => {
    interrupted = signal;
    stop(signal);
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    const result = await ended;
    if (interrupted !== null) throw new InterruptedError();
    return result;
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

/** The last lines of what a program said, for an error message. */
export function lastLines(text: string, count = 12): string {
  return text.trimEnd().split('\n').slice(-count).join('\n');
}
