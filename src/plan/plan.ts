/** What a run will do, as plain records: made before anything happens, kept as plan.json. */

import { UsageError } from '../errors.ts';
import type { DiskCost, DiskFacts } from './disk.ts';
import type { MemoryCost, MemoryFacts } from './memory.ts';
import type { SamplingPlan } from './sampling-plan.ts';
import type { TrainingPlan } from './training-plan.ts';

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
export type MachineFacts = {
  readonly disk: DiskFacts | null;
  readonly throughput: Throughput | null;
  /** With what the plan decides. */
  readonly memory?: ((decided: Pick<MemoryFacts, 'slots' | 'reference'>) => MemoryFacts) | null;
};

/** What a training is in a comparison. */
export type TrainingRole = 'baseline' | 'method' | 'control';

/**
 * The model that a training is held against, which the worker keeps for its targets to ask: the base, or another of the same architecture. After each step it
 * moves by `rate` towards what is trained (0: it stays), which makes it an exponential average.
 */
export type Reference = { readonly model: 'base' | { readonly path: string }; readonly rate: number };

/** A training of a method, as tables and figures name it. */
export type PlannedTraining = TrainingPlan & {
  readonly label: string;
  readonly role: TrainingRole;
  /** Trainings without which it could not be; their cost is its cost too. */
  readonly needs: readonly string[];
  /** The training whose last weights it begins with; `base`: the model before any. */
  readonly startsFrom: string;
  /** Its targets, as the end of a sentence. */
  readonly trainsOn: string;
  /** The share of visits that is to learn the gold answer, where targets are drawn. */
  readonly goldShare: number | null;
  /** Sequences that a visit learns. */
  readonly sequencesPerVisit: number;
  /** Null: there is none. */
  readonly reference: Reference | null;
  /** Steps whose weights are kept in the store, ascending. */
  readonly checkpoints: readonly number[];
};

/** What a method decides before anything runs; it may have more of its own, in plain data. */
export type MethodPlan = {
  /** By name, in the order in which they run. */
  readonly trainings: Readonly<Record<string, PlannedTraining>>;
  /** How training prompts are answered; without it nobody is asked. */
  readonly sampling?: SamplingPlan;
  /** Answers that are sampled so. */
  readonly answers?: number;
  /** Names of evaluation sets that choose a point: reports, gates and studies leave them out. */
  readonly selectionSets?: readonly string[];
  /** For `tms plan`, without colours. */
  readonly lines?: readonly string[];
};

/** A plain record: the run directory keeps it as JSON. Steps count optimiser updates. */
export type Plan = {
  readonly method: string;
  readonly data: Omit<DataFacts, 'completionLengths'>;
  /** Those of all methods of the run, in the order in which they run. */
  readonly trainings: Readonly<Record<string, PlannedTraining>>;
  /** What each method of the run decided, by name: the one that was asked for, then controls. */
  readonly methods: Readonly<Record<string, MethodPlan>>;
  readonly tokens: TokenCost;
  readonly disk: DiskCost | null;
  /** Training and generating, without evaluation. */
  readonly seconds: number | null;
  /** Of these seconds at `price_per_hour`; null where one of them is not known. */
  readonly price: number | null;
  readonly memory: MemoryCost | null;
  /** What will happen as asked and is hardly what was meant. */
  readonly cautions: readonly string[];
};

/** Configuration and data do not fit together. */
export class PlanError extends UsageError {}

// What a plan will take in tokens and time. Of disk: disk.ts.

/** Measured on this machine with this model, in tokens per second. */
export type Throughput = { readonly train: number; readonly generate: number };

export type TokenCost = {
  /** Of each training, by name: if what it learns is as long as gold answers. */
  readonly trained: Readonly<Record<string, number>>;
  /** At most: every answer as long as allowed. */
  readonly generatedAtMost: number;
  /** If answers are as long as gold answers. */
  readonly generatedExpected: number;
};

/** Tokens that all trainings read. */
export function trainedTokens({ trained }: TokenCost): number {
  return Object.values(trained).reduce((sum, tokens) => sum + tokens, 0);
}

/** Seconds that training and generating are expected to take, evaluation not counted. */
export function secondsExpected(tokens: TokenCost, throughput: Throughput): number {
  return trainedTokens(tokens) / throughput.train + tokens.generatedExpected / throughput.generate;
}
