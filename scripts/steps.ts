import { spawnSync } from 'node:child_process';
import type { PythonFound } from '../src/python/find.ts';
import { ensurePython } from '../src/python/make-environment.ts';

/** One program of a check; its output goes to the terminal. */
export interface Step {
  readonly name: string;
  readonly command: readonly [program: string, ...args: string[]];
}

/** Run every step, whatever became of those before it, then print how each went; false when one failed. */
export function runSteps(steps: readonly Step[]): boolean {
  const results = steps.map(step => ({ step, ...runStep(step) }));
  console.log('');
  for (const { step, isOk, seconds } of results) {
    console.log(`${isOk ? 'ok    ' : 'FAILED'} ${step.name} (${seconds.toFixed(1)} s)`);
  }
  return results.every(({ isOk }) => isOk);
}

function runStep({ name, command }: Step): { isOk: boolean; seconds: number } {
  const [program, ...args] = command;
  console.log(`\n— ${name}: ${[program.split('/').at(-1), ...args].join(' ')}`);
  const start = performance.now();
  const env = process.stdout.isTTY ? process.env : { ...process.env, NO_COLOR: '1' };
  const { status, error } = spawnSync(program, args, { stdio: 'inherit', env });
  if (error) console.error(`${program} cannot be started: ${error.message}`);
  return { isOk: status === 0, seconds: (performance.now() - start) / 1000 };
}

/** The Python with the development tools, made now if there is none. */
export function developmentPython(): Promise<PythonFound> {
  return ensurePython({
    dev: true,
    report: line => console.log(line),
    showProgress: process.stderr.isTTY === true,
  });
}

/** A tool of node_modules as a command. */
export function nodeTool(name: string): string {
  return `node_modules/.bin/${name}`;
}
