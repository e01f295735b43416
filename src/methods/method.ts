/**
 * The contract of a method: which trainings there are, what each learns from, in which order. A method is one file: the block of keys
 * that it reads, a pure plan, and a run that reads top to bottom over a `Trainer`. Nothing outside this folder knows a method's names.
 */
import type { z } from 'zod';
import type { RunConfig } from '../config/schema.ts';
import type { MixturePlan, MixtureSettings } from '../plan/draws.ts';
import type { DataFacts, MethodPlan, PlannedTraining, Reference, TrainingRole } from '../plan/plan.ts';
import type { AnswerSettings, SamplingPlan } from '../plan/sampling-plan.ts';
import type { OwnLength, TrainingPlan } from '../plan/training-plan.ts';
import type { Trainer } from '../training/trainer.ts';

/** `Settings`: what its block holds. `Plan`: what it decides before anything runs; it goes into plan.json and must be plain data. */
export interface Method<Settings = unknown, Plan extends MethodPlan = MethodPlan> {
  /** As `method:` names it: small letters, digits and -. */
  readonly name: string;
  /** One sentence for help and schema. */
  readonly title: string;
  /** Its block of the configuration, named as the method with _ for -; without it there is none. */
  readonly settings?: z.ZodType<Settings>;
  /** The key of `controls` that runs it beside another method; without it there is none. */
  readonly control?: 'base_samples';
  /** Further files of examples that its trainings learn from, by a name for `trainer.chosen`. */
  datasets?(settings: Settings): Readonly<Record<string, DatasetSettings>>;
  /** What does not fit together in the configuration; `path` begins in the method's block. */
  check?(settings: Settings, config: RunConfig): Finding[];
  /** Pure. Throws `PlanError` where settings and data do not fit. */
  plan(context: PlanContext<Settings>): Plan;
  /** Everything that it does, in order. Run again after an interruption, it finds what was done. */
  run(context: MethodRun<Settings, Plan>): Promise<void>;
}

/** Keys of `datasetSettings`. */
export type DatasetSettings = {
  readonly dataset_name: string;
  readonly columns: RunConfig['columns'];
  readonly max_samples: number | null;
};

/** A value that cannot stand, and what would. */
export type Finding = {
  readonly path: readonly string[];
  readonly found: string;
  readonly expected: string;
  readonly hint: string | null;
};

/** What a plan is made from. */
export type PlanContext<Settings> = {
  readonly settings: Settings;
  readonly config: RunConfig;
  readonly data: DataFacts;
  /** Of `datasets`: how many examples each has. */
  readonly datasets: Readonly<Record<string, number>>;
  /** Steps, order and schedule of a training on every example; `own` replaces keys of the configuration. */
  readonly training: (facts: TrainingFacts, own?: OwnLength) => PlannedTraining;
  /** Throws `PlanError` where an answer of the length asked for does not fit behind the longest prompt. */
  readonly sampling: (settings: AnswerSettings) => SamplingPlan;
  /** What each visit of a training draws: the gold answer, or an answer of one of `policies` models. */
  readonly mixture: (training: TrainingPlan, settings: MixtureSettings) => MixturePlan;
};

/** How a training stands in tables, and what else it cost. */
export type TrainingFacts = {
  readonly label: string;
  readonly role: TrainingRole;
  /** Trainings without which it could not be; their cost is its cost too. */
  readonly needs?: readonly string[];
  /** The training whose last weights it begins with; by default the base. */
  readonly startsFrom?: string;
  /** Its targets, as the end of a sentence; by default gold. */
  readonly trainsOn?: string;
  /** The share of visits that is to learn the gold answer, where targets are drawn. */
  readonly goldShare?: number;
  /** Sequences that a visit learns; by default 1. */
  readonly sequencesPerVisit?: number;
  /** The model that it is held against, for its targets to ask; by default there is none. */
  readonly reference?: Reference;
};

export type MethodRun<Settings, Plan extends MethodPlan> = {
  readonly settings: Settings;
  readonly plan: Plan;
  readonly config: RunConfig;
  readonly trainer: Trainer;
};

/** Gives a method its types: `export default defineMethod({ name, title, settings, plan, run })`. */
export function defineMethod<Settings, Plan extends MethodPlan>(
  method: Method<Settings, Plan>,
): Method<Settings, Plan> {
  return method;
}

/** The key of a method's block: a configuration has no - in keys. */
export function blockOf({ name }: Pick<Method, 'name'>): string {
  return name.replaceAll('-', '_');
}
