import { setImmediate as nextTurn } from 'node:timers/promises';
import type { RunConfig } from '../config/schema.ts';
import type { IdWords } from '../data/keyed-random.ts';
import type { TokenFile } from '../data/token-file.ts';
import type { EvaluationContext } from '../evaluation/evaluate.ts';
import type { AnswerSet } from '../plan/answer-set.ts';
import type { Plan } from '../plan/plan.ts';
import type { RunDirectory } from '../run/run-directory.ts';
import type { FinishedStage, Store } from '../store/store.ts';
import type { ModelInfo } from '../worker/protocol.ts';
import type { Worker } from '../worker/worker.ts';

/** The training examples: row i of the plan is example i. */
export type TrainingData = {
  readonly tokens: TokenFile;
  /** Row of the token file of each example. */
  readonly rows: Uint32Array;
  readonly idOf: (example: number) => IdWords;
  readonly idTextOf: (example: number) => string;
};

/** What a stage reports while it works. */
export type Progress = {
  /** `done` of `total` steps, answers or items of a stage, with what went through since the last report. */
  update(stage: string, done: number, total: number, tokens: number): void;
  /** A line that stays. */
  say(line: string): void;
};

/** Which weights stand in the worker; `canTrain` when its optimiser stands there too. */
export type Standing = { readonly stage: string; readonly step: number; readonly canTrain: boolean };

/** Everything that the stages of a run share. */
export type RunContext = {
  readonly config: RunConfig;
  readonly plan: Plan;
  readonly answers: AnswerSet | null;
  readonly directory: RunDirectory;
  readonly store: Store;
  /** Names the SFT stage in the store: a digest of base, data and recipe. */
  readonly sftKey: string;
  readonly sftRecipe: unknown;
  readonly worker: Worker;
  readonly model: ModelInfo;
  /** Versions and settings that the last bits of results depend on. */
  readonly environmentKey: Readonly<Record<string, string | number>>;
  readonly data: TrainingData;
  /** Ids at which every sampling stops, ascending. */
  readonly stopIds: readonly number[];
  readonly evaluation: EvaluationContext;
  /** A digest of all that is measured and how. */
  readonly evaluationKey: string;
  readonly progress: Progress;
  /** Aborted when the person asks to stop. */
  readonly signal: AbortSignal;
  standing: Standing;
  /** Step of each stage up to which metrics are written and points are passed. */
  readonly reached: Map<string, number>;
  /** The SFT stage as an earlier run finished it. */
  readonly finishedSft: FinishedStage | null;
};

/** A place where a run may stop. Signals are heard between two turns of the event loop, and work that the store has takes none. */
export async function safePoint({ signal }: RunContext): Promise<void> {
  await nextTurn();
  signal.throwIfAborted();
}

/** Time a unit of work and note it in timing.jsonl, apart from everything that must be the same in every run. */
export async function timed<T>(
  { directory }: RunContext,
  line: {
    unit: string;
    kind: 'load' | 'encode' | 'train' | 'answer' | 'evaluate' | 'save';
    training: string;
  },
  work: () => Promise<{ value: T; tokens: number }>,
): Promise<T> {
  const start = performance.now();
  const { value, tokens } = await work();
  directory.appendTiming({ ...line, seconds: (performance.now() - start) / 1000, tokens });
  return value;
}
