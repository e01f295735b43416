import { findVllmPython } from '../python/find.ts';
import { ensurePython, type SetupOptions } from '../python/make-environment.ts';
import { projectRoot } from '../python/paths.ts';
import { Connection, type ConnectionOptions } from './connection.ts';
import { type Launched, type LaunchOptions, launch } from './launcher.ts';
import { Worker } from './worker.ts';

export type StartOptions = Partial<Omit<ConnectionOptions, 'python'>> &
  Pick<SetupOptions, 'python' | 'report'>;

/**
 * Start a PyTorch worker; close it when done. Finds Python as `tms doctor` does and makes the environment where there is none.
 * Rejects with EnvironmentError (no usable Python), SPAWN_FAILED, WORKER_DIED or TIMEOUT.
 */
export async function startWorker({ python, report, ...options }: StartOptions = {}): Promise<Worker> {
  const found = await ensurePython({ python, report });
  return new Worker(await Connection.open({ root: projectRoot(), ...options, python: found.path }));
}

/** Have an engine place workers, with the same Python; started at the first `connect`, ended with the last worker. */
export function placeWorkers({
  python,
  report,
  ...options
}: Omit<LaunchOptions, 'python' | 'root'> & Pick<SetupOptions, 'python' | 'report'>): (
  index: number,
) => Promise<Worker> {
  let launched: Promise<Launched> | null = null;
  return async index => {
    launched ??= ensurePython({ python, report }).then(({ path }) =>
      launch({ ...options, root: projectRoot(), python: path }),
    );
    return new Worker(await (await launched).connect(index));
  };
}

/**
 * How samplers on vLLM are started, with their own Python: looked for now, so that nothing is begun where it is missing. Rejects with
 * EnvironmentError where `tms setup --vllm` made none and `python` is null; a start with SPAWN_FAILED, WORKER_DIED or TIMEOUT.
 */
export async function vllmStarter(options: VllmOptions): Promise<() => Promise<Worker>> {
  const process = await vllmProcess(options);
  return async () => new Worker(await Connection.open({ root: projectRoot(), ...process }));
}

export type VllmOptions = {
  /** Null: the environment of `tms setup --vllm`. */
  readonly python: string | null;
  /** Of its GPU's memory; null: vLLM's own choice. */
  readonly memoryShare?: number | null;
};

/** What runs a vLLM worker. Rejects with EnvironmentError or UsageError where there is no such Python. */
export async function vllmProcess({
  python,
  memoryShare = null,
}: VllmOptions): Promise<Required<Pick<ConnectionOptions, 'python' | 'module' | 'env'>>> {
  const env: Record<string, string> =
    memoryShare === null ? {} : { TMS_VLLM_GPU_MEMORY: String(memoryShare) };
  return { python: await findVllmPython(python), module: 'py_worker.vllm', env };
}
