/** Runs from a program: what `tms plan` and `tms run` do, without a terminal. */
import { importMethod, loadRun } from '../config/import-method.ts';
import { configToYaml } from '../config/load.ts';
import type { RunConfig } from '../config/schema.ts';
import type { Plan } from '../plan/plan.ts';
import { packageVersion, tmsHome } from '../python/paths.ts';
import { type Results, readResults } from '../report/results.ts';
import { writeReport } from '../report/write-report.ts';
import { executeRun } from '../runner/execute.ts';
import { prepareMeasures, prepareRun, type Surroundings } from '../runner/prepare.ts';
import { startWorker } from '../worker/start.ts';
import type { Worker } from '../worker/worker.ts';

/** Where a run finds what it needs. */
export type RunSettings = {
  /** One of yours, which stays open; without it one is started and closed. */
  readonly worker?: Worker;
  /** `TMS_HOME`: what runs share; by default as for `tms`. */
  readonly home?: string;
  /** Notes for a person; by default nobody reads them. */
  readonly say?: (line: string) => void;
  /** Stops the run at its next safe point; it can then be resumed. */
  readonly signal?: AbortSignal;
};

/** Read and check a configuration file, with `sets` such as `seed=7`; imports the file of a method of the user's own. */
export async function loadConfig(file: string, sets: readonly string[] = []): Promise<RunConfig> {
  return (await loadRun(file, sets)).config;
}

/** Everything that a run would do, before it does anything; model, data and evaluation sets are read and checked. */
export function plan(config: RunConfig, settings: RunSettings = {}): Promise<Plan> {
  return withWorker(config, settings, async surroundings => {
    const run = await prepareRun(config, surroundings);
    try {
      await prepareMeasures(run, surroundings.home);
      return run.plan;
    } finally {
      await run.prepared.close();
    }
  });
}

/** Run to the end, write the report, and read what was measured. `resume`: go on with what lies in `output_dir`. */
export function run(
  config: RunConfig,
  { resume = false, ...settings }: RunSettings & { readonly resume?: boolean } = {},
): Promise<Results> {
  return withWorker(config, settings, async surroundings => {
    const input = configToYaml(config);
    const path = await executeRun(config, { ...surroundings, input, tmsVersion: packageVersion(), resume });
    await writeReport(path);
    return readResults(path);
  });
}

async function withWorker<T>(
  config: RunConfig,
  { worker: given, home = tmsHome(process.env), say = () => {}, signal }: RunSettings,
  work: (surroundings: Surroundings) => Promise<T>,
): Promise<T> {
  await importMethod(config.method);
  const worker = given ?? (await startWorker({ python: config.worker.python ?? undefined, report: say }));
  const progress = { update: () => {}, say };
  try {
    return await work({ worker, home, progress, signal: signal ?? new AbortController().signal });
  } finally {
    if (given === undefined) await worker.close();
  }
}
