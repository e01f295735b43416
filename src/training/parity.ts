/** How far two engines with the same weights differ in what they say of the same tokens. Pure. */

/** Over `tokens`, in nats. `shareDiffering`: of tokens that one draws, how many the other would draw otherwise with the best coupling. */
export type Parity = {
  readonly tokens: number;
  readonly meanDifference: number;
  readonly maxDifference: number;
  readonly shareDiffering: number;
};

type Rows = readonly ArrayLike<number>[];

/**
 * Log-probabilities of the same sequences from position `from[i]` on, by default behind the first token, which has none. The share is the
 * mean of max(0, 1 − p_trainer/p_sampler): over tokens that the sampler drew an estimate of the total variation distance.
 */
export function parityOf(trainer: Rows, sampler: Rows, from: readonly number[] = []): Parity {
  let [tokens, sum, maxDifference, differing] = [0, 0, 0, 0];
  for (const [i, row] of trainer.entries())
    for (let at = from[i] ?? 1; at < row.length; at++) {
      const difference = (row[at] as number) - (sampler[i]?.[at] ?? Number.NaN);
      tokens += 1;
      sum += Math.abs(difference);
      maxDifference = Math.max(maxDifference, Math.abs(difference));
      differing += Math.max(0, 1 - Math.exp(difference));
    }
  if (tokens === 0) return { tokens, meanDifference: 0, maxDifference: 0, shareDiffering: 0 };
  return { tokens, meanDifference: sum / tokens, maxDifference, shareDiffering: differing / tokens };
}

/** Of all tokens of both. */
export function together(one: Parity | null, other: Parity): Parity {
  if (one === null) return other;
  const tokens = one.tokens + other.tokens;
  const mean = (value: (parity: Parity) => number) =>
    (value(one) * one.tokens + value(other) * other.tokens) / Math.max(1, tokens);
  return {
    tokens,
    meanDifference: mean(parity => parity.meanDifference),
    maxDifference: Math.max(one.maxDifference, other.maxDifference),
    shareDiffering: mean(parity => parity.shareDiffering),
  };
}

/** In a sentence. */
export function describeParity({ tokens, meanDifference, maxDifference, shareDiffering }: Parity): string {
  const share = `${(100 * shareDiffering).toPrecision(2)} %`;
  return `log-probabilities of ${tokens} tokens differ by ${short(meanDifference)} nats on average and ${short(maxDifference)} at most; about ${share} of sampled tokens would differ`;
}

function short(nats: number): string {
  return nats === 0 ? '0' : nats.toPrecision(2);
}
