/**
 * What the files of a run directory hold: the interface between a run, `resume` and `report`.
 *
 *     run.json               the run itself                       RunRecord
 *     config.input.yaml      as given; config.resolved.yaml: every key that is read
 *     plan.json              everything random or scheduled, decided before the run
 *     environment.json       what it ran on                       EnvironmentRecord
 *     ledger.jsonl           one line a finished unit, written last
 *     metrics.jsonl          one line a step or evaluation, no wall time    MetricsLine
 *     timing.jsonl           wall times                           TimingLine
 *     base-samples.json      what the base said to the prompts of KL
 *     answers/<training>/<by>-step-000123.jsonl    what a checkpoint of <by> answered for that training, `base-step-000000` the base    AnswerRecord
 *     targets/<training>.bin    what its visits learn, as ids: answers and gold answers behind their prompts
 *     targets/<training>-overlap.json    how alike its answers are to gold; -weights.json: how often each is drawn, where that is weighed
 *     rollouts/<training>/step-000123.jsonl    what an on-policy training learned at a step    RolloutRecord
 *     examples.jsonl         prompt and gold completion as text, of the first examples with answers: for the report    ExampleRecord
 *     curriculum.jsonl       what each visit trains on, of trainings whose targets are drawn    VisitRecord
 *     evaluation/<training>-step-000123.json, `base-step-000000` of the base    EvaluationRecord
 *     models/<name>/         plain Hugging Face directories; states/: what training continues from
 *     report.html report.md report.json
 *     lock                   while a process has the run
 *
 * Steps are optimiser steps of a training, 0 being what it starts from. A method names its trainings; `base` is the model before any.
 */
import { z } from 'zod';
import { sha256OfRecord } from '../files/digest.ts';

const count = z.int().min(0);

/** A step in the name of a file. */
export function stepName(step: number): string {
  return `step-${String(step).padStart(6, '0')}`;
}

export const trainingName = z.string().regex(/^[a-z][a-z0-9-]*$/);

const numericsRecord = z.strictObject({
  at: z.string(),
  /** The last line of the ledger before it; null from the beginning. */
  after: z.string().nullable(),
  values: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
});
/** How a run computes from some point on. */
export type NumericsRecord = z.infer<typeof numericsRecord>;

const dataSource = z.strictObject({
  /** The key of the configuration that names it. */
  key: z.string(),
  /** A hub id, or a directory. */
  path: z.string(),
  name: z.string().nullable(),
  split: z.string(),
  /** The commit; null of a directory. */
  revision: z.string().nullable(),
  rows: count,
});
/** A data set that a run read, as it was then. */
export type DataSource = z.infer<typeof dataSource>;

const runFields = z.strictObject({
  /** Of all other fields; absent in records of earlier versions. */
  sha256: z.string().optional(),
  format: z.literal(1),
  id: z.string(),
  method: z.string(),
  tmsVersion: z.string(),
  status: z.enum(['running', 'finished', 'interrupted', 'failed']),
  startedAt: z.string(),
  finishedAt: z.string().nullable(),
  /** Digest of the keys that results depend on, and of the base model's weights and the data. */
  configDigest: z.string(),
  baseDigest: z.string(),
  dataDigest: z.string(),
  /** Of each evaluation set with its scorer, and of what else is measured. */
  evaluationDigests: z.record(z.string(), z.string()),
  /** Of the file that the method was read from, with all that it imports; null where it comes with tms. */
  methodDigest: z.string().nullable().default(null),
  /** Data sets of the hub and of directories; absent in records of earlier versions. */
  data: z.array(dataSource).optional(),
  /** What chat templates take for today, on every day on which the run goes on. */
  templateDate: z.string(),
  /** The first is from the beginning; there are others where a resume went on with other ones. */
  numerics: z.array(numericsRecord),
  error: z.string().nullable(),
});
/** A flipped bit is damage and not another value. */
export const runRecord = runFields.refine(
  ({ sha256, ...rest }) => sha256 === undefined || sha256 === sha256OfRecord(rest),
  'its content does not match its digest',
);
export type RunRecord = Omit<z.infer<typeof runRecord>, 'sha256'>;

/** What the report reads of a training in plan.json. The rest of the entry is the plan's own. */
const plannedTraining = z.object({
  /** Its name for people. */
  label: z.string(),
  /** A method is held against each baseline; a control shows what something else than the method does by itself. */
  role: z.enum(['baseline', 'method', 'control']),
  /** Trainings without which it could not have been made: their cost is part of its cost. */
  needs: z.array(trainingName).default([]),
  /** The training whose last weights it begins with. */
  startsFrom: trainingName.default('base'),
  /** Its targets, as the end of a sentence: `gold`, `the base’s own answers`. */
  trainsOn: z.string().nullable().default(null),
  /** The share of visits that is asked to train on gold, where its targets are drawn. */
  goldShare: z.number().nullable().default(null),
});
export type PlannedTraining = z.infer<typeof plannedTraining>;

/** `trainings` of plan.json, in the order in which they run. */
export const plannedTrainings = z.record(trainingName, plannedTraining);

export const environmentRecord = z.strictObject({
  versions: z.record(z.string(), z.string()),
  device: z.string(),
  threads: count,
  platform: z.string(),
  node: z.string(),
  determinism: z.record(z.string(), z.string()),
  /** Of the working directory: commit and whether it had uncommitted changes; null outside a repository. */
  git: z.strictObject({ commit: z.string(), isDirty: z.boolean() }).nullable(),
  notes: z.array(z.string()),
});
export type EnvironmentRecord = z.infer<typeof environmentRecord>;

/** `training` and `step` with flat numbers, such as `loss`, `learning_rate`, `grad_norm`, `num_tokens`, `eval/target/accuracy`, `lost_updates` (lost-updates.ts). */
export const metricsLine = z.object({ training: trainingName, step: count }).catchall(z.number());
export type MetricsLine = z.infer<typeof metricsLine>;

export const timingLine = z.strictObject({
  unit: z.string(),
  kind: z.enum(['load', 'encode', 'train', 'answer', 'evaluate', 'save']),
  /** What the work was done for: answers count to the training that asked for them, whoever answered. */
  training: trainingName,
  seconds: z.number(),
  /** Trained, sampled or scored tokens. */
  tokens: count,
});
export type TimingLine = z.infer<typeof timingLine>;

export const answerRecord = z.strictObject({
  /** Content hash of the example, and its index in the training set. */
  id: z.string(),
  example: count,
  checkpointStep: count,
  sample: count,
  /** How often it was drawn again because it was unusable. */
  attempt: count,
  seed: count,
  /** What is trained on: with the id that ends it, but for an unfinished one. */
  ids: z.array(count),
  finishReason: z.enum(['stop', 'stop_text', 'length']),
  /** For people; training reads `ids`. */
  text: z.string(),
});
export type AnswerRecord = z.infer<typeof answerRecord>;

/** For people; enough examples to browse, not all of them. */
export const exampleRecord = z.strictObject({
  example: count,
  id: z.string(),
  prompt: z.string(),
  gold: z.string(),
});
export type ExampleRecord = z.infer<typeof exampleRecord>;

/** What a visit trains on. */
export const visitSources = [
  'gold',
  'answer',
  'unfinished-answer',
  'empty-answer',
  'gold-for-unfinished',
  'gold-for-empty',
  'gold-for-too-long',
  'gold-for-rejected',
  'replay',
] as const;

export type VisitSource = (typeof visitSources)[number];

export const visitRecord = z.strictObject({
  training: trainingName,
  epoch: count,
  example: count,
  /** Why: the coin said gold; an answer was drawn (learned though unusable, as asked); gold took the place of an unusable one; `replay`: `example` is of another data set. */
  source: z.enum(visitSources),
  /** Whose checkpoint answered, and at which step; null where no answer was drawn. */
  answers: trainingName.nullable(),
  checkpointStep: count.nullable(),
  sample: count.nullable(),
  /** Of targets/<training>.bin: the ids that it learns. */
  row: count,
});
export type VisitRecord = z.infer<typeof visitRecord>;

/** A sequence that was learned; `advantage`: of each token behind the prompt, where the loss has one. */
export type RolloutRecord = {
  readonly ids: readonly number[];
  readonly promptLength: number;
  readonly advantage?: number;
};

/** How alike the answers of each policy of a mixture are to gold: the same ids, and the mean share of common tokens (token-overlap.ts). */
export const overlapRecord = z.object({
  answers: z.array(
    z.strictObject({
      training: trainingName,
      step: count,
      answers: count,
      equalToGold: count,
      overlap: z.number(),
    }),
  ),
});

const itemRecord = z.strictObject({
  id: z.string(),
  isCorrect: z.boolean(),
  /** The answer that counts for accuracy, or the chosen option; null where items are scored by log-likelihood only. */
  answer: z.string().nullable(),
});

const setRecord = z.strictObject({
  name: z.string(),
  role: z.enum(['target', 'retention']),
  scorer: z.string(),
  scorerVersion: count,
  /** Share of right answers, at the lowest temperature that was asked for or by log-likelihood. */
  accuracy: z.number(),
  /** The same at temperature 1; null where it was not measured. */
  sampledAccuracy: z.number().nullable(),
  /** Answers cut at the length limit. */
  unfinished: count,
  /** Further numbers of the scorer's own, by its own names. */
  measures: z.record(z.string(), z.number()).optional(),
  items: z.array(itemRecord),
});
export type SetRecord = z.infer<typeof setRecord>;

/** Policy-label divergence: negative log-likelihood of the gold completions, tokens of the completion with EOS. */
const divergence = z.strictObject({
  nllPerToken: z.number(),
  nllPerSequence: z.number(),
  bitsPerByte: z.number(),
  examples: count,
  tokens: count,
});

/**
 * KL(base‖model), estimated on stored samples of the base: mean of log π_base − log π. `exactPerToken` is the divergence itself in the place
 * of each of their tokens, over the vocabulary; not there where it was not asked for.
 */
const klFromBase = z.strictObject({
  direction: z.literal('KL(base‖model)'),
  perToken: z.number(),
  perSequence: z.number(),
  exactPerToken: z.number().optional(),
  samples: count,
});

/** Of answers of the model at temperature 1: KL(model‖base) and entropy over the vocabulary in the place of each token, nats. */
const measuredAnswers = z.strictObject({
  direction: z.literal('KL(model‖base)'),
  perToken: z.number(),
  perSequence: z.number(),
  entropyPerToken: z.number(),
  /** Share of distinct answers to a prompt, a mean over prompts; null where each has one. */
  distinct: z.number().nullable(),
  samples: count,
});
const ownAnswers = z.strictObject({
  target: measuredAnswers.nullable(),
  retention: measuredAnswers.nullable(),
});

/** Cross-entropy of neutral documents: nats of all tokens but the first of each; bits a byte over all of them. */
const textLoss = z.strictObject({
  bitsPerByte: z.number(),
  documents: z.array(z.strictObject({ id: z.string(), nll: z.number(), bytes: count })),
});
export type TextLoss = z.infer<typeof textLoss>;

export const evaluationRecord = z.strictObject({
  training: trainingName,
  step: count,
  weightsDigest: z.string(),
  sets: z.array(setRecord),
  pld: z.strictObject({ test: divergence.nullable(), train: divergence.nullable() }),
  kl: z.strictObject({ target: klFromBase.nullable(), retention: klFromBase.nullable() }),
  /** Not there where it was not measured. */
  textLoss: textLoss.optional(),
  own: ownAnswers.optional(),
  /** Of the base, what was measured again on answers of another sampling seed: sets as they are sampled, and own answers. */
  again: z.strictObject({ sets: z.array(setRecord), own: ownAnswers.optional() }).optional(),
});
export type EvaluationRecord = z.infer<typeof evaluationRecord>;
