/** One training run: how long, at which learning rates, in which order, measured when. */
import type { RunConfig } from '../config/schema.ts';
import { evaluationSteps } from './eval-points.ts';
import { type DataOrder, visitCount } from './order.ts';
import { type Schedule, stepsPerEpoch, trainingSteps, warmupSteps } from './schedule.ts';

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
