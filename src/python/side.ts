import type { ChildProcess } from 'node:child_process';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { z } from 'zod';
import { EnvironmentError, TmsError } from '../errors.ts';
import { determinismVariables, workerVariables } from './determinism.ts';
import { installExtraInto } from './own-environment.ts';
import { projectRoot } from './paths.ts';

/** A Python process for library calls; one at a time, since pythonia knows only one. Close it in `finally`. */
export interface Side {
  /** Versions, devices and variables as the worker would find them; imports everything: seconds. */
  environment(): Promise<PythonEnvironment>;
  /** Call a function of the shim with keyword arguments and check what it returns. */
  call<T>(name: string, args: object, result: z.ZodType<T>): Promise<T>;
  /** Ends the process; calls under way reject with `PythonGone`. May be called again. */
  close(): Promise<void>;
}

/** Settings of `openSide`. */
export interface SideOptions {
  /** An interpreter that was checked before (`findPython`): pythonia takes the whole program down with a wrong one. */
  readonly python: string;
  /** Let it see the GPUs, each of which costs it hundreds of megabytes of GPU memory. Only `tms doctor` asks. */
  readonly cuda?: boolean;
  /** The file with the functions; py_worker/side.py if left out. */
  readonly shim?: string;
}

/** `extra`: what is missing is in this one; `fix`: the message is for a person, and this says what to do. */
type Failure = {
  readonly type: string;
  readonly message: string;
  readonly trace: string;
  readonly extra?: string | undefined;
  readonly fix?: string | undefined;
};

/** A Python function raised an exception, or refused what it was asked for; then it has a `fix`, and `type` says why. */
export class PythonError extends TmsError {
  /** The class of the exception. */
  readonly type: string;
  /** What it said. */
  readonly reason: string;
  readonly trace: string;

  constructor(name: string, failure: Failure) {
    const { type, message, fix } = failure;
    super(fix === undefined ? `Python ${name}: ${type}: ${message}` : message, { fix });
    this.type = failure.type;
    this.reason = failure.message;
    this.trace = failure.trace;
  }
}

/** The Python process ended, by itself or because it was closed. */
export class PythonGone extends TmsError {}

const startSeconds = 60;
const closeSeconds = 2;

const environmentSchema = z.object({
  python: z.object({ version: z.string(), executable: z.string(), prefix: z.string() }),
  packages: z.record(z.string(), z.string().nullable()),
  importErrors: z.record(z.string(), z.string()),
  variables: z.record(z.string(), z.string().nullable()),
  torch: z
    .object({
      threads: z.number(),
      capability: z.string(),
      hasMkl: z.boolean(),
      cudaBuild: z.string().nullable(),
      cudaDevices: z.array(
        z.object({
          name: z.string(),
          freeBytes: z.number(),
          totalBytes: z.number(),
          capability: z.string(),
        }),
      ),
    })
    .nullable(),
});

/** What Python says about itself; `torch` is null where it cannot be imported. */
export type PythonEnvironment = z.infer<typeof environmentSchema>;

const answerSchema = z.union([
  z.object({ ok: z.unknown() }),
  z.object({
    err: z.object({
      type: z.string(),
      message: z.string(),
      trace: z.string(),
      extra: z.string().optional(),
      fix: z.string().optional(),
    }),
  }),
]);

/** Start the side process and load the shim. */
export async function openSide(options: SideOptions): Promise<Side> {
  const pythonia = startPythonia(options);
  const child = pythonia.com.proc;
  if (child === null) throw new PythonGone('the Python side process did not start');
  const gone = whenGone(child);
  const close = closeOnce(pythonia, child, gone);
  try {
    pythonia.python.setFastMode(true);
    const shim = options.shim ?? join(projectRoot(), 'py_worker', 'side.py');
    const module = await withLimit(Promise.race([pythonia.python(shim), gone]), shim);
    return sideOf({ module, gone, close, python: options.python });
  } catch (cause) {
    await close();
    throw cause instanceof TmsError
      ? cause
      : new PythonGone(`cannot load the Python side: ${traceOf(cause)}`, { cause });
  }
}

type Opened = Pick<Side, 'close'> & { module: Shim; gone: Promise<never>; python: string };

function sideOf({ module, gone, close, python }: Opened): Side {
  async function call<T>(name: string, args: object, result: z.ZodType<T>): Promise<T> {
    const ask = module[name];
    if (ask === undefined) throw new PythonGone(`Python side: no function ${name}`);
    const answer = answerSchema.parse(JSON.parse(await Promise.race([ask(JSON.stringify(args)), gone])));
    if ('err' in answer) throw failureOf(name, answer.err, python);
    return result.parse(answer.ok);
  }
  const variables = determinismVariables.map(({ name }) => name);
  return { call, close, environment: () => call('environment', { variables }, environmentSchema) };
}

function failureOf(name: string, failure: Failure, python: string): TmsError {
  const { message, extra } = failure;
  if (extra === undefined) return new PythonError(name, failure);
  return new EnvironmentError(`${message} in ${python}`, { fix: installExtraInto(python, extra) });
}

/** Every function of the shim takes one JSON string and returns one JSON string. */
type Shim = Record<string, (text: string) => Promise<string>>;

/** The part of pythonia that we touch. */
interface Pythonia {
  readonly python: ((path: string) => Promise<Shim>) & { exit(): void; setFastMode(isFast: boolean): void };
  readonly com: { readonly proc: ChildProcess | null; start(): void };
}

/**
 * pythonia starts Python while it is loaded, with the environment of that moment: so it is loaded late and synchronously,
 * between a change of `process.env` and its undoing, and no other child process can inherit the change.
 */
function startPythonia({ python, cuda = false }: SideOptions): Pythonia {
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
    if (isLoaded && isAlive) throw new PythonGone('the Python side process is open already: close it first');
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

async function withLimit<T>(work: Promise<T>, shim: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<never>((_, reject) => {
    const fail = () => reject(new PythonGone(`Python did not load ${shim} within ${startSeconds} s`));
    timer = setTimeout(fail, startSeconds * 1000);
  });
  try {
    return await Promise.race([work, limit]);
  } finally {
    clearTimeout(timer);
  }
}

/** pythonia leaves the message of a Python exception empty and puts a coloured traceback into the stack. */
function traceOf(cause: unknown): string {
  return cause instanceof Error ? cause.message || (cause.stack ?? cause.name) : String(cause);
}
