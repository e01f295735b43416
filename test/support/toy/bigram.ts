/** The toy's model: the logits of the next token are a row of a table, chosen by the token before it. */
import { splitMix } from '../split-mix.ts';
import { vocabSize } from './tokens.ts';

/** What comes after one token. */
export type Distribution = {
  readonly logprobs: Float64Array;
  readonly probabilities: Float64Array;
  readonly entropy: number;
};

export type Bigram = {
  /** Row `previous`, column `next` [vocabSize × vocabSize]. */
  readonly weights: Float32Array;
  /** Distributions computed since the weights last changed. */
  readonly known: (Distribution | undefined)[];
};

/** Logits uniform in [-2, 2): the likeliest next tokens are far likelier than most. */
export function newBigram(seed: number): Bigram {
  const random = splitMix(seed);
  const weights = Float32Array.from({ length: vocabSize ** 2 }, () => (random() / 2 ** 32) * 4 - 2);
  return { weights, known: [] };
}

/** The distribution after `previous`; NaN where its weights are not finite. */
export function distribution({ weights, known }: Bigram, previous: number): Distribution {
  const found =
    known[previous] ?? logSoftmax(weights.subarray(previous * vocabSize, (previous + 1) * vocabSize));
  known[previous] = found;
  return found;
}

function logSoftmax(logits: Float32Array): Distribution {
  const largest = logits.reduce((most, logit) => Math.max(most, logit));
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - largest), 0);
  const logprobs = Float64Array.from(logits, logit => logit - largest - Math.log(total));
  const probabilities = logprobs.map(Math.exp);
  const entropy = logprobs.reduce((sum, logprob, id) => sum - (probabilities[id] ?? 0) * logprob, 0);
  return { logprobs, probabilities, entropy };
}
