/**
 * What the student trains on at each visit of a prompt: a sample of q_α = α·reference + (1−α)·mean of the checkpoints' policies
 * (our reading of 2602.03073: one coin a visit, then a checkpoint, then one of its answers).
 * All by hash of (seed, epoch, prompt id): the coin and the checkpoint are independent, so another α keeps every checkpoint drawn.
 */
import { type FourNumbers, type IdWords, keyedNumbers } from '../data/keyed-random.ts';
import type { Visit } from './order.ts';

export type DrawOptions = {
  readonly seed: number;
  /** α: probability of the reference. */
  readonly alpha: number;
  /** Policies that answer: T, and one more with the base. */
  readonly checkpoints: number;
  /** S: answers that each has for a prompt. */
  readonly samplesPerPrompt: number;
  /** `early_to_late`: the checkpoint follows from how far the training is. */
  readonly order: 'random' | 'early_to_late';
  /** All visits of the training; `early_to_late` needs to know where it ends. */
  readonly visits: number;
};

/** `checkpoint` (an index from 0, ascending in steps) and `sample` are drawn for every visit; `isReference` visits do not use them. */
export type Draw = { readonly isReference: boolean; readonly checkpoint: number; readonly sample: number };

/** The draw of any visit of any prompt. */
export function drawer(options: DrawOptions): (visit: Visit, prompt: IdWords) => Draw {
  const { seed, alpha, checkpoints, samplesPerPrompt, order, visits } = options;
  const numbers = keyedNumbers(seed, 'target of a visit');
  return ({ epoch, visit }, prompt) => {
    const first = numbers(prompt, epoch, 0);
    const numberOf = (word: 2 | 3) => (attempt: number) =>
      attempt === 0 ? first[word] : numbers(prompt, epoch, attempt)[word];
    const checkpoint =
      order === 'random' ? below(checkpoints, numberOf(2)) : Math.floor((visit * checkpoints) / visits);
    const sample = below(samplesPerPrompt, numberOf(3));
    return { isReference: unitOf(first) < alpha, checkpoint, sample };
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
