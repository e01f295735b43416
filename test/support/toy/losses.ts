/** The loss of one token in each component, and its slope in the token's log-probability. */
import type { Params } from '../../../src/worker/protocol.ts';

export const components = ['ce', 'dft', 'policyGradient'] as const;
export type Component = (typeof components)[number];
export type PolicyGradient = NonNullable<Params<'forwardBackward'>['policyGradient']>;

/** Numbers of one token that `policyGradient` needs. */
export type PolicyValues = {
  readonly advantage: number;
  /** Null: on-policy, the ratio is 1 in value and only its slope counts. */
  readonly oldLogprob: number | null;
  readonly referenceLogprob: number;
};
export type TokenLoss = { readonly loss: number; readonly slope: number };

export function crossEntropy(logprob: number): TokenLoss {
  return { loss: -logprob, slope: -1 };
}

/** arXiv 2508.05629: the token's own probability, held constant, scales its loss. */
export function dynamicFineTuning(logprob: number): TokenLoss {
  const probability = Math.exp(logprob);
  return { loss: -probability * logprob, slope: -probability };
}

/** Clipped surrogate (arXiv 1707.06347 eq. 7) plus the k3 estimate of KL(policy‖reference). */
export function policyGradient(logprob: number, values: PolicyValues, settings: PolicyGradient): TokenLoss {
  const { advantage, oldLogprob, referenceLogprob } = values;
  const ratio = Math.exp(logprob - (oldLogprob ?? logprob));
  const gain = advantage * ratio;
  const clippedGain = advantage * clamp(ratio, settings);
  const surrogate = clippedGain < gain ? { loss: -clippedGain, slope: 0 } : { loss: -gain, slope: -gain };
  if (settings.klCoefficient === 0) return surrogate;
  const logRatio = referenceLogprob - logprob;
  return {
    loss: surrogate.loss + settings.klCoefficient * (Math.exp(logRatio) - logRatio - 1),
    slope: surrogate.slope + settings.klCoefficient * (1 - Math.exp(logRatio)),
  };
}

function clamp(ratio: number, { clipLow, clipHigh }: PolicyGradient): number {
  const high = clipHigh === null ? ratio : Math.min(ratio, 1 + clipHigh);
  return clipLow === null ? high : Math.max(high, 1 - clipLow);
}
