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

/** The same as the SFT run, but for what `tms.student` says. */
export function studentPlan(config: RunConfig, examples: number): TrainingPlan {
  const { learning_rate, num_train_epochs } = config.tms.student;
  const own = {
    learning_rate: learning_rate ?? config.learning_rate,
    num_train_epochs: num_train_epochs ?? config.num_train_epochs,
    max_steps: num_train_epochs === null ? config.max_steps : -1,
  };
  return trainingPlan({ ...config, ...own }, examples);
}

/** Steps, schedule and order of one training on so many examples. */
export function trainingPlan(config: RunConfig, examples: number): TrainingPlan {
  const batchSize = config.per_device_train_batch_size * config.gradient_accumulation_steps;
  const order = { seed: config.data_seed ?? config.seed, examples, batchSize };
  const { num_train_epochs: epochs, max_steps: maxSteps } = config;
  const steps = trainingSteps({ examples, batchSize, epochs, maxSteps });
  const warmup = warmupSteps(steps, config.warmup_steps, config.warmup_ratio);
  return {
    steps,
    stepsPerEpoch: stepsPerEpoch(order),
    visits: visitCount(order, steps),
    order,
    schedule: { type: config.lr_scheduler_type, peak: config.learning_rate, warmupSteps: warmup, steps },
    evaluationSteps: evaluationSteps(steps, config.eval_points),
  };
}
