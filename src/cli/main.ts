#!/usr/bin/env node
import { CommanderError } from 'commander';
import { exitCodes, TmsError } from '../errors.ts';
import { translateSystemError } from '../files/system-error.ts';
import { packageVersion } from '../python/paths.ts';
import { adviceFor } from './advice.ts';
import { makeProgram } from './program.ts';
import { type CliContext, processTerminal } from './terminal.ts';

async function main(args: readonly string[]): Promise<number> {
  const context: CliContext = {
    terminal: processTerminal(process.env),
    env: process.env,
    version: packageVersion(),
    exitCode: exitCodes.ok,
    goOn: null,
  };
  // What no promise carries, such as a lock that another process took over.
  process.on('uncaughtException', error => process.exit(reportError(error, context, false)));
  const program = makeProgram(context);
  try {
    await program.parseAsync(args, { from: 'user' });
    return context.exitCode;
  } catch (error) {
    return reportError(error, context, program.opts().verbose === true);
  }
}

/** Print an error for a person and return the exit code; anything but a `TmsError` is a bug and keeps its stack. */
function reportError(thrown: unknown, { terminal, goOn }: CliContext, isVerbose: boolean): number {
  const error = translateSystemError(thrown);
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (!(error instanceof TmsError)) {
    terminal.note(
      `tms: this is a bug, please report it\n${error instanceof Error ? error.stack : String(error)}`,
    );
    return exitCodes.failed;
  }
  terminal.note(`${terminal.paint('red', 'error:')} ${error.message}`);
  const fix = adviceFor(error);
  if (fix !== null) terminal.note(`  fix: ${fix}`);
  if (goOn !== null) terminal.note(`  go on with: ${goOn}`);
  if (isVerbose) terminal.note(traces(error));
  return error.exitCode;
}

/** Our stack, that of each cause, and the Python traceback where an error carries one. */
function traces(error: Error): string {
  const python = 'trace' in error && typeof error.trace === 'string' ? [error.trace] : [];
  const cause = error.cause instanceof Error ? [`caused by ${traces(error.cause)}`] : [];
  return [error.stack ?? error.message, ...python, ...cause].join('\n');
}

// Never left to end by itself: pythonia and sockets hold timers.
process.exit(await main(process.argv.slice(2)));
