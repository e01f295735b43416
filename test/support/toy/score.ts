import { packRows, type Tensor } from '../../../src/worker/tensors.ts';
import { type Bigram, distribution } from './bigram.ts';
import { refuse } from './refuse.ts';

export type Scores = { readonly logprobs: Tensor; readonly entropy?: Tensor };

/** Per-token values in one tensor each; 0 at the first token of a sequence. Throws NON_FINITE where the weights are not. */
export function score(model: Bigram, sequences: readonly Int32Array[], isEntropyAsked: boolean): Scores {
  const after = (sequence: Int32Array, token: number) => distribution(model, sequence[token - 1] ?? 0);
  const perToken = (value: (sequence: Int32Array, token: number) => number) =>
    packRows(
      'f32',
      sequences.map(sequence => Float32Array.from(sequence, (_, j) => (j === 0 ? 0 : value(sequence, j)))),
    ).values;
  const logprobs = perToken((sequence, j) => after(sequence, j).logprobs[sequence[j] ?? 0] ?? 0);
  if (logprobs.data.some(Number.isNaN))
    throw refuse('NON_FINITE', 'log-probabilities are NaN: the weights are not finite');
  return {
    logprobs,
    ...(isEntropyAsked && { entropy: perToken((sequence, j) => after(sequence, j).entropy) }),
  };
}
