/** Seeds of sampled answers: functions of what is asked, not of when or beside what. */
import { type IdWords, keyedNumbers } from '../data/keyed-random.ts';

/**
 * The 32-bit seed of an answer, for a checkpoint named by its optimiser step: T=5 asks for the same answers as T=10 at the steps
 * that both have.
 */
export function samplingSeeds(
  seed: number,
): (checkpointStep: number, prompt: IdWords, sampleIndex: number) => number {
  const numbers = keyedNumbers(seed, 'sampled answer');
  return (checkpointStep, prompt, sampleIndex) => numbers(prompt, checkpointStep, sampleIndex)[0];
}

/** Sample index of attempt 0, 1, … at one of S answers: the next S are for the first redraw, so that no two collide. */
export function redrawIndex(sample: number, attempt: number, samplesPerPrompt: number): number {
  return sample + attempt * samplesPerPrompt;
}
