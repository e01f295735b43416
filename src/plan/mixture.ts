/**
 * What the visits of a training draw, and so which distinct answers are to be generated: one bit for each (example, policy, sample).
 */
import type { IdWords } from '../data/keyed-random.ts';
import { type DrawOptions, drawer } from './draws.ts';
import { refuseImmense } from './limits.ts';
import { allVisits, type DataOrder } from './order.ts';
import type { TrainingPlan } from './training-plan.ts';

/** Keys of a method's block, and how many models answer. */
export type MixtureSettings = {
  readonly alpha: number;
  readonly policies: number;
  readonly samples_per_prompt?: number;
  readonly order?: DrawOptions['order'];
  /** Only what will be read is generated; by default so. */
  readonly lazy_harvest?: boolean;
};

/** A plain record, as plan.json has it. */
export type MixturePlan = {
  readonly lazy: boolean;
  readonly count: number;
  /** T·S answers a prompt. */
  readonly fullCount: number;
  readonly perCheckpoint: readonly number[];
  readonly referenceVisits: number;
  readonly draws: DrawOptions;
};

/** Throws `PlanError` where drawing would take hours or more memory than there is. */
export function planMixture(
  training: TrainingPlan,
  settings: MixtureSettings & { readonly seed: number },
  promptIdOf: (example: number) => IdWords,
): MixturePlan {
  const { order, visits } = training;
  const lazy = settings.lazy_harvest ?? true;
  const draws: DrawOptions = {
    seed: settings.seed,
    alpha: settings.alpha,
    checkpoints: settings.policies,
    samplesPerPrompt: settings.samples_per_prompt ?? 1,
    order: settings.order ?? 'random',
    visits,
  };
  refuseImmense(draws, { examples: order.examples, isLazy: lazy });
  const drawn = lazyAnswers(order, training.steps, draws, promptIdOf);
  const full = fullAnswers(order.examples, draws, drawn.referenceVisits);
  const { count, perCheckpoint, referenceVisits } = lazy ? drawn : full;
  return { lazy, count, fullCount: full.count, perCheckpoint, referenceVisits, draws };
}

/** The answers that a planned mixture needs. */
export function answersOf(
  { lazy, draws, referenceVisits }: MixturePlan,
  { order, steps }: TrainingPlan,
  promptIdOf: (example: number) => IdWords,
): AnswerSet {
  return lazy
    ? lazyAnswers(order, steps, draws, promptIdOf)
    : fullAnswers(order.examples, draws, referenceVisits);
}

/** Sample number `sample` (from 0) of a checkpoint for an example. */
export type AnswerKey = { readonly example: number; readonly sample: number };

export type AnswerSet = {
  /** Distinct answers of all checkpoints. */
  readonly count: number;
  readonly perCheckpoint: readonly number[];
  /** Visits that train on the reference. */
  readonly referenceVisits: number;
  /** The answers of one checkpoint, by example. */
  readonly at: (checkpoint: number) => Generator<AnswerKey>;
};

type Sizes = Pick<DrawOptions, 'checkpoints' | 'samplesPerPrompt'>;

/** What the student will read: about (1−α)·epochs answers a prompt while that is small against T·S. */
export function lazyAnswers(
  order: DataOrder,
  steps: number,
  options: DrawOptions,
  promptIdOf: (example: number) => IdWords,
): AnswerSet {
  const bits = new Uint8Array(
    Math.ceil((order.examples * options.checkpoints * options.samplesPerPrompt) / 8),
  );
  const perCheckpoint = Array.from({ length: options.checkpoints }, () => 0);
  const draw = drawer(options);
  let referenceVisits = 0;
  for (const visit of allVisits(order, steps)) {
    const drawn = draw(visit, promptIdOf(visit.example));
    if (drawn.isReference) referenceVisits++;
    else if (setBit(bits, bitOf(options, visit.example, drawn.checkpoint, drawn.sample))) {
      perCheckpoint[drawn.checkpoint] = (perCheckpoint[drawn.checkpoint] as number) + 1;
    }
  }
  return answerSet(order.examples, options, bits, perCheckpoint, referenceVisits);
}

/** All T·S answers of every example. */
export function fullAnswers(examples: number, sizes: Sizes, referenceVisits: number): AnswerSet {
  const perCheckpoint = Array.from({ length: sizes.checkpoints }, () => examples * sizes.samplesPerPrompt);
  return answerSet(examples, sizes, null, perCheckpoint, referenceVisits);
}

/** `bits` is null where every answer is wanted. */
function answerSet(
  examples: number,
  sizes: Sizes,
  bits: Uint8Array | null,
  perCheckpoint: readonly number[],
  referenceVisits: number,
): AnswerSet {
  function* at(checkpoint: number): Generator<AnswerKey> {
    for (let example = 0; example < examples; example++) {
      for (let sample = 0; sample < sizes.samplesPerPrompt; sample++) {
        if (bits === null || hasBit(bits, bitOf(sizes, example, checkpoint, sample)))
          yield { example, sample };
      }
    }
  }
  return { count: perCheckpoint.reduce((sum, n) => sum + n, 0), perCheckpoint, referenceVisits, at };
}

function bitOf(
  { checkpoints, samplesPerPrompt }: Sizes,
  example: number,
  checkpoint: number,
  sample: number,
): number {
  return (example * checkpoints + checkpoint) * samplesPerPrompt + sample;
}

function hasBit(bits: Uint8Array, bit: number): boolean {
  return ((bits[Math.floor(bit / 8)] as number) & (1 << (bit % 8))) !== 0;
}

/** Returns whether the bit was new. */
function setBit(bits: Uint8Array, bit: number): boolean {
  const isNew = !hasBit(bits, bit);
  bits[Math.floor(bit / 8)] = (bits[Math.floor(bit / 8)] as number) | (1 << (bit % 8));
  return isNew;
}
