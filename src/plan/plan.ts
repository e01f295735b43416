/** Configuration and data to everything that will happen, before anything does. */
import type { RunConfig } from '../config/schema.ts';
import type { IdWords } from '../data/keyed-random.ts';
import { type AnswerSet, fullAnswers, lazyAnswers } from './answer-set.ts';
import { cautionsOf, refuseIdleTrainings } from './cautions.ts';
import { checkpointSteps } from './checkpoints.ts';
import {
  type DiskCost,
  diskCost,
  type ModelSize,
  secondsExpected,
  type Throughput,
  type TokenCost,
} from './cost.ts';
import type { DrawOptions } from './draws.ts';
import { PlanError } from './plan-error.ts';
import { studentPlan, type TrainingPlan, trainingPlan } from './training-plan.ts';

/** What the plan needs to know of the data, lengths in tokens after cutting. */
export type DataFacts = {
  readonly trainExamples: number;
  readonly testExamples: number;
  readonly trainTokens: number;
  readonly trainPromptTokens: number;
};

/** What is known of model and machine; null: not measured yet. */
export type MachineFacts = { readonly model: ModelSize | null; readonly throughput: Throughput | null };

export type AnswerPlan = {
  readonly lazy: boolean;
  readonly count: number;
  /** T·S answers a prompt. */
  readonly fullCount: number;
  readonly perCheckpoint: readonly number[];
  readonly referenceVisits: number;
  readonly maxNewTokens: number;
  readonly draws: DrawOptions;
};

/** A plain record: the run directory keeps it as JSON. Steps count optimiser updates. */
export type Plan = {
  readonly method: RunConfig['method'];
  readonly data: DataFacts;
  readonly sft: TrainingPlan;
  /** Steps whose weights are kept, ascending; the last SFT step is always there. */
  readonly checkpointSteps: readonly number[];
  /** Null for method sft. */
  readonly student: TrainingPlan | null;
  readonly answers: AnswerPlan | null;
  /** Training on the base's own answers, where the configuration asks for it. */
  readonly control: TrainingPlan | null;
  readonly tokens: TokenCost;
  readonly disk: DiskCost | null;
  /** Training and generating, without evaluation. */
  readonly seconds: number | null;
  /** What will happen as asked and is hardly what was meant. */
  readonly cautions: readonly string[];
};

/** The plan with the set of answers that goes with it. Throws `PlanError` when configuration and data do not fit. */
export function makePlan(
  config: RunConfig,
  data: DataFacts,
  promptIdOf: (example: number) => IdWords,
  machine: MachineFacts,
): { plan: Plan; answers: AnswerSet | null } {
  if (data.trainExamples === 0) {
    throw new PlanError('no training examples are left', {
      fix: 'lower test_size, or give dataset_test_name',
    });
  }
  const sft = trainingPlan(config, data.trainExamples);
  const control = config.controls.base_samples ? sft : null;
  const isTms = config.method === 'tms';
  const checkpoints = isTms ? checkpointsOf(config, sft.steps) : [sft.steps];
  const student = isTms ? studentPlan(config, data.trainExamples) : null;
  const trainings = [
    { name: 'the SFT run', plan: sft },
    ...(student === null ? [] : [{ name: 'the student', plan: student }]),
  ];
  refuseIdleTrainings(trainings);
  const answers = student === null ? null : planAnswers(config, student, checkpoints.length, promptIdOf);
  const tokens = tokenCost(config, data, { sft, student, control, answers: answers?.plan ?? null });
  const disk =
    machine.model === null
      ? null
      : planDisk(config, machine.model, { sft, student, control, checkpoints, tokens });
  const seconds = machine.throughput === null ? null : secondsExpected(tokens, machine.throughput);
  const answerPlan = answers?.plan ?? null;
  const plan = {
    method: config.method,
    data,
    sft,
    checkpointSteps: checkpoints,
    student,
    answers: answerPlan,
    control,
    tokens,
    disk,
    seconds,
    cautions: cautionsOf(config, trainings),
  };
  return { plan, answers: answers?.set ?? null };
}

function checkpointsOf({ tms }: RunConfig, steps: number): number[] {
  return checkpointSteps({
    steps,
    count: tms.num_checkpoints,
    spacing: tms.spacing,
    includeBase: tms.include_base,
  });
}

function planAnswers(
  config: RunConfig,
  student: TrainingPlan,
  checkpoints: number,
  promptIdOf: (example: number) => IdWords,
) {
  const { tms } = config;
  const draws: DrawOptions = {
    seed: config.seed,
    alpha: tms.alpha,
    checkpoints,
    samplesPerPrompt: tms.samples_per_prompt,
    order: tms.order,
    visits: student.visits,
  };
  const drawn = lazyAnswers(student.order, student.steps, draws, promptIdOf);
  const full = fullAnswers(student.order.examples, draws, drawn.referenceVisits);
  const set = tms.lazy_harvest ? drawn : full;
  const { count, perCheckpoint, referenceVisits } = set;
  const maxNewTokens = tms.max_new_tokens ?? config.max_length;
  const plan: AnswerPlan = {
    lazy: tms.lazy_harvest,
    count,
    fullCount: full.count,
    perCheckpoint,
    referenceVisits,
    maxNewTokens,
    draws,
  };
  return { plan, set };
}

type Stages = Pick<Plan, 'sft' | 'student' | 'control' | 'answers'>;

function tokenCost(
  config: RunConfig,
  data: DataFacts,
  { sft, student, control, answers }: Stages,
): TokenCost {
  const perExample = data.trainTokens / data.trainExamples;
  const perCompletion = (data.trainTokens - data.trainPromptTokens) / data.trainExamples;
  const generated = (answers?.count ?? 0) + (control === null ? 0 : data.trainExamples);
  return {
    sftTokens: Math.round(sft.visits * perExample),
    generatedTokensAtMost: generated * (config.tms.max_new_tokens ?? config.max_length),
    generatedTokensExpected: Math.round(generated * perCompletion),
    studentTokensExpected: Math.round((student?.visits ?? 0) * perExample),
    controlTokensExpected: Math.round((control?.visits ?? 0) * perExample),
  };
}

type DiskStages = Pick<Plan, 'sft' | 'student' | 'control' | 'tokens'> & {
  readonly checkpoints: readonly number[];
};

/** The final model of every training stays, and with keep_checkpoints those of the trajectory; one more state while it is written. */
function planDisk(
  config: RunConfig,
  model: ModelSize,
  { sft, student, control, checkpoints, tokens }: DiskStages,
): DiskCost {
  const trainings = [sft, student, control].filter(training => training !== null);
  const trajectory = config.tms.keep_checkpoints
    ? checkpoints.filter(step => step > 0 && step < sft.steps).length
    : 0;
  const statesOf = (steps: number) => (config.save_steps === 0 ? 1 : Math.ceil(steps / config.save_steps));
  const allStates = trainings.reduce((sum, { steps }) => sum + statesOf(steps), 0);
  const states =
    config.save_total_limit === null ? allStates : Math.min(allStates, config.save_total_limit + 1);
  return diskCost(model, trainings.length + trajectory, states, tokens.generatedTokensAtMost);
}
