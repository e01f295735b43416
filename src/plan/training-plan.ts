/** One training run: how long, at which learning rates, in which order, measured when. */
import type { RunConfig } from '../config/schema.ts';
import { below, randomAt } from '../data/random.ts';
import { PlanError } from './plan.ts';

export type TrainingPlan = {
  readonly steps: number;
  readonly stepsPerEpoch: number;
  readonly visits: number;
  readonly order: DataOrder;
  readonly schedule: Schedule;
  readonly evaluationSteps: readonly number[];
};

/** What a training may have of its own; null: the configuration's. */
export type OwnLength = {
  readonly learning_rate?: number | null;
  readonly num_train_epochs?: number | null;
};

/** Steps, schedule and order of one training on so many examples. Own epochs go before `max_steps` of the configuration. */
export function trainingPlan(config: RunConfig, examples: number, own: OwnLength = {}): TrainingPlan {
  const batchSize = config.per_device_train_batch_size * config.gradient_accumulation_steps;
  const order = { seed: config.data_seed ?? config.seed, examples, batchSize };
  const epochs = own.num_train_epochs ?? config.num_train_epochs;
  const maxSteps = own.num_train_epochs == null ? config.max_steps : -1;
  const steps = trainingSteps({ examples, batchSize, epochs, maxSteps });
  const warmup = warmupSteps(steps, config.warmup_steps, config.warmup_ratio);
  const peak = own.learning_rate ?? config.learning_rate;
  return {
    steps,
    stepsPerEpoch: stepsPerEpoch(order),
    visits: visitCount(order, steps),
    order,
    schedule: { type: config.lr_scheduler_type, peak, warmupSteps: warmup, steps },
    evaluationSteps: evaluationSteps(steps, config.eval_points),
  };
}

// Number of optimiser steps and the learning rate of each, equal to transformers' Trainer and get_scheduler.

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

// Which examples each step trains on: a function of (seed, epoch, step), so a resume needs nothing but the step.

/** The examples 0 … count − 1 in the order of an epoch (Fisher–Yates); 4 bytes an example. */
export function epochOrder(seed: number, epoch: number, count: number): Uint32Array {
  const random = randomAt(seed, 'data order', epoch);
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let last = count - 1; last > 0; last--) {
    const other = below(random, last + 1);
    const kept = order[last] as number;
    order[last] = order[other] as number;
    order[other] = kept;
  }
  return order;
}

/** One example in a step. `visit` numbers all of a training from 0: it is where in the run this one stands. */
export type Visit = { readonly example: number; readonly epoch: number; readonly visit: number };

export type DataOrder = { readonly seed: number; readonly examples: number; readonly batchSize: number };

/** The visits of any step, from 0. The function keeps the order of one epoch, since making it takes time. */
export function batches({ seed, examples, batchSize }: DataOrder): (step: number) => Visit[] {
  const perEpoch = stepsPerEpoch({ examples, batchSize });
  let kept: { epoch: number; order: Uint32Array } = { epoch: -1, order: new Uint32Array(0) };
  return step => {
    const epoch = Math.floor(step / perEpoch);
    if (kept.epoch !== epoch) kept = { epoch, order: epochOrder(seed, epoch, examples) };
    const start = (step % perEpoch) * batchSize;
    const batch = kept.order.subarray(start, start + batchSize);
    return Array.from(batch, (example, i) => ({ example, epoch, visit: epoch * examples + start + i }));
  };
}

/** Visits of a training of so many steps. */
export function visitCount({ examples, batchSize }: Omit<DataOrder, 'seed'>, steps: number): number {
  const perEpoch = stepsPerEpoch({ examples, batchSize });
  return Math.floor(steps / perEpoch) * examples + (steps % perEpoch) * batchSize;
}

/** Every visit of a training, in order. */
export function* allVisits(order: DataOrder, steps: number): Generator<Visit> {
  const batchOf = batches(order);
  for (let step = 0; step < steps; step++) yield* batchOf(step);
}

// At which steps of a training run everything is measured.

/** `count` steps equally spread from 0 (the base) to the last; fewer where the run is shorter. */
export function evaluationSteps(steps: number, count: number): number[] {
  const spread = Array.from({ length: count }, (_, i) => Math.round((i * steps) / (count - 1)));
  return [...new Set(spread)];
}

// At which optimiser steps of the SFT run a checkpoint is taken. Step t is the model after t updates; 0 is the base.

export type CheckpointSettings = {
  /** T, without the base. */
  readonly num_checkpoints: number;
  readonly spacing: 'linear' | 'geometric';
  /** Share of the steps, from the first on, in which all of them lie; by default 1. */
  readonly span?: number;
  /** Step 0 before the others, as one more. */
  readonly include_base: boolean;
};

/** Ascending and distinct; the last step of their span is one of them unless there are none. Throws `PlanError` when there are more checkpoints than steps. */
export function checkpointSteps(
  steps: number,
  { num_checkpoints: count, spacing, span = 1, include_base }: CheckpointSettings,
): number[] {
  if (count > steps) {
    throw new PlanError(`tms.num_checkpoints is ${count}, but the SFT run has only ${steps} steps`, {
      fix: `set tms.num_checkpoints to ${steps} or less, or train longer`,
    });
  }
  const last = Math.max(1, Math.round(span * steps));
  if (count > last) {
    throw new PlanError(
      `tms.num_checkpoints is ${count}, but tms.span ${span} has only ${last} of the ${steps} steps of the SFT run`,
      {
        fix: `set tms.span to ${Math.ceil((1000 * count) / steps) / 1000} or more, or tms.num_checkpoints to ${last} or less`,
      },
    );
  }
  const base = include_base ? [0] : [];
  return [...base, ...(spacing === 'linear' ? linear(last, count) : geometric(last, count))];
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
