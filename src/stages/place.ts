/** Weights that are kept somewhere, into the worker. */
import { existsSync } from 'node:fs';
import { checkpointPath } from '../store/store.ts';
import type { RunContext } from './run-context.ts';
import { loadOptions, newAdapter } from './worker-options.ts';

/** Load the weights of a stage at a step where they are kept; false where they are not. Step 0 is the base. */
export async function placeWeights(run: RunContext, stage: string, step: number): Promise<boolean> {
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

function placesOf({ directory, store, sftKey, plan }: RunContext, stage: string, step: number): string[] {
  const kept = stage === 'sft' ? [checkpointPath(store, sftKey, step)] : [];
  return plan.trainings[stage]?.steps === step ? [directory.file('models', stage), ...kept] : kept;
}
