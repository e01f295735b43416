/** Answers drawn from the bigram: each a pure function of its prompt's last token, its seed, the weights and the settings. */
import type { Params } from '../../../src/worker/protocol.ts';
import { packRows, type Tensors, tensorOf } from '../../../src/worker/tensors.ts';
import { splitMix } from '../split-mix.ts';
import { type Bigram, distribution } from './bigram.ts';
import { refuse } from './refuse.ts';
import { detokenize } from './tokens.ts';

export type ToyAnswer = {
  readonly ids: number[];
  readonly logprobs: number[];
  /** 0: cut; 1: by a stop id; 2: by a stop text. */
  readonly finished: 0 | 1 | 2;
  /** Ids of the text before a stop text; of an answer without one all ids. */
  readonly textIds: readonly number[];
};

/** A function that answers one prompt; the filtered distributions it needs are kept between calls. */
export function sampler(
  model: Bigram,
  params: Params<'generate'>,
): (prompt: Int32Array, seed: number) => ToyAnswer {
  const known: (Float64Array | undefined)[] = [];
  const stops = new Set(params.stopIds);
  return (prompt, seed) => {
    const random = splitMix(splitMix(seed)()); // mixed, because splitMix gives nearby seeds nearby states
    const answer: ToyAnswer = { ids: [], logprobs: [], finished: 0, textIds: [] };
    let previous = prompt.at(-1) ?? 0;
    while (answer.ids.length < params.maxNewTokens) {
      const reached = known[previous] ?? cumulativeWeights(model, previous, params);
      known[previous] = reached;
      const id = draw(reached, random() / 2 ** 32);
      answer.ids.push(id);
      answer.logprobs.push(distribution(model, previous).logprobs[id] ?? 0);
      if (stops.has(id)) return { ...answer, finished: 1, textIds: answer.ids };
      const textIds = beforeStopText(answer.ids, params.stopTexts);
      if (textIds !== null) return { ...answer, finished: 2, textIds };
      previous = id;
    }
    return { ...answer, textIds: answer.ids };
  };
}

/** The ids before the stop text that the last id completed, the longest one where there are several; null where there is none. */
function beforeStopText(ids: readonly number[], stopTexts: readonly string[]): number[] | null {
  const text = detokenize(ids, true);
  const found = stopTexts.filter(stop => text.endsWith(stop)).map(stop => stop.length);
  if (found.length === 0) return null;
  const isBefore = (_: number, i: number) =>
    detokenize(ids.slice(0, i + 1), true).length <= text.length - Math.max(...found);
  return ids.filter(isBefore);
}

/** Running sums of the probabilities after temperature, top-k and top-p, in this order as in transformers. */
function cumulativeWeights(model: Bigram, previous: number, params: Params<'generate'>): Float64Array {
  const { logprobs } = distribution(model, previous);
  if (Number.isNaN(logprobs[0])) throw refuse('NON_FINITE', `logits after token ${previous} are not finite`);
  const largest = Math.max(...logprobs);
  if (params.temperature === 0) return runningSums(onlyFirst(logprobs, largest));
  const weights = logprobs.map(logprob => Math.exp((logprob - largest) / params.temperature));
  return runningSums(topP(topK(weights, params.topK), params.topP));
}

function runningSums(weights: Float64Array): Float64Array {
  let sum = 0;
  return weights.map(weight => {
    sum += weight;
    return sum;
  });
}

/** Weight 1 for the most likely token, the lowest id among equals. */
function onlyFirst(logprobs: Float64Array, largest: number): Float64Array {
  const weights = new Float64Array(logprobs.length);
  weights[logprobs.indexOf(largest)] = 1;
  return weights;
}

/** Keep the tokens at least as likely as the k-th; 0 keeps all. */
function topK(weights: Float64Array, k: number): Float64Array {
  if (k === 0 || k >= weights.length) return weights;
  const least = weights.toSorted().at(-k) ?? 0;
  return weights.map(weight => (weight >= least ? weight : 0));
}

/** Keep the fewest most likely tokens whose probabilities reach p. */
function topP(weights: Float64Array, p: number): Float64Array {
  if (p === 1) return weights;
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const order = [...weights.keys()].sort((a, b) => (weights[b] ?? 0) - (weights[a] ?? 0));
  const kept = new Float64Array(weights.length);
  let reached = 0;
  for (const id of order) {
    kept[id] = weights[id] ?? 0;
    reached += weights[id] ?? 0;
    if (reached >= p * total) break;
  }
  return kept;
}

/** The first id whose running sum exceeds u × total. */
function draw(reached: Float64Array, u: number): number {
  const target = u * (reached.at(-1) ?? 0);
  let [low, high] = [0, reached.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((reached[middle] ?? 0) > target) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The tensors of a reply or of a part of it, from answers by prompt. */
export function packAnswers(
  answersOf: ReadonlyMap<number, ToyAnswer>,
  { stopTexts }: Params<'generate'>,
): Tensors {
  const places = [...answersOf.keys()].sort((a, b) => a - b);
  const rows = tensorOf('i32', places);
  const answers = places.map(place => answersOf.get(place) as ToyAnswer);
  const { values: ids, offsets } = packRows(
    'i32',
    answers.map(answer => answer.ids),
  );
  const { values: logprobs } = packRows(
    'f32',
    answers.map(answer => answer.logprobs),
  );
  const finished = tensorOf(
    'u8',
    answers.map(answer => answer.finished),
  );
  if (stopTexts.length === 0) return { rows, ids, offsets, logprobs, finished };
  const texts = packRows(
    'i32',
    answers.map(({ textIds }) => textIds),
  );
  return { rows, ids, offsets, logprobs, finished, textIds: texts.values, textOffsets: texts.offsets };
}
