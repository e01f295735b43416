/** Weights that are kept somewhere, into the worker. */
import { existsSync } from 'node:fs';
import type { ModelName } from '../run/records.ts';
import { checkpointPath } from '../store/store.ts';
import type { RunContext } from './run-context.ts';
import { loadOptions, newAdapter } from './worker-options.ts';

/** Load the weights of a stage at a step where they are kept; false where they are not. Step 0 is the base. */
export async function placeWeights(run: RunContext, stage: ModelName, step: number): Promise<boolean> {
  if (step === 0) {
    const model = run.config.model_name_or_path;
    await run.worker.load({ ...loadOptions(run.config), model, adapter: newAdapter(run.config) });
    run.standing = { stage: 'base', step: 0, canTrain: true };
    return true;
  }
  const place = placesOf(run, stage, step).find(path => existsSync(path));
  if (place === undefined) return false;
  await run.worker.load({ ...loadOptions(run.config), model: place });
  run.standing = { stage, step, canTrain: false };
  return true;
}

function placesOf({ directory, store, sftKey, plan }: RunContext, stage: ModelName, step: number): string[] {
  const kept = stage === 'sft' ? [checkpointPath(store, sftKey, step)] : [];
  const trainings = { base: null, sft: plan.sft, student: plan.student, control: plan.control };
  return trainings[stage]?.steps === step ? [directory.file('models', stage), ...kept] : kept;
}
