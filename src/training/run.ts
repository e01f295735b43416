/** Everything that the trainings of a run share. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { RunConfig } from '../config/schema.ts';
import type { IdWords } from '../data/random.ts';
import type { TokenFile } from '../data/token-file.ts';
import type { EvaluationContext } from '../evaluation/evaluate.ts';
import type { Question } from '../evaluation/scorer.ts';
import type { Plan } from '../plan/plan.ts';
import type { TimingLine } from '../run/records.ts';
import type { RunDirectory } from '../run/run-directory.ts';
import type { Store } from '../store/store.ts';
import type { ModelInfo } from '../worker/protocol.ts';
import type { Worker } from '../worker/worker.ts';
import type { Background } from './background.ts';
import type { Samplers } from './samplers.ts';

/** The question of a training example; where it stands in the file is known to its id. */
export type TrainingQuestion = Omit<Question, 'line'>;

/** Encoded examples: example i is row `rows[i]` of the token file. */
export type Sequences = {
  /** Names exactly these sequences, as long as they are learned. */
  readonly digest: string;
  readonly tokens: TokenFile;
  readonly rows: Uint32Array;
};

/** The training examples: row i of the plan is example i. */
export type TrainingData = Sequences & {
  readonly idOf: (example: number) => IdWords;
  readonly idTextOf: (example: number) => string;
  /** Ids of the prompts of examples with a text around what is asked, see `framedExample`. */
  readonly framed: (examples: readonly number[], frame: string) => Promise<Int32Array[]>;
  /** What is asked and its gold answer, for scorers. */
  readonly questionOf: (example: number) => Promise<TrainingQuestion>;
};

/** What a run reports while it works. */
export type Progress = {
  /** `done` of `total` steps, answers or items, with the tokens that went through since the last report. */
  update(what: string, done: number, total: number, tokens: number): void;
  /** A line that stays. */
  say(line: string): void;
};

export type Run = {
  readonly config: RunConfig;
  readonly plan: Plan;
  /** By training, where a method of the user's makes it: a digest of the method's files. */
  readonly code: Readonly<Record<string, string>>;
  readonly directory: RunDirectory;
  readonly store: Store;
  readonly worker: Worker;
  /** What answers prompts; null: the worker that trains does. */
  readonly samplers: Samplers | null;
  /** What samplers do while the trainer goes on. */
  readonly background: Background;
  /** The base, as it was loaded. */
  readonly model: ModelInfo;
  /** Versions and settings that the last bits of results depend on. */
  readonly numerics: Readonly<Record<string, string | number>>;
  readonly data: TrainingData;
  /** Further examples that trainings learn from, by the name that their method gave them. */
  readonly datasets: Readonly<Record<string, Sequences>>;
  /** Ids at which every sampling stops, ascending. */
  readonly stopIds: readonly number[];
  readonly evaluation: EvaluationContext;
  /** A digest of all that is measured and how. */
  readonly evaluationKey: string;
  readonly progress: Progress;
  /** Aborted when the person asks to stop, and when what goes on beside the training failed. */
  readonly signal: AbortSignal;
};

/** A place where a run may stop. Signals are heard between two turns of the event loop, and work that the store has takes none. */
export async function safePoint({ signal }: Pick<Run, 'signal'>): Promise<void> {
  await nextTurn();
  signal.throwIfAborted();
}

/** Time a piece of work and note it in timing.jsonl, apart from everything that must be the same in every run. */
export async function timed<T>(
  { directory }: Pick<Run, 'directory'>,
  line: Pick<TimingLine, 'unit' | 'kind' | 'training'>,
  work: () => Promise<{ value: T; tokens: number }>,
): Promise<T> {
  const start = performance.now();
  const { value, tokens } = await work();
  directory.appendTiming({ ...line, seconds: (performance.now() - start) / 1000, tokens });
  return value;
}
