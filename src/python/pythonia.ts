/** The one Python process that pythonia knows: started with what it needs, shared by whoever asks of the same Python, ended by the last. */
import type { ChildProcess } from 'node:child_process';
import { createRequire } from 'node:module';
import { TmsError } from '../errors.ts';
import { workerVariables } from './determinism.ts';

const closeSeconds = 2;

/** Which interpreter, and whether it sees the GPUs. */
type PythonOptions = { readonly python: string; readonly cuda?: boolean };

/** The Python process ended, by itself or because it was closed. */
export class PythonGone extends TmsError {}

/** The one process, as pythonia has it; the last of its users ends it. */
type Shared = {
  readonly pythonia: Pythonia;
  readonly gone: Promise<never>;
  readonly key: string;
  readonly end: () => Promise<void>;
  users: number;
};
let shared: Shared | null = null;

/** Use the process, and start it where it does not run. `release` may be called again; it resolves when the process is gone, or is left to others. */
export function sharePythonia(
  options: PythonOptions,
): Pick<Shared, 'pythonia' | 'gone'> & { release: () => Promise<void> } {
  const key = JSON.stringify([options.python, options.cuda ?? false]);
  const used = shared?.key === key ? shared : startShared(options, key);
  shared = used;
  used.users += 1;
  let released: Promise<void> | null = null;
  const release = async () => {
    used.users -= 1;
    if (used.users > 0) return;
    if (shared === used) shared = null;
    await used.end();
  };
  return {
    ...used,
    release: () => {
      released ??= release();
      return released;
    },
  };
}

function startShared(options: PythonOptions, key: string): Shared {
  const pythonia = startPythonia(options);
  const child = pythonia.com.proc;
  if (child === null) throw new PythonGone('the Python side process did not start');
  const gone = whenGone(child);
  pythonia.python.setFastMode(true);
  const started = { pythonia, gone, key, end: closeOnce(pythonia, child, gone), users: 0 };
  child.once('exit', () => {
    if (shared === started) shared = null;
  });
  return started;
}

/** Every function of the shim takes one JSON string and returns one JSON string. */
export type Shim = Record<string, (text: string) => Promise<string>>;

/** The part of pythonia that we touch. */
interface Pythonia {
  readonly python: ((path: string) => Promise<Shim>) & { exit(): void; setFastMode(isFast: boolean): void };
  readonly com: { readonly proc: ChildProcess | null; start(): void };
}

/**
 * pythonia starts Python while it is loaded, with the environment of that moment: so it is loaded late and synchronously,
 * between a change of `process.env` and its undoing, and no other child process can inherit the change.
 */
function startPythonia({ python, cuda = false }: PythonOptions): Pythonia {
  const require = createRequire(import.meta.url);
  const isLoaded = require.cache[require.resolve('pythonia')] !== undefined;
  const restore = setVariables({
    ...workerVariables(process.env),
    PYTHON_BIN: python,
    REQ_TIMEOUT: '0', // otherwise every call holds a timer of 100 s
    PYTHONSAFEPATH: undefined, // pythonia imports from its own folder
    DEBUG: undefined, // pythonia would log every message to stdout
    ...(cuda ? {} : { CUDA_VISIBLE_DEVICES: '' }),
  });
  try {
    const pythonia: Pythonia = require('pythonia');
    const { proc } = pythonia.com;
    const isAlive = proc !== null && proc.exitCode === null && proc.signalCode === null;
    if (isLoaded && isAlive)
      throw new PythonGone('the Python side process is open already, with another Python: close it first');
    if (isLoaded) pythonia.com.start();
    return pythonia;
  } finally {
    restore();
  }
}

function setVariables(changes: Record<string, string | undefined>): () => void {
  const before = Object.keys(changes).map(name => [name, process.env[name]] as const);
  assignVariables(Object.entries(changes));
  return () => assignVariables(before);
}

function assignVariables(values: readonly (readonly [string, string | undefined])[]): void {
  for (const [name, value] of values) {
    if (value === undefined) delete process.env[name];
    else process.env[name] = value;
  }
}

/** Rejects when the process ends: pythonia itself would let every call wait for ever. */
function whenGone(child: ChildProcess): Promise<never> {
  const gone = new Promise<never>((_, reject) => {
    child.once('exit', (code, signal) =>
      reject(new PythonGone(`the Python side process ended (${signal ?? code})`)),
    );
    child.on('error', cause =>
      reject(new PythonGone(`the Python side process failed: ${cause.message}`, { cause })),
    );
  });
  gone.catch(() => {}); // an ended process is no error while nobody asks
  return gone;
}

function closeOnce(pythonia: Pythonia, child: ChildProcess, gone: Promise<never>): () => Promise<void> {
  let closing: Promise<void> | null = null;
  const close = async () => {
    const timer = setTimeout(() => child.kill('SIGKILL'), closeSeconds * 1000);
    pythonia.python.exit(); // also ends pythonia's own interval
    await gone.catch(() => {});
    clearTimeout(timer);
  };
  return () => {
    closing ??= close();
    return closing;
  };
}
