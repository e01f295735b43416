/**
 * KL(base‖model), estimated on stored samples of the base: the mean of log π_base(y|x) − log π(y|x) over answers y that the base
 * gave at temperature 1 (as in RL's Razor, 2509.04259). It needs one forward pass and no second model.
 */
import { z } from 'zod';
import type { EvaluationRecord } from '../run/records.ts';
import type { ModelInfo, OtherModel } from '../worker/protocol.ts';
import type { Worker } from '../worker/worker.ts';
import { type Asked, type Asker, answerAll, answerSeeds, type Sampling } from './answer.ts';
import { logprobsOf, sumBetween } from './logprobs.ts';
import type { DivergenceExample } from './pld.ts';
import { chooseByHash } from './read-set.ts';
import type { LmEvalSet, PreparedSet, SetRole } from './sets.ts';
import type { Tally } from './tally.ts';

/** Longest answer compared, in tokens: of a longer one its beginning is. KL a sequence is then that of the beginnings. */
const maxSampleTokens = 128;

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

type KlSampling = Pick<Sampling, 'maxRows' | 'stopIds'> & { readonly sampler: Asker; readonly tally: Tally };

/** Let the base in the worker answer every prompt once, and score what it said. */
export async function sampleAnswers(
  worker: Worker,
  prompts: readonly KlPrompt[],
  { sampler, maxRows, stopIds, tally }: KlSampling,
): Promise<BaseSamples> {
  const answers = await answerAll(sampler, prompts, { temperature: 1, maxRows, stopIds, tally });
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

/** KL(base‖model) on the samples of each role; null where there are none. With `base` also exactly in each token, for which that is loaded. */
export async function measureKl(
  worker: Worker,
  { samples }: BaseSamples,
  { base, tally }: { readonly base: OtherModel | null; readonly tally: Tally },
): Promise<EvaluationRecord['kl']> {
  const sequences = samples.map(({ ids }) => ids);
  const logprobs = await logprobsOf(worker, sequences, tally);
  const isExact = base !== null && samples.length > 0;
  const scored = isExact ? await worker.forward(sequences, { other: base, ...tally.next() }) : null;
  const of = (role: SetRole) => {
    const places = [...samples.keys()].filter(i => samples[i]?.role === role);
    const own = places.map(i => samples[i] as BaseSample);
    const found = klFromBase(
      own,
      places.map(i => logprobs[i] as Float32Array),
    );
    if (found === null || scored === null) return found;
    const from = places.map(i => scored.divergence?.from[i] as Float32Array);
    return { ...found, exactPerToken: exactKl(own, from) };
  };
  return { target: of('target'), retention: of('retention') };
}

/** `divergences`: KL(base‖model) in the place of each token, of whole sequences. */
function exactKl(samples: readonly BaseSample[], divergences: readonly Float32Array[]): number {
  let [sum, tokens] = [0, 0];
  for (const [i, { promptLength, logprobs }] of samples.entries()) {
    sum += sumBetween(divergences[i] as Float32Array, promptLength);
    tokens += logprobs.length;
  }
  return sum / tokens;
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

// The prompts on which the base is sampled for KL: test ones of the target, and some of every retention set.

export type KlPromptOptions = {
  readonly seed: number;
  /** Prompts of the target, and of each retention set. */
  readonly size: number;
  readonly model: Pick<ModelInfo, 'maxPositions'>;
  readonly test: readonly DivergenceExample[];
};

/** `limit`: new tokens that the prompt's own set allows. */
type Candidate = Pick<KlPrompt, 'id' | 'prompt'> & {
  readonly limit: number;
  readonly stopTexts: readonly string[];
};
type Group = Pick<KlPrompt, 'role' | 'set'> & { readonly candidates: readonly Candidate[] };

/** Nothing where `size` is 0; `notes` say where answers are compared in part. */
export function klPrompts(
  sets: readonly PreparedSet[],
  options: KlPromptOptions,
): { prompts: KlPrompt[]; notes: string[] } {
  const target: Group = {
    role: 'target',
    set: 'test',
    candidates: options.test.map(({ id, ids, promptLength }) => candidate(id, ids.slice(0, promptLength))),
  };
  const retained = sets
    .filter(({ role }) => role === 'retention')
    .map((set): Group => ({ role: 'retention', set: set.name, candidates: candidatesOf(set) }));
  const found = [target, ...retained].map(group => promptsOf(group, options));
  return { prompts: found.flatMap(({ prompts }) => prompts), notes: found.flatMap(({ notes }) => notes) };
}

function promptsOf(
  { role, set, candidates }: Group,
  { seed, size, model: { maxPositions } }: KlPromptOptions,
): { prompts: KlPrompt[]; notes: string[] } {
  const seedOf = answerSeeds(seed, 'base sample');
  const chosen = chooseByHash(candidates, size);
  const longest = chosen.reduce((most, { prompt }) => Math.max(most, prompt.length), 0);
  // At least 1: whatever is measured has a token behind its prompt.
  const room = (maxPositions ?? Number.POSITIVE_INFINITY) - longest;
  const wanted = Math.min(maxSampleTokens, ...chosen.map(({ limit }) => limit));
  const maxNewTokens = Math.min(wanted, room);
  const notes =
    chosen.length > 0 && room < wanted
      ? [
          `KL on ${set}: the base's answers are compared up to ${room} tokens, not ${wanted}, because a prompt has ${longest} of the ` +
            `${maxPositions} positions of the model`,
        ]
      : [];
  // Another name of a stream is other random numbers: it stays when words change.
  const stream = role === 'target' ? 'target held-out' : `${role} ${set}`;
  const prompts = chosen.map(({ id, prompt, stopTexts }) => ({
    id,
    role,
    set,
    prompt,
    stopTexts,
    seed: seedOf(stream, id, 1),
    maxNewTokens,
  }));
  return { prompts, notes };
}

function candidatesOf(set: PreparedSet): Candidate[] {
  if (set.kind === 'answered')
    return set.questions.map(({ id }, i) => ({
      id,
      prompt: set.prompts[i] as Int32Array,
      limit: set.maxNewTokens,
      stopTexts: set.stopTexts,
    }));
  if (set.kind === 'lm_eval') return promptsOfLmEval(set);
  return set.questions.map(({ id }, i) => {
    const [first] = set.options[i] ?? [];
    return candidate(id, first?.ids.slice(0, first.start) ?? new Int32Array());
  });
}

/** Of each document the first request. */
function promptsOfLmEval({ task: { questions, requests } }: LmEvalSet): Candidate[] {
  const placeOf = ({ task, document }: { task?: string | undefined; document?: number | undefined }) =>
    `${task} ${document}`;
  const first = new Map(requests.toReversed().map(one => [placeOf(one), one] as const));
  return questions.flatMap(question => {
    const found = first.get(placeOf(question));
    if (found === undefined) return [];
    const prompt = 'ids' in found ? found.ids.slice(0, found.start) : found.prompt;
    return [candidate(question.id, prompt)];
  });
}

function candidate(id: string, prompt: Int32Array): Candidate {
  return { id, prompt, limit: maxSampleTokens, stopTexts: [] };
}
