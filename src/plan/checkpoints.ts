/** At which optimiser steps of the SFT run a checkpoint is taken. Step t is the model after t updates; 0 is the base. */
import { PlanError } from './plan-error.ts';

export type CheckpointSettings = {
  /** T, without the base. */
  readonly num_checkpoints: number;
  readonly spacing: 'linear' | 'geometric';
  /** Step 0 before the others, as one more. */
  readonly include_base: boolean;
};

/** Ascending and distinct; the last step is always one of them. Throws `PlanError` when there are more checkpoints than steps. */
export function checkpointSteps(
  steps: number,
  { num_checkpoints: count, spacing, include_base }: CheckpointSettings,
): number[] {
  if (count > steps) {
    throw new PlanError(`tms.num_checkpoints is ${count}, but the SFT run has only ${steps} steps`, {
      fix: `set tms.num_checkpoints to ${steps} or less, or train longer`,
    });
  }
  const base = include_base ? [0] : [];
  return [...base, ...(spacing === 'linear' ? linear(steps, count) : geometric(steps, count))];
}

/** t_k = round(k·S / T): ours, the paper gives no spacing. */
function linear(steps: number, count: number): number[] {
  return Array.from({ length: count }, (_, k) => Math.round(((k + 1) * steps) / count));
}

/** t_k = round(S^(k/T)), pushed apart where that would repeat a step. S ≥ T keeps the last one at S. */
function geometric(steps: number, count: number): number[] {
  let previous = 0;
  return Array.from({ length: count }, (_, k) => {
    previous = Math.max(previous + 1, Math.round(steps ** ((k + 1) / count)));
    return previous;
  });
}
