/** Number of optimiser steps and the learning rate of each, equal to transformers' Trainer and get_scheduler. */

export type TrainingLength = {
  readonly examples: number;
  /** Examples of one optimiser step: per_device_train_batch_size × gradient_accumulation_steps. */
  readonly batchSize: number;
  /** Epochs may be a fraction. */
  readonly epochs: number;
  /** In place of epochs where it is positive. */
  readonly maxSteps: number;
};

/** Steps of one epoch; the last one may have fewer examples. */
export function stepsPerEpoch({
  examples,
  batchSize,
}: Pick<TrainingLength, 'examples' | 'batchSize'>): number {
  return Math.ceil(examples / batchSize);
}

/** Steps of the whole training. */
export function trainingSteps(length: TrainingLength): number {
  if (length.maxSteps > 0) return length.maxSteps;
  return Math.ceil(length.epochs * stepsPerEpoch(length));
}

/** Warm-up steps: a number from 1 on, below it a share of all steps, rounded up; a ratio goes first. */
export function warmupSteps(steps: number, warmup: number, ratio: number | null): number {
  if (ratio !== null) return Math.ceil(steps * ratio);
  return warmup >= 1 ? Math.trunc(warmup) : Math.ceil(steps * warmup);
}

export type Schedule = {
  readonly type: 'constant' | 'constant_with_warmup' | 'linear' | 'cosine';
  readonly peak: number;
  readonly warmupSteps: number;
  readonly steps: number;
};

/** The learning rate of a step, counted from 0: a warm-up starts at 0. */
export function learningRate(schedule: Schedule, step: number): number {
  return schedule.peak * factor(schedule, step);
}

function factor({ type, warmupSteps: warmup, steps }: Schedule, step: number): number {
  if (type === 'constant') return 1;
  if (step < warmup) return step / warmup;
  if (type === 'constant_with_warmup') return 1;
  const decaySteps = Math.max(1, steps - warmup);
  if (type === 'linear') return Math.max(0, (steps - step) / decaySteps);
  return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * ((step - warmup) / decaySteps))));
}

/** What becomes of the peak: `highest`, the largest rate of any step, and how many steps have a rate above 0. */
export type Reach = { readonly highest: number; readonly stepsAboveZero: number };

/** A warm-up of W steps begins at 0 and has its peak at step W, counted from 0: a training that is not longer never gets there. */
export function reachOf({ type, peak, warmupSteps, steps }: Schedule): Reach {
  if (type === 'constant' || warmupSteps === 0) return { highest: peak, stepsAboveZero: steps };
  const reached = Math.min(1, (steps - 1) / warmupSteps);
  return { highest: peak * reached, stepsAboveZero: steps - 1 };
}
