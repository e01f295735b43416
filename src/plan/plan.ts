/** Configuration and data to everything that will happen, before anything does. */
import type { RunConfig } from '../config/schema.ts';
import type { IdWords } from '../data/keyed-random.ts';
import { type AnswerSet, fullAnswers, lazyAnswers } from './answer-set.ts';
import { cautionsOf, refuseIdleTrainings } from './cautions.ts';
import { checkpointSteps } from './checkpoints.ts';
import { secondsExpected, type Throughput, type TokenCost } from './cost.ts';
import { type DiskCost, type DiskFacts, diskCost } from './disk.ts';
import type { DrawOptions } from './draws.ts';
import { refuseImmense } from './limits.ts';
import { PlanError } from './plan-error.ts';
import { type SamplingPlan, samplingPlan } from './sampling-plan.ts';
import {
  type NamedTraining,
  nameTrainings,
  studentPlan,
  type TrainingPlan,
  trainingPlan,
} from './training-plan.ts';

/** What the plan needs to know of the data, lengths in tokens after cutting. */
export type DataFacts = {
  readonly trainExamples: number;
  readonly testExamples: number;
  readonly trainTokens: number;
  readonly trainPromptTokens: number;
  /** The longest prompt that is trained on, and where it stands in words for a person. */
  readonly longestPrompt: { readonly tokens: number; readonly place: string };
  /** Tokens of each completion, with its end. */
  readonly completionLengths: Iterable<number>;
};

/** What is known of model and machine; null: not measured yet. */
export type MachineFacts = { readonly disk: DiskFacts | null; readonly throughput: Throughput | null };

export type AnswerPlan = {
  readonly lazy: boolean;
  readonly count: number;
  /** T·S answers a prompt. */
  readonly fullCount: number;
  readonly perCheckpoint: readonly number[];
  readonly referenceVisits: number;
  readonly draws: DrawOptions;
};

/** A plain record: the run directory keeps it as JSON. Steps count optimiser updates. */
export type Plan = {
  readonly method: RunConfig['method'];
  /** By name, in the order in which they run. */
  readonly trainings: Readonly<Record<string, NamedTraining>>;
  readonly data: Omit<DataFacts, 'completionLengths'>;
  readonly sft: TrainingPlan;
  /** Steps whose weights are kept, ascending; the last SFT step is always there. */
  readonly checkpointSteps: readonly number[];
  /** Null for method sft. */
  readonly student: TrainingPlan | null;
  readonly answers: AnswerPlan | null;
  /** How training prompts are answered; null where nobody is asked. */
  readonly sampling: SamplingPlan | null;
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
  const idle = namedTrainings(sft, student);
  refuseIdleTrainings(idle);
  const answers = student === null ? null : planAnswers(config, student, checkpoints.length, promptIdOf);
  const sampling = student === null && control === null ? null : samplingPlan(config, data);
  const tokens = tokenCost(data, { sft, student, control, answers: answers?.plan ?? null, sampling });
  const seconds = machine.throughput === null ? null : secondsExpected(tokens, machine.throughput);
  const answerPlan = answers?.plan ?? null;
  const { completionLengths: _, ...facts } = data;
  const stages = {
    data: facts,
    sft,
    student,
    control,
    checkpointSteps: checkpoints,
    answers: answerPlan,
    sampling,
  };
  const disk = machine.disk === null ? null : diskCost(config, stages, machine.disk);
  const cautions = cautionsOf(config, idle);
  const trainings = nameTrainings(config, { sft, student, control });
  const plan = { method: config.method, trainings, ...stages, tokens, disk, seconds, cautions };
  return { plan, answers: answers?.set ?? null };
}

function namedTrainings(sft: TrainingPlan, student: TrainingPlan | null) {
  const named = [{ name: 'the SFT run', plan: sft }];
  return student === null ? named : [...named, { name: 'the student', plan: student }];
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
  refuseImmense(draws, { examples: student.order.examples, isLazy: tms.lazy_harvest });
  const drawn = lazyAnswers(student.order, student.steps, draws, promptIdOf);
  const full = fullAnswers(student.order.examples, draws, drawn.referenceVisits);
  const set = tms.lazy_harvest ? drawn : full;
  const { count, perCheckpoint, referenceVisits } = set;
  const plan: AnswerPlan = {
    lazy: tms.lazy_harvest,
    count,
    fullCount: full.count,
    perCheckpoint,
    referenceVisits,
    draws,
  };
  return { plan, set };
}

type Stages = Pick<Plan, 'sft' | 'student' | 'control' | 'answers' | 'sampling'>;

function tokenCost(data: DataFacts, { sft, student, control, answers, sampling }: Stages): TokenCost {
  const perExample = data.trainTokens / data.trainExamples;
  const perCompletion = (data.trainTokens - data.trainPromptTokens) / data.trainExamples;
  const generated = (answers?.count ?? 0) + (control === null ? 0 : data.trainExamples);
  return {
    sftTokens: Math.round(sft.visits * perExample),
    generatedTokensAtMost: sampling === null ? 0 : generated * (1 + sampling.redraws) * sampling.maxNewTokens,
    generatedTokensExpected: Math.round(generated * perCompletion),
    studentTokensExpected: Math.round((student?.visits ?? 0) * perExample),
    controlTokensExpected: Math.round((control?.visits ?? 0) * perExample),
  };
}
