import { constants } from 'node:os';

/** What the shell sees when `tms` ends: scripts may rely on these numbers. */
export const exitCodes = {
  ok: 0,
  failed: 1,
  /** The work was done, and something that was demanded of its result does not hold. */
  unmet: 2,
  usage: 3,
  /** By Ctrl-C; as a shell reports it, 128 + the number of the signal: 143 by SIGTERM, 129 by a hang-up. */
  interrupted: 130,
} as const;

/** The optional parts of a `TmsError`. */
export interface TmsErrorOptions {
  /** One line, or one command, that puts it right. */
  fix?: string | null | undefined;
  /** The code `tms` exits with when nobody handles the error. */
  exitCode?: number | undefined;
  cause?: unknown;
}

/** An error made for a person: `message` says what, where and what was found; `fix` says what to do about it. */
export class TmsError extends Error {
  readonly fix: string | null;
  readonly exitCode: number;

  constructor(message: string, options: TmsErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.fix = options.fix ?? null;
    this.exitCode = options.exitCode ?? exitCodes.failed;
  }
}

/** The command line or a configuration asks for something that does not exist or does not fit together. */
export class UsageError extends TmsError {
  constructor(message: string, options: TmsErrorOptions = {}) {
    super(message, { exitCode: exitCodes.usage, ...options });
  }
}

/** The work was done and its files are whole; something that was demanded of the result does not hold. */
export class UnmetError extends TmsError {
  constructor(message: string, options: TmsErrorOptions = {}) {
    super(message, { exitCode: exitCodes.unmet, ...options });
  }
}

/** The machine lacks something that `tms` needs: Python, a package, a writable folder. */
export class EnvironmentError extends TmsError {}

/** The person pressed Ctrl-C, or the process was asked to stop. */
export class InterruptedError extends TmsError {
  constructor(message = 'interrupted', options: TmsErrorOptions = {}) {
    super(message, { ...options, exitCode: options.exitCode ?? exitCodes.interrupted });
  }
}

/** What a stop by the signal comes to, with the exit code that its reason asks for. */
export function stoppedBy({ reason }: AbortSignal, message: string, fix: string): InterruptedError {
  const exitCode = reason instanceof InterruptedError ? reason.exitCode : undefined;
  return new InterruptedError(message, { fix, cause: reason, exitCode });
}

/** With the exit code that a shell gives to a program which a signal ended. */
export function interruptedBy(signal: NodeJS.Signals): InterruptedError {
  return new InterruptedError(`interrupted by ${signal}`, { exitCode: 128 + constants.signals[signal] });
}
