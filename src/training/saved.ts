/** What a training leaves in the run directory: its last weights, and the states that it goes on from. */
import { existsSync, readdirSync, rmSync } from 'node:fs';
import { stepName } from '../run/records.ts';
import type { RunDirectory } from '../run/run-directory.ts';
import { digestOfFiles, type SavedWeights } from '../store/weights.ts';
import { WorkerError } from '../worker/worker-error.ts';
import { loadOptions } from './load-options.ts';
import { type Run, timed } from './run.ts';

/** Write the last weights, which stand in the worker, into the run directory. */
export async function saveEnd(run: Run, training: string): Promise<SavedWeights> {
  const path = run.directory.file('models', training);
  rmSync(path, { recursive: true, force: true }); // a crash came between its rename and the ledger's line
  return timed(run, { unit: `save models/${training}`, kind: 'save', training }, async () => {
    const { weightsDigest, files } = await run.worker.save(path, { stopIds: run.stopIds });
    return { value: { path, digest: weightsDigest, files: digestOfFiles(files) }, tokens: 0 };
  });
}

/** Write what training goes on from after `step`. */
export async function saveState(
  run: Run,
  training: string,
  step: number,
): Promise<SavedWeights & { readonly name: string }> {
  const name = `states/${training}-${stepName(step)}`;
  const path = run.directory.file(name);
  rmSync(path, { recursive: true, force: true });
  return timed(run, { unit: `save ${name}`, kind: 'save', training }, async () => {
    const { weightsDigest, files } = await run.worker.save(path, { kind: 'trainingState' });
    return { value: { name, path, digest: weightsDigest, files: digestOfFiles(files) }, tokens: 0 };
  });
}

/** States that a training goes on from, the latest first. */
export function statesUpTo(
  directory: RunDirectory,
  training: string,
  step: number,
): (SavedWeights & { readonly at: number })[] {
  return directory
    .trainedEntries(training)
    .flatMap(entry =>
      entry.step <= step && entry.state !== null
        ? [{ at: entry.step, path: directory.file(entry.state), ...savedFacts(entry) }]
        : [],
    )
    .reverse();
}

/** Remove the states that nothing will go on from: of a finished training, older than the last few, or left by a kill. */
export function removeOldStates({ directory, config }: Run, training: string): void {
  const entries = directory.trainedEntries(training);
  const limit = config.save_total_limit;
  const isFinished = limit !== null && entries.at(-1)?.state === null;
  const states = entries.flatMap(({ state }) => (state === null ? [] : [state]));
  const kept = new Set(isFinished ? [] : states.slice(limit === null ? 0 : -limit));
  const folder = directory.file('states');
  for (const name of existsSync(folder) ? readdirSync(folder) : [])
    if (name.startsWith(`${training}-step-`) && !kept.has(`states/${name}`))
      rmSync(directory.file('states', name), { recursive: true, force: true });
}

/** Load saved weights into the trainer's worker, with what training goes on from where asked. False: damaged, said, and removed. */
export async function loadWhole(
  { worker, config, progress }: Run,
  { path: model, digest }: SavedWeights,
  restoreTrainingState: boolean,
): Promise<boolean> {
  try {
    await worker.load({ ...loadOptions(config), model, restoreTrainingState, expectedDigest: digest });
    return true;
  } catch (error) {
    if (!(error instanceof WorkerError && error.data?.reason === 'damaged')) throw error;
    progress.say(`${model} is damaged: it is made again (${error.message})`);
    rmSync(model, { recursive: true, force: true });
    return false;
  }
}

/** What the ledger says of saved weights. */
export function savedFacts({
  files,
  weightsDigest,
}: {
  readonly files: string;
  readonly weightsDigest: string;
}) {
  return { files, digest: weightsDigest };
}
