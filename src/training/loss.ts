/** How the sequences of an optimiser step become one number. The worker adds up weighted token losses; here is what divides them. */
import type { GradientOptions, TrainingSequence } from '../worker/worker.ts';

/** `name`: part of what a training is known by in the store. */
export type Loss = {
  readonly name: string;
  readonly optionsFor: (sequences: readonly TrainingSequence[]) => GradientOptions;
};

/** −log p of every learned token, divided by how many there are in the step: long answers weigh more than short ones. */
export const meanOverTokens: Loss = {
  name: 'cross-entropy, mean over tokens',
  optionsFor: sequences => ({ normalizers: { ce: weightsIn(sequences, 'ce') } }),
};

/**
 * Clipped policy gradient: −min(ρA, clip(ρ, 1 − low, 1 + high)·A) of every token with a weight, ρ the ratio to what it was sampled with,
 * and `kl` times the k3 estimate of KL(π‖base); divided by the tokens of the step (PPO, 1707.06347; over groups 2402.03300).
 */
export function clippedPolicyGradient({ low, high, kl }: { low: number; high: number; kl: number }): Loss {
  return {
    name: `policy gradient, clipped at ${low} and ${high}, KL ${kl}, mean over tokens`,
    optionsFor: sequences => ({
      normalizers: { policyGradient: weightsIn(sequences, 'policyGradient') },
      clipLow: low,
      clipHigh: high,
      klCoefficient: kl,
    }),
  };
}

/** Sum of the weights of a kind over all tokens of a step. */
export function weightsIn(
  sequences: readonly TrainingSequence[],
  kind: 'ce' | 'dft' | 'policyGradient' | 'match',
): number {
  let sum = 0;
  for (const sequence of sequences) for (const weight of sequence[kind] ?? []) sum += weight;
  return sum;
}
