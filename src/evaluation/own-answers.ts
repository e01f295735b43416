/**
 * What a model says itself at temperature 1: KL(model‖base) on it, the model's entropy, and how many of its answers to a prompt are distinct.
 * Distributions are compared over the whole vocabulary in the place of each token, so that only the answers are a sample, not the divergence.
 */
import type { EvaluationRecord } from '../run/records.ts';
import type { OtherModel } from '../worker/protocol.ts';
import type { Worker } from '../worker/worker.ts';
import { type Asker, answerAll, answerSeeds, type Sampling } from './answer.ts';
import type { KlPrompt } from './kl.ts';
import { sumBetween } from './logprobs.ts';
import type { SetRole } from './sets.ts';
import type { Tally } from './tally.ts';

/** `count`: answers to a prompt. */
export type OwnAnswers = { readonly count: number; readonly base: OtherModel };

export type MeasuredAnswers = NonNullable<NonNullable<EvaluationRecord['own']>['target']>;

type OwnSampling = Pick<Sampling, 'maxRows' | 'stopIds'> & {
  readonly sampler: Asker;
  readonly seed: number;
  readonly tally: Tally;
};

/** Let the model in the worker answer, and hold it against the base; null where it is not asked. */
export async function measureOwnAnswers(
  worker: Worker,
  { prompts, count, base }: OwnAnswers & { readonly prompts: readonly KlPrompt[] },
  { sampler, seed, maxRows, stopIds, tally }: OwnSampling,
): Promise<NonNullable<EvaluationRecord['own']> | null> {
  if (count === 0 || prompts.length === 0) return null;
  const seedOf = answerSeeds(seed, 'own answer');
  const asked = prompts.flatMap((prompt, group) =>
    Array.from({ length: count }, (_, number) => ({
      ...prompt,
      group,
      seed: seedOf(`${prompt.role} ${prompt.set}`, prompt.id, number),
    })),
  );
  const answers = await answerAll(sampler, asked, { temperature: 1, maxRows, stopIds, tally });
  const sequences = asked.map(({ prompt }, i) => [...prompt, ...(answers[i]?.ids ?? [])]);
  // In one request, for which the base is loaded once.
  const options = { returnEntropy: true, other: base, ...tally.next() };
  const { divergence, entropy } = await worker.forward(sequences, options);
  tally.add(sequences.length, { scored: sequences.reduce((sum, { length }) => sum + length, 0) });
  const given = asked.map(({ role, group, prompt }, i) => ({
    role,
    group,
    ids: answers[i]?.ids ?? new Int32Array(),
    divergence: divergence?.to[i]?.subarray(prompt.length) ?? new Float32Array(),
    entropy: entropy?.[i]?.subarray(prompt.length) ?? new Float32Array(),
  }));
  const of = (role: SetRole) => answersMeasured(given.filter(one => one.role === role));
  return { target: of('target'), retention: of('retention') };
}

/** An answer with the divergence from the base and the entropy of the distribution that each of its tokens was drawn from; answers of a `group` are to one prompt. */
export type GivenAnswer = {
  readonly group: number;
  readonly ids: Int32Array;
  readonly divergence: Float32Array;
  readonly entropy: Float32Array;
};

/** All tokens of all answers weigh the same; null of none. `distinct` of prompts with one answer is null: it says nothing. */
export function answersMeasured(given: readonly GivenAnswer[]): MeasuredAnswers | null {
  if (given.length === 0) return null;
  const sum = (of: (answer: GivenAnswer) => number) => given.reduce((total, one) => total + of(one), 0);
  const tokens = sum(({ ids }) => ids.length);
  const kl = sum(({ divergence }) => sumBetween(divergence, 0));
  const groups = new Map<number, string[]>();
  for (const { group, ids } of given) groups.set(group, [...(groups.get(group) ?? []), ids.join(' ')]);
  const shares = [...groups.values()].map(answers => new Set(answers).size / answers.length);
  return {
    direction: 'KL(model‖base)',
    perToken: kl / tokens,
    perSequence: kl / given.length,
    entropyPerToken: sum(({ entropy }) => sumBetween(entropy, 0)) / tokens,
    distinct:
      given.length > groups.size ? shares.reduce((total, share) => total + share, 0) / groups.size : null,
    samples: given.length,
  };
}
