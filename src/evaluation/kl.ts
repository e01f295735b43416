/**
 * KL(base‖model), estimated on stored samples of the base: the mean of log π_base(y|x) − log π(y|x) over answers y that the base
 * gave at temperature 1 (as in RL's Razor, 2509.04259). It needs one forward pass and no second model.
 */
import { z } from 'zod';
import type { EvaluationRecord } from '../run/records.ts';
import type { Worker } from '../worker/worker.ts';
import { type Asked, answerAll, type Sampling } from './answer.ts';
import { logprobsOf, sumBetween } from './logprobs.ts';
import type { SetRole } from './sets.ts';
import type { Tally } from './tally.ts';

/** Longest answer compared, in tokens: of a longer one its beginning is. KL a sequence is then that of the beginnings. */
export const maxSampleTokens = 128;

/** A prompt that the base answers, with the seed of its answer. */
export type KlPrompt = Asked & { readonly id: string; readonly role: SetRole; readonly set: string };

/** Answers of the base, as a file of the run keeps them. `logprobs` are those of the answer's tokens under the base, by `forward`. */
export const baseSamples = z.strictObject({
  samples: z.array(
    z.strictObject({
      id: z.string(),
      role: z.enum(['target', 'retention']),
      set: z.string(),
      promptLength: z.int().min(1),
      ids: z.array(z.int().min(0)),
      logprobs: z.array(z.number()),
    }),
  ),
});
export type BaseSamples = z.infer<typeof baseSamples>;
type BaseSample = BaseSamples['samples'][number];

export type KlFromBase = NonNullable<EvaluationRecord['kl']['target']>;

/** Let the base in the worker answer every prompt once, and score what it said. */
export async function sampleAnswers(
  worker: Worker,
  prompts: readonly KlPrompt[],
  { maxRows, stopIds, tally }: Pick<Sampling, 'maxRows' | 'stopIds'> & { readonly tally: Tally },
): Promise<BaseSamples> {
  const answers = await answerAll(worker, prompts, { temperature: 1, maxRows, stopIds, tally });
  const sequences = prompts.map(({ prompt }, i) => [...prompt, ...(answers[i]?.ids ?? [])]);
  const logprobs = await logprobsOf(worker, sequences, tally);
  const samples = prompts.map(({ id, role, set, prompt }, i) => ({
    id,
    role,
    set,
    promptLength: prompt.length,
    ids: sequences[i] as number[],
    logprobs: [...(logprobs[i] as Float32Array).subarray(prompt.length)],
  }));
  return { samples };
}

/** KL(base‖model) on the samples of each role; null where there are none. */
export async function measureKl(
  worker: Worker,
  { samples }: BaseSamples,
  tally: Tally,
): Promise<EvaluationRecord['kl']> {
  const logprobs = await logprobsOf(
    worker,
    samples.map(({ ids }) => ids),
    tally,
  );
  const of = (role: SetRole) => {
    const places = [...samples.keys()].filter(i => samples[i]?.role === role);
    return klFromBase(
      places.map(i => samples[i] as BaseSample),
      places.map(i => logprobs[i] as Float32Array),
    );
  };
  return { target: of('target'), retention: of('retention') };
}

/** `logprobs` are the model's, of whole sequences. All tokens of all samples weigh the same; null of no sample. */
export function klFromBase(
  samples: readonly BaseSample[],
  logprobs: readonly Float32Array[],
): KlFromBase | null {
  if (samples.length === 0) return null;
  let [difference, tokens] = [0, 0];
  for (const [i, sample] of samples.entries()) {
    const base = sample.logprobs.reduce((sum, value) => sum + value, 0);
    difference += base - sumBetween(logprobs[i] as Float32Array, sample.promptLength);
    tokens += sample.logprobs.length;
  }
  return {
    direction: 'KL(base‖model)',
    perToken: difference / tokens,
    perSequence: difference / samples.length,
    samples: samples.length,
  };
}
