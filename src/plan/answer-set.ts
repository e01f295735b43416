/** The distinct answers to generate, as one bit for each (example, checkpoint, sample). */

import type { IdWords } from '../data/keyed-random.ts';
import { type DrawOptions, drawer } from './draws.ts';
import { allVisits, type DataOrder } from './order.ts';

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
