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

/** What the report reads beside the plan itself: `plannedTrainings` in src/run/records.ts says what each field means. */
export type NamedTraining = TrainingPlan & {
  readonly label: string;
  readonly role: 'baseline' | 'method' | 'control';
  readonly needs: readonly string[];
  readonly startsFrom: string;
  readonly trainsOn: string;
  readonly goldShare: number | null;
};

/** The trainings that there are, by name, in the order in which they run. */
export function nameTrainings(
  { tms }: RunConfig,
  {
    sft,
    student,
    control,
  }: { sft: TrainingPlan; student: TrainingPlan | null; control: TrainingPlan | null },
): Record<string, NamedTraining> {
  const plain = { needs: [], startsFrom: 'base', goldShare: null };
  const mixture = 'a mixture of gold and answers of SFT’s checkpoints';
  return {
    sft: { label: 'SFT', role: 'baseline', ...plain, trainsOn: 'gold', ...sft },
    ...(student && {
      student: {
        label: 'TMS',
        role: 'method',
        needs: ['sft'],
        startsFrom: tms.student_init,
        trainsOn: mixture,
        goldShare: tms.alpha,
        ...student,
      },
    }),
    ...(control && {
      control: {
        label: 'base answers',
        role: 'control',
        ...plain,
        trainsOn: 'the base’s own answers',
        ...control,
      },
    }),
  };
}

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
