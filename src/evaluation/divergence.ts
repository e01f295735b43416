/** Policy–label divergence (PLD): how unlikely a model finds the reference completions (2602.03073; details: tms-paper.md 7). */
import type { EvaluationRecord } from '../run/records.ts';
import { completionOnly, type Encoded, type Worker } from '../worker/worker.ts';
import { logprobsOf } from './logprobs.ts';
import type { Tally } from './tally.ts';

/** An example as it is trained on: a whole sequence, its end included. `completionBytes`: of the learned text in UTF-8. */
export type DivergenceExample = Encoded & { readonly id: string; readonly completionBytes: number };

export type Divergence = NonNullable<EvaluationRecord['pld']['heldOut']>;

/** PLD on these examples; null of none. */
export async function measureDivergence(
  worker: Worker,
  examples: readonly DivergenceExample[],
  tally: Tally,
): Promise<Divergence | null> {
  const logprobs = await logprobsOf(
    worker,
    examples.map(({ ids }) => ids),
    tally,
  );
  return divergenceOf(examples, logprobs);
}

/**
 * −Σ log p of the learned tokens: over all tokens, over the examples, and in bits over the bytes of the completions. The token
 * that ends a sequence counts as a token but has no byte.
 */
export function divergenceOf(
  examples: readonly DivergenceExample[],
  logprobs: readonly Float32Array[],
): Divergence | null {
  if (examples.length === 0) return null;
  let [nll, tokens, bytes] = [0, 0, 0];
  for (const [i, example] of examples.entries()) {
    const { ce: weights = [] } = completionOnly(example);
    for (const [j, logprob] of (logprobs[i] as Float32Array).entries()) {
      if (weights[j] === 0) continue;
      nll -= logprob;
      tokens++;
    }
    bytes += example.completionBytes;
  }
  return {
    nllPerToken: nll / tokens,
    nllPerSequence: nll / examples.length,
    bitsPerByte: nll / Math.LN2 / bytes,
    examples: examples.length,
    tokens,
  };
}
