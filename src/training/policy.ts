/** The model that is being trained, as the targets of a step may ask it. */

import { type SamplingPlan, samplingSeeds } from '../plan/sampling-plan.ts';
import type { Visit } from '../plan/training-plan.ts';
import type { Answer, GenerateOptions, Top } from '../worker/worker.ts';
import { holdStanding } from './held.ts';
import type { Run } from './run.ts';
import type { Weights } from './trainer.ts';

/** `ids` end with what ended them; `logprobs` are of each under the policy, in nats. */
export type PolicyAnswer = Pick<Answer, 'ids' | 'logprobs'> & {
  readonly example: number;
  readonly prompt: Int32Array;
  readonly text: string;
  readonly isFinished: boolean;
};

export type Policy = {
  /** `count` answers of the weights before the step to the prompt of each visit, one visit after the other. */
  readonly answers: (
    visits: readonly Visit[],
    count: number,
    sampling: SamplingPlan,
  ) => Promise<PolicyAnswer[]>;
  /** The reference model of the training, which has to plan one. */
  readonly reference: {
    /** Log-probabilities of the ids of sequences, in nats. */
    readonly logprobs: (sequences: readonly Int32Array[]) => Promise<Float32Array[]>;
    /** The k likeliest ids in the place of each. */
    readonly top: (sequences: readonly Int32Array[], k: number) => Promise<Top[]>;
  };
};

/** Stops where every sampling of a run does. */
export function samplerOptions({
  stopIds,
  config,
  signal,
}: Run): Pick<GenerateOptions, 'stopIds' | 'maxRows' | 'signal'> {
  const { max_rows: maxRows } = config.sampler;
  return { stopIds, ...(maxRows !== null && { maxRows }), signal };
}

/** The answers of a step depend on step, example and number, so that a resume has the same. `weights` stand in the worker. */
export function policyAt(run: Run, weights: Weights): Policy {
  const { data, worker, config } = run;
  const seedOf = samplingSeeds(config.seed);
  return {
    reference: {
      logprobs: async sequences => (await worker.forward(sequences, { kept: true })).logprobs,
      top: async (sequences, topK) => (await worker.forward(sequences, { kept: true, topK })).top ?? [],
    },
    answers: async (visits, count, { temperature, topP, maxNewTokens, stop }) => {
      const asked = visits.flatMap(({ example }) =>
        Array.from({ length: count }, (_, sample) => ({ example, sample })),
      );
      const prompts = await Promise.all(
        asked.map(async ({ example }) => {
          const { ids, promptLength } = await data.tokens.read(data.rows[example] as number);
          return ids.slice(0, promptLength);
        }),
      );
      const seeds = asked.map(({ example, sample }) => seedOf(weights.step, data.idOf(example), sample));
      const { sampler, release } = await holdStanding(run, weights);
      const asking = sampler.generate(prompts, {
        ...samplerOptions(run),
        seeds,
        temperature,
        topP,
        maxNewTokens,
        stopTexts: stop,
      });
      const answers = await asking.finally(release);
      const texts = await worker.decode(answers.map(({ said }) => said));
      const logprobs = await logprobsOf(run, prompts, answers);
      return answers.map(({ ids, finishReason }, i) => ({
        example: (asked[i] as (typeof asked)[number]).example,
        prompt: prompts[i] as Int32Array,
        ids,
        logprobs: logprobs[i] as Float32Array,
        text: texts[i] ?? '',
        isFinished: finishReason !== 'length',
      }));
    },
  };
}

/** Of each token of the answers under the policy: as it was sampled with, or by the trainer where another process sampled. */
async function logprobsOf(
  { worker, samplers }: Run,
  prompts: readonly Int32Array[],
  answers: readonly Answer[],
): Promise<Float32Array[]> {
  if (samplers === null) return answers.map(({ logprobs }) => logprobs);
  const sequences = prompts.map((prompt, i) => Int32Array.of(...prompt, ...(answers[i] as Answer).ids));
  const { logprobs } = await worker.forward(sequences);
  return logprobs.map((row, i) => row.slice((prompts[i] as Int32Array).length));
}

/** An answer behind its prompt as a policy gradient learns it: weight 1 and the advantage on every token of the answer. */
export function weighed({ prompt, ids, logprobs }: PolicyAnswer, advantage: number) {
  const row = (values: (token: number) => number) =>
    Float32Array.from({ length: prompt.length + ids.length }, (_, i) =>
      i < prompt.length ? 0 : values(i - prompt.length),
    );
  return {
    ids: Int32Array.of(...prompt, ...ids),
    policyGradient: row(() => 1),
    advantages: row(() => advantage),
    oldLogprobs: row(token => logprobs[token] as number),
  };
}
