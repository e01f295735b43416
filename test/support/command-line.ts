/** The program as a person starts it, without a terminal. */
import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { temporaryDirectory } from './temporary-directory.ts';

export type Surroundings = {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
};

/** Run `tms`; what it keeps for a user goes to a directory of its own. */
export function tms(
  args: readonly string[],
  { cwd, env, input = '' }: Surroundings = {},
): SpawnSyncReturns<string> {
  const [program, all] = commandOf(args);
  return spawnSync(program, all, { cwd, env: environmentOf(env), encoding: 'utf8', input });
}

export type Ended = { readonly status: number | null; readonly stdout: string; readonly stderr: string };

export type Started = {
  readonly kill: (signal: NodeJS.Signals) => void;
  /** What it wrote to stderr so far. */
  readonly said: () => string;
  readonly ended: Promise<Ended>;
};

/** Start `tms` and go on while it works; `kill` is what a terminal or a scheduler does to it. */
export function startTms(args: readonly string[], { cwd, env }: Surroundings = {}): Started {
  const [program, all] = commandOf(args);
  const child = spawn(program, all, { cwd, env: environmentOf(env), stdio: ['ignore', 'pipe', 'pipe'] });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      texts[name] += text;
    });
  const ended = new Promise<Ended>(resolve => child.once('close', status => resolve({ status, ...texts })));
  return { kill: signal => void child.kill(signal), said: () => texts.stderr, ended };
}

/** The program as it is shipped: test/support/build.ts has compiled it. */
export const program = join(import.meta.dirname, '..', '..', 'dist', 'cli', 'main.js');

function commandOf(args: readonly string[]): [program: string, args: string[]] {
  return [process.execPath, [program, ...args]];
}

function environmentOf(env: NodeJS.ProcessEnv | undefined): NodeJS.ProcessEnv {
  return { ...process.env, TMS_HOME: temporaryDirectory(), NO_COLOR: '1', ...env };
}
