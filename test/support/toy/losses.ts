/** The loss of one token in each component, and its slope in the token's log-probability. */
import type { Params } from '../../../src/worker/protocol.ts';

export const components = ['ce', 'dft', 'policyGradient', 'match'] as const;
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

/** What rounding leaves of less is taken for none. */
const leastRest = 1e-6;

/**
 * KL(given‖model) or KL(model‖given) over candidates and one place for all other ids, with its slope in the log-probability of each
 * candidate; `hasRest` is false where they are the whole vocabulary.
 */
export function match(
  own: readonly number[],
  given: readonly number[],
  { direction, hasRest }: { readonly direction: 'forward' | 'reverse'; readonly hasRest: boolean },
): { readonly loss: number; readonly slopes: number[] } {
  const restOf = (logprobs: readonly number[]) =>
    Math.max(leastRest, 1 - logprobs.reduce((sum, logprob) => sum + Math.exp(logprob), 0));
  const [restOwn, restGiven] = [restOf(own), restOf(given)];
  const rest = hasRest ? Math.log(restOwn / restGiven) : 0;
  const pairs = own.map((logprob, i) => ({ q: logprob, p: given[i] ?? 0 }));
  if (direction === 'forward') {
    const loss = pairs.reduce((sum, { q, p }) => sum + Math.exp(p) * (p - q), 0);
    const push = hasRest ? restGiven / restOwn : 0;
    return {
      loss: hasRest ? loss - restGiven * rest : loss,
      slopes: pairs.map(({ q, p }) => push * Math.exp(q) - Math.exp(p)),
    };
  }
  const loss = pairs.reduce((sum, { q, p }) => sum + Math.exp(q) * (q - p), 0);
  return {
    loss: hasRest ? loss + restOwn * rest : loss,
    slopes: pairs.map(({ q, p }) => Math.exp(q) * (q - p - rest + (hasRest ? 0 : 1))),
  };
}
