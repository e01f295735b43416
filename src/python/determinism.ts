/** A variable that must stand in the environment before Python starts, for results to repeat. */
export interface DeterminismVariable {
  readonly name: string;
  /** What the worker gets where the user's environment does not set it; null: it chooses by the processor. */
  readonly workerDefault: string | null;
  readonly meaning: string;
}

/** The worker is started with these (src/worker/process.ts, py_worker/__main__.py); `tms doctor` shows them. */
export const determinismVariables: readonly DeterminismVariable[] = [
  {
    name: 'MKL_CBWR',
    workerDefault: null,
    meaning: 'matrix products do not depend on memory alignment or on how many rows they have (x86 with MKL)',
  },
  { name: 'OMP_WAIT_POLICY', workerDefault: 'PASSIVE', meaning: 'idle threads leave the cores to others' },
  { name: 'PYTHONHASHSEED', workerDefault: '0', meaning: 'Python sets and hashes come in the same order' },
  {
    name: 'CUBLAS_WORKSPACE_CONFIG',
    workerDefault: ':4096:8',
    meaning: 'matrix products on a GPU repeat exactly',
  },
];

/** The determinism variables as the worker sees them: the user's own values, else the defaults. */
export function workerVariables(env: NodeJS.ProcessEnv): Record<string, string> {
  return Object.fromEntries(
    determinismVariables.flatMap(({ name, workerDefault }) => {
      const value = env[name] ?? workerDefault;
      return value === null ? [] : [[name, value]];
    }),
  );
}
