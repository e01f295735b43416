/** test/py_worker/stand_in.py as a process: a worker on the network that needs no torch. */
import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { projectRoot } from '../../src/python/paths.ts';
import { pythonPath } from './tiny-model.ts';

export type StandIn = {
  readonly process: ChildProcess;
  readonly address: string;
  readonly key: string;
  readonly pid: number;
  /** Its exit code, or the signal that ended it. */
  readonly ended: Promise<number | string | null>;
};

/** `command` stands before Python, as `ip netns exec NAME`. */
export async function standIn({
  allow,
  env = {},
  command = [],
  cwd = '/',
}: {
  allow: readonly string[];
  env?: Record<string, string>;
  command?: readonly string[];
  cwd?: string;
}): Promise<StandIn> {
  const [program = '', ...args] = [
    ...command,
    await pythonPath(),
    join(projectRoot(), 'test/py_worker/stand_in.py'),
  ];
  const child = spawn(program, args, {
    cwd,
    stdio: ['pipe', 'pipe', 'ignore'],
    env: { ...process.env, PYTHONPATH: projectRoot(), TMS_WORKER_ALLOW: allow.join(' '), ...env },
  });
  const ended = new Promise<number | string | null>(resolve => {
    child.once('exit', (code, signal) => resolve(signal ?? code));
  });
  const line = await new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout })
      .once('line', resolve)
      .once('close', () => reject(new Error('no line came')));
  });
  const { endpoint, key, pid } = JSON.parse(line) as { endpoint: string; key: string; pid: number };
  return { process: child, address: endpoint, key, pid, ended };
}
