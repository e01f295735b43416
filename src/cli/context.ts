import type { Terminal } from './terminal.ts';

/** What every command gets from main.ts; `exitCode` is where a command leaves its result. */
export interface CliContext {
  readonly terminal: Terminal;
  readonly env: NodeJS.ProcessEnv;
  readonly version: string;
  exitCode: number;
  /** The command that goes on with what an error ended; printed after it. */
  goOn: string | null;
}
