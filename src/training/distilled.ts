/**
 * Targets of on-policy distillation: at every step the model that is trained answers, and a teacher, the reference model, says of each token of the
 * answer which ids are likely in its place (GKD, 2306.13649; with another prompt for the teacher SDFT, 2601.19897).
 */
import type { SamplingPlan } from '../plan/sampling-plan.ts';
import { type Top, type TrainingSequence, withAnswer } from '../worker/worker.ts';
import { type Loss, weightsIn } from './loss.ts';
import type { Policy, PolicyAnswer } from './policy.ts';
import type { Run } from './run.ts';
import type { Targets } from './targets.ts';

export type DistilledOptions = {
  /** Names the teacher and what it sees. */
  readonly key: string;
  /** Answers to a prompt in a step. */
  readonly count: number;
  readonly sampling: SamplingPlan;
  readonly topK: number;
  /** What the teacher is asked in place of the prompt, see `framedExample`; null: the same. */
  readonly frame: string | null;
};

/** Every token of the answers is learned, also of those without an end: the teacher says what follows, end or not. */
export function distilledTargets(run: Run, options: DistilledOptions): Targets {
  const { key, count, sampling, topK, frame } = options;
  return {
    key,
    isOnPolicy: true,
    of: async (visits, _, policy) => {
      const answers = await policy.answers(visits, count, sampling);
      const framed =
        frame === null
          ? null
          : await run.data.framed(
              visits.map(({ example }) => example),
              frame,
            );
      const prompts = answers.map(({ prompt }, i) => framed?.[Math.floor(i / count)] ?? prompt);
      const most = run.model.maxPositions ?? Number.POSITIVE_INFINITY;
      const fits = answers.map(({ ids }, i) => (prompts[i] as Int32Array).length + ids.length <= most);
      const sequences = await learned(
        policy,
        answers.filter((_, i) => fits[i]),
        prompts.filter((_, i) => fits[i]),
        topK,
      );
      const unfinished = answers.filter(({ isFinished }) => !isFinished).length;
      const too_long = fits.filter(isFit => !isFit).length;
      return { sequences, metrics: { unfinished, ...(too_long > 0 && { too_long }) } };
    },
  };
}

/** KL over the teacher's likeliest ids and one place for all others, a mean over the tokens of a step. */
export function divergence(direction: 'forward' | 'reverse'): Loss {
  return {
    name: `${direction} KL, mean over tokens`,
    optionsFor: sequences => ({ normalizers: { match: weightsIn(sequences, 'match') }, direction }),
  };
}

async function learned(
  policy: Policy,
  answers: readonly PolicyAnswer[],
  prompts: readonly Int32Array[],
  topK: number,
): Promise<TrainingSequence[]> {
  if (answers.length === 0) return [];
  const seen = answers.map(({ ids }, i) => withAnswer(prompts[i] as Int32Array, ids).ids);
  const top = await policy.reference.top(seen, topK);
  return answers.map(({ prompt, ids }, i) => {
    const { k, ...found } = top[i] as Top;
    const start = (prompts[i] as Int32Array).length * k;
    const own = withAnswer(prompt, ids);
    const [size, before] = [own.ids.length * k, prompt.length * k];
    const targetIds = new Int32Array(size);
    const targetLogprobs = new Float32Array(size);
    targetIds.set(found.ids.subarray(start), before);
    targetLogprobs.set(found.logprobs.subarray(start), before);
    return { ids: own.ids, match: own.learned, targetIds, targetLogprobs };
  });
}
