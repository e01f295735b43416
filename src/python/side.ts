import { join } from 'node:path';
import { z } from 'zod';
import { EnvironmentError, TmsError } from '../errors.ts';
import { determinismVariables } from './determinism.ts';
import { installExtraInto } from './own-environment.ts';
import { projectRoot } from './paths.ts';
import { PythonGone, type Shim, sharePythonia } from './pythonia.ts';

export { PythonGone };

/** Functions of a Python process for library calls, which answers them one after the other. Close it in `finally`. */
export interface Side {
  /** Versions, devices and variables as the worker would find them; imports everything: seconds. */
  environment(): Promise<PythonEnvironment>;
  /** Call a function of the shim with keyword arguments and check what it returns. */
  call<T>(name: string, args: object, result: z.ZodType<T>): Promise<T>;
  /** Ends the process unless others use it: calls under way then reject with `PythonGone`. May be called again. */
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

const startSeconds = 60;

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

/** Start the side process and load the shim; where one with the same Python runs, that one loads it, too. */
export async function openSide(options: SideOptions): Promise<Side> {
  const { pythonia, gone, release } = sharePythonia(options);
  try {
    const shim = options.shim ?? join(projectRoot(), 'py_worker', 'side.py');
    const module = await withLimit(Promise.race([pythonia.python(shim), gone]), shim);
    return sideOf({ module, gone, close: release, python: options.python });
  } catch (cause) {
    await release();
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
