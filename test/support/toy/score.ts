import { packRows, type Tensor } from '../../../src/worker/tensors.ts';
import { type Bigram, distribution } from './bigram.ts';
import { refuse } from './refuse.ts';
import { vocabSize } from './tokens.ts';

export type Scores = {
  readonly logprobs: Tensor;
  readonly entropy?: Tensor;
  readonly topIds?: Tensor;
  readonly topLogprobs?: Tensor;
};

/** Per-token values in one tensor each; 0 at the first token of a sequence. Throws NON_FINITE where the weights are not. */
export function score(
  model: Bigram,
  sequences: readonly Int32Array[],
  asked: { readonly starts?: readonly number[]; readonly returnEntropy: boolean; readonly topK?: number },
): Scores {
  const { starts = [], returnEntropy, topK = 0 } = asked;
  const after = (sequence: Int32Array, token: number) => distribution(model, sequence[token - 1] ?? 0);
  const perToken = (value: (sequence: Int32Array, token: number) => number) =>
    packRows(
      'f32',
      sequences.map((sequence, i) =>
        Float32Array.from(sequence, (_, j) => (j < (starts[i] ?? 1) ? 0 : value(sequence, j))),
      ),
    ).values;
  const logprobs = perToken((sequence, j) => after(sequence, j).logprobs[sequence[j] ?? 0] ?? 0);
  if (logprobs.data.some(Number.isNaN))
    throw refuse('NON_FINITE', 'log-probabilities are NaN: the weights are not finite');
  return {
    logprobs,
    ...(returnEntropy && { entropy: perToken((sequence, j) => after(sequence, j).entropy) }),
    ...(topK > 0 && topOf(model, sequences, Math.min(topK, vocabSize))),
  };
}

/** KL of the distribution in the place of each token, of one model to another and back. */
export function divergences(
  [own, other]: readonly [Bigram, Bigram],
  sequences: readonly Int32Array[],
): { klToOther: Tensor; klFromOther: Tensor } {
  const rows = (of: Bigram, to: Bigram) =>
    sequences.map(sequence =>
      Float32Array.from(sequence, (_, j) => (j === 0 ? 0 : klBetween(of, to, sequence[j - 1] ?? 0))),
    );
  return {
    klToOther: packRows('f32', rows(own, other)).values,
    klFromOther: packRows('f32', rows(other, own)).values,
  };
}

function klBetween(of: Bigram, to: Bigram, previous: number): number {
  const [p, q] = [distribution(of, previous), distribution(to, previous)];
  return p.probabilities.reduce(
    (sum, one, id) => sum + one * ((p.logprobs[id] ?? 0) - (q.logprobs[id] ?? 0)),
    0,
  );
}

/** The k likeliest ids in the place of each token, the likeliest first. */
function topOf(
  model: Bigram,
  sequences: readonly Int32Array[],
  k: number,
): { topIds: Tensor; topLogprobs: Tensor } {
  const rows = sequences.flatMap(sequence =>
    Array.from(sequence, (_, j) => {
      if (j === 0) return Array.from({ length: k }, () => [0, 0] as const);
      const { logprobs } = distribution(model, sequence[j - 1] ?? 0);
      const ids = Array.from(logprobs.keys()).sort((a, b) => (logprobs[b] ?? 0) - (logprobs[a] ?? 0));
      return ids.slice(0, k).map(id => [id, logprobs[id] ?? 0] as const);
    }),
  );
  const shape = [rows.length, k];
  const flat = rows.flat();
  return {
    topIds: { dtype: 'i32', shape, data: Int32Array.from(flat, ([id]) => id) },
    topLogprobs: { dtype: 'f32', shape, data: Float32Array.from(flat, ([, logprob]) => logprob) },
  };
}
