/** The worker's process: its environment, its last words, and its certain end. */
import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { delimiter } from 'node:path';
import { createInterface } from 'node:readline';
import type { Dealer } from 'zeromq';
import { removeSocketDirectory, socketDirectory, socketPath } from './socket-directory.ts';
import { WorkerError } from './worker-error.ts';

const keptLines = 50;

export type ProcessOptions = {
  /** Python interpreter that has the packages of requirements.txt. */
  readonly python: string;
  /** What it runs; by default py_worker. */
  readonly module?: string;
  /** The folder that holds py_worker. */
  readonly root: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Receives each line that the worker prints. */
  readonly onLog?: (line: string) => void;
};

/** A process of ours, or what is known of one on another machine. */
export type WorkerProcess = {
  /** How a sentence about it begins. */
  readonly name: string;
  /** Null: of another machine, it says its own. */
  readonly pid: number | null;
  readonly token: string;
  /** Connect a new socket to it. */
  connect(socket: Dealer): void;
  /** Resolves when the process has ended, with a sentence that says how. */
  readonly exited: Promise<string>;
  /** The last lines that the worker printed. */
  lastWords(): string;
  /** SIGTERM to the group, SIGKILL after `graceMs`; resolves when the process is gone. */
  kill(graceMs?: number): Promise<void>;
};

/** Rejects with SPAWN_FAILED when the interpreter cannot be started. */
export async function startProcess(options: ProcessOptions): Promise<WorkerProcess> {
  const directory = await socketDirectory(process.env).catch((cause: Error) => {
    const reason = `Python worker: no folder for its socket: ${cause.message}`;
    throw new WorkerError('SPAWN_FAILED', reason, {
      cause,
      fix: 'set TMPDIR to a folder that can be written',
    });
  });
  const endpoint = `ipc://${socketPath(directory)}`;
  const token = randomBytes(16).toString('hex');
  const variables = { TMS_WORKER_ENDPOINT: endpoint, TMS_WORKER_TOKEN: token };
  const spawned = await spawnWorker(options, variables).catch(error => {
    removeSocketDirectory(directory);
    throw error;
  });
  void spawned.exited.then(() => removeSocketDirectory(directory));
  const connect = (socket: Dealer) => socket.connect(endpoint);
  return { name: 'the worker process', token, connect, ...spawned };
}

/** A process of ours that runs py_worker, whoever speaks to it. */
export type SpawnedWorker = Pick<WorkerProcess, 'exited' | 'lastWords' | 'kill'> & { readonly pid: number };

/** Start py_worker; `variables` say where it binds. Rejects with SPAWN_FAILED when the interpreter cannot be started. */
export async function spawnWorker(
  options: ProcessOptions,
  variables: Readonly<Record<string, string>>,
): Promise<SpawnedWorker> {
  const child = spawn(options.python, ['-m', options.module ?? 'py_worker'], {
    stdio: ['pipe', 'pipe', 'pipe'], // nothing is ever written: that stdin closes tells the worker of our death, however we die
    detached: true, // its own group: Ctrl-C in the terminal is ours to interpret
    env: { ...process.env, ...workerEnvironment(options), ...variables },
  });
  child.stdin.on('error', () => {}); // the worker is gone: its exit tells
  const lines = collectLines(child, options.onLog);
  const exited = new Promise<string>(resolve => {
    child.once('exit', (code, signal) =>
      resolve(signal ? `killed by ${signal}` : `ended with exit code ${code}`),
    );
    child.once('error', error => resolve(`could not be started: ${error.message}`));
  });
  const pid = child.pid;
  if (pid === undefined)
    throw new WorkerError('SPAWN_FAILED', `Python worker: ${options.python} ${await exited}`);
  return { pid, exited, lastWords: () => lines.join('\n'), kill: grace => kill(pid, exited, grace) };
}

function workerEnvironment({ root, env }: ProcessOptions): Record<string, string> {
  const inherited = process.env.PYTHONPATH;
  return {
    OMP_WAIT_POLICY: process.env.OMP_WAIT_POLICY ?? 'PASSIVE',
    PYTHONHASHSEED: process.env.PYTHONHASHSEED ?? '0',
    ...env,
    PYTHONUNBUFFERED: '1',
    PYTHONSAFEPATH: '1', // a torch.py in the working directory must not be imported
    PYTHONPATH: inherited ? `${root}${delimiter}${inherited}` : root,
  };
}

function collectLines(child: ChildProcess, onLog?: (line: string) => void): string[] {
  const lines: string[] = [];
  for (const stream of [child.stdout, child.stderr]) {
    if (!stream) continue;
    createInterface({ input: stream }).on('line', line => {
      lines.push(line);
      if (lines.length > keptLines) lines.shift();
      onLog?.(line);
    });
  }
  return lines;
}

async function kill(pid: number, exited: Promise<string>, graceMs = 2000): Promise<void> {
  signalGroup(pid, 'SIGTERM');
  const timer = setTimeout(() => signalGroup(pid, 'SIGKILL'), graceMs);
  await exited;
  clearTimeout(timer);
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // It is gone already.
  }
}
