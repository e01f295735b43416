/**
 * What the student trains on at each visit of a prompt: a sample of q_α = α·gold + (1−α)·mean of the checkpoints' policies
 * (our reading of 2602.03073: one coin a visit, then a checkpoint, then one of its answers).
 * All by hash of (seed, epoch, prompt id): the coin and the checkpoint are independent, so another α keeps every checkpoint drawn.
 */
import { type FourNumbers, type IdWords, keyedNumbers } from '../data/random.ts';
import { formatCount } from './describe.ts';
import { PlanError } from './plan.ts';
import { allVisits, type DataOrder, type TrainingPlan, type Visit } from './training-plan.ts';

export type DrawOptions = {
  readonly seed: number;
  /** α: probability of the gold answer. */
  readonly alpha: number;
  /** α at the last visit, reached in equal steps; without it α stays. */
  readonly alphaEnd?: number;
  /** Policies that answer: T, and one more with the base. */
  readonly checkpoints: number;
  /** S: answers that each has for a prompt. */
  readonly samplesPerPrompt: number;
  /** `early_to_late`: the checkpoint follows from how far the training is. */
  readonly order: 'random' | 'early_to_late';
  /** All visits of the training; `early_to_late` needs to know where it ends. */
  readonly visits: number;
};

/** `checkpoint` (an index from 0, ascending in steps) and `sample` are drawn for every visit; `isGold` visits do not use them. */
export type Draw = {
  readonly isGold: boolean;
  readonly checkpoint: number;
  readonly sample: number;
  /** From 0 to before 1: what chooses the checkpoint where the answers have weights. */
  readonly unit: number;
};

/** The draw of any visit of any prompt. */
export function drawer(options: DrawOptions): (visit: Visit, prompt: IdWords) => Draw {
  const { seed, checkpoints, samplesPerPrompt, order, visits } = options;
  const numbers = keyedNumbers(seed, 'target of a visit');
  return ({ epoch, visit }, prompt) => {
    const first = numbers(prompt, epoch, 0);
    const numberOf = (word: 2 | 3) => (attempt: number) =>
      attempt === 0 ? first[word] : numbers(prompt, epoch, attempt)[word];
    const checkpoint =
      order === 'random' ? below(checkpoints, numberOf(2)) : Math.floor((visit * checkpoints) / visits);
    const sample = below(samplesPerPrompt, numberOf(3));
    return { isGold: unitOf(first) < alphaAt(options, visit), checkpoint, sample, unit: first[2] / 2 ** 32 };
  };
}

function alphaAt({ alpha, alphaEnd = alpha, visits }: DrawOptions, visit: number): number {
  return alpha + (alphaEnd - alpha) * (visit / Math.max(1, visits - 1));
}

/** With probability `share` an example, from 0, of another data set; else null: the visit learns its own. */
export function drawExample({
  seed,
  share,
  examples,
}: {
  readonly seed: number;
  readonly share: number;
  readonly examples: number;
}): (visit: Visit, prompt: IdWords) => number | null {
  const numbers = keyedNumbers(seed, 'example of another data set');
  return ({ epoch }, prompt) => {
    const first = numbers(prompt, epoch, 0);
    const numberOf = (attempt: number) => (attempt === 0 ? first : numbers(prompt, epoch, attempt))[2];
    return unitOf(first) < share ? below(examples, numberOf) : null;
  };
}

/** A number in [0, 1) with 53 random bits of the first two words: below α = 1 always, below α = 0 never. */
function unitOf([high, low]: FourNumbers): number {
  return ((high >>> 5) * 2 ** 26 + (low >>> 6)) / 2 ** 53;
}

/** Uniform over 0 … bound − 1; a number that would bias it is drawn again. */
function below(bound: number, numberOf: (attempt: number) => number): number {
  const unbiased = 2 ** 32 - (2 ** 32 % bound);
  for (let attempt = 0; ; attempt++) {
    const value = numberOf(attempt);
    if (value < unbiased) return value % bound;
  }
}

// What the visits of a training draw, and so which distinct answers are to be generated: one bit for each (example,
// policy, sample).

/** Keys of a method's block, and how many models answer. */
export type MixtureSettings = {
  readonly alpha: number;
  readonly alpha_end?: number | null;
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
  readonly goldVisits: number;
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
    ...(settings.alpha_end != null && { alphaEnd: settings.alpha_end }),
    checkpoints: settings.policies,
    samplesPerPrompt: settings.samples_per_prompt ?? 1,
    order: settings.order ?? 'random',
    visits,
  };
  refuseImmense(draws, { examples: order.examples, isLazy: lazy });
  const drawn = lazyAnswers(order, training.steps, draws, promptIdOf);
  const full = fullAnswers(order.examples, draws, drawn.goldVisits);
  const { count, perCheckpoint, goldVisits } = lazy ? drawn : full;
  return { lazy, count, fullCount: full.count, perCheckpoint, goldVisits, draws };
}

/** The answers that a planned mixture needs. */
export function answersOf(
  { lazy, draws, goldVisits }: MixturePlan,
  { order, steps }: TrainingPlan,
  promptIdOf: (example: number) => IdWords,
): AnswerSet {
  return lazy ? lazyAnswers(order, steps, draws, promptIdOf) : fullAnswers(order.examples, draws, goldVisits);
}

/** Sample number `sample` (from 0) of a checkpoint for an example. */
export type AnswerKey = { readonly example: number; readonly sample: number };

export type AnswerSet = {
  /** Distinct answers of all checkpoints. */
  readonly count: number;
  readonly perCheckpoint: readonly number[];
  /** Visits that train on the gold answer. */
  readonly goldVisits: number;
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
  let goldVisits = 0;
  for (const visit of allVisits(order, steps)) {
    const drawn = draw(visit, promptIdOf(visit.example));
    if (drawn.isGold) goldVisits++;
    else if (setBit(bits, bitOf(options, visit.example, drawn.checkpoint, drawn.sample))) {
      perCheckpoint[drawn.checkpoint] = (perCheckpoint[drawn.checkpoint] as number) + 1;
    }
  }
  return answerSet(order.examples, options, bits, perCheckpoint, goldVisits);
}

/** All T·S answers of every example. */
export function fullAnswers(examples: number, sizes: Sizes, goldVisits: number): AnswerSet {
  const perCheckpoint = Array.from({ length: sizes.checkpoints }, () => examples * sizes.samplesPerPrompt);
  return answerSet(examples, sizes, null, perCheckpoint, goldVisits);
}

/** `bits` is null where every answer is wanted. */
function answerSet(
  examples: number,
  sizes: Sizes,
  bits: Uint8Array | null,
  perCheckpoint: readonly number[],
  goldVisits: number,
): AnswerSet {
  function* at(checkpoint: number): Generator<AnswerKey> {
    for (let example = 0; example < examples; example++) {
      for (let sample = 0; sample < sizes.samplesPerPrompt; sample++) {
        if (bits === null || hasBit(bits, bitOf(sizes, example, checkpoint, sample)))
          yield { example, sample };
      }
    }
  }
  return { count: perCheckpoint.reduce((sum, n) => sum + n, 0), perCheckpoint, goldVisits, at };
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

// What a plan of drawn answers can hold: every visit is drawn when it is made, in some microseconds, and every answer
// has a bit.

/** Some minutes of drawing. */
const mostVisits = 30e6;
/** Rows of the table that a training's targets are read from. */
const mostAnswers = 30e6;
/** Half a gigabyte of bits. */
const mostBits = 2 ** 32;

/** Throws `PlanError` where drawing would take hours or more memory than there is. */
function refuseImmense(
  { visits, checkpoints, samplesPerPrompt }: DrawOptions,
  { examples, isLazy }: { readonly examples: number; readonly isLazy: boolean },
): void {
  if (visits > mostVisits) {
    throw new PlanError(
      `a training would visit ${formatCount(visits)} examples; at most ${formatCount(mostVisits)} can be drawn`,
      { fix: 'lower num_train_epochs or max_steps (or the epochs of that training alone)' },
    );
  }
  const answers = examples * checkpoints * samplesPerPrompt;
  const most = isLazy ? mostBits : mostAnswers;
  if (answers <= most) return;
  const product = `${formatCount(examples)} examples × ${formatCount(checkpoints)} checkpoints × ${formatCount(samplesPerPrompt)} samples`;
  throw new PlanError(
    `${product} are ${formatCount(answers)} answers; at most ${formatCount(most)} can be planned`,
    {
      fix: `lower num_checkpoints or samples_per_prompt${isLazy ? '' : ', or set lazy_harvest: true'}`,
    },
  );
}
