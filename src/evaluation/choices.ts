/**
 * Multiple choice by log-likelihood: the option whose tokens have the highest sum of log-probabilities after the prompt; the first of
 * equal ones. This is `acc` of lm-eval; sums are not divided by length (its `acc_norm`).
 */
import type { Worker } from '../worker/worker.ts';
import { logprobsOf, sumBetween } from './logprobs.ts';
import type { ChoiceSet } from './sets.ts';
import type { Tally } from './tally.ts';

/** The place of the chosen option of every question. */
export async function chooseOptions(worker: Worker, { options }: ChoiceSet, tally: Tally): Promise<number[]> {
  const every = options.flat();
  const logprobs = await logprobsOf(
    worker,
    every.map(({ ids, end }) => ids.subarray(0, Math.max(1, end))),
    tally,
    every.map(({ start }) => start),
  );
  const sums = every.map(({ start, end }, i) => sumBetween(logprobs[i] as Float32Array, start, end));
  let place = 0;
  return options.map(({ length }) => {
    place += length;
    return highest(sums.slice(place - length, place));
  });
}

/** The place of the highest value, the first of equal ones. */
function highest(values: readonly number[]): number {
  return values.reduce((best, value, i) => (value > (values[best] as number) ? i : best), 0);
}
