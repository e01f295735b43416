import type { Params } from '../../../src/worker/protocol.ts';
import { refuse } from './refuse.ts';

/** Moments of every weight, in float32 as torch keeps them. */
export type AdamwState = {
  readonly steps: number;
  readonly mean: Float32Array;
  readonly square: Float32Array;
};

export function newAdamw(size: number): AdamwState {
  return { steps: 0, mean: new Float32Array(size), square: new Float32Array(size) };
}

/** Throws BAD_PARAMS for what the schema lets through and torch does not. */
export function checkHyperparameters({ adamw, muon }: Params<'optimStep'>): void {
  if (muon) throw refuse('BAD_PARAMS', 'muon must be null: the toy has AdamW only');
  for (const name of ['beta1', 'beta2'] as const)
    if (adamw[name] >= 1) throw refuse('BAD_PARAMS', `${name} is ${adamw[name]}; it must be in [0, 1)`);
}

/** Throws NON_FINITE. */
export function gradientNorm(gradient: Float64Array): number {
  const norm = Math.sqrt(gradient.reduce((sum, value) => sum + value * value, 0));
  if (Number.isFinite(norm)) return norm;
  throw refuse('NON_FINITE', `the global gradient norm is ${norm}; the step is refused, gradients cleared`);
}

/** Scale in place as torch's clip_grads_with_norm_ does. */
export function clipGradient(gradient: Float64Array, norm: number, maxNorm: number): void {
  const scale = Math.min(1, maxNorm / (norm + 1e-6));
  for (let i = 0; i < gradient.length; i++) gradient[i] = (gradient[i] ?? 0) * scale;
}

/** Move the weights in place (arXiv 1711.05101, in torch's order of operations) and return the next state. */
export function adamwStep(
  { weights, gradient }: { weights: Float32Array; gradient: Float64Array },
  { steps, mean, square }: AdamwState,
  { learningRate, beta1, beta2, epsilon, weightDecay }: Params<'optimStep'>['adamw'],
): AdamwState {
  const stepSize = learningRate / (1 - beta1 ** (steps + 1));
  const squareScale = Math.sqrt(1 - beta2 ** (steps + 1));
  for (let i = 0; i < weights.length; i++) {
    const slope = gradient[i] ?? 0;
    const m = beta1 * (mean[i] ?? 0) + (1 - beta1) * slope;
    const v = beta2 * (square[i] ?? 0) + (1 - beta2) * slope * slope;
    mean[i] = m;
    square[i] = v;
    const decayed = (weights[i] ?? 0) * (1 - learningRate * weightDecay);
    weights[i] = decayed - (stepSize * m) / (Math.sqrt(v) / squareScale + epsilon);
  }
  return { steps: steps + 1, mean, square };
}

/** Weights with a gradient, and those of them that did not change. */
export function countUpdates(
  before: Float32Array,
  after: Float32Array,
  gradient: Float64Array,
): { counted: number; lost: number } {
  const moving = [...gradient.keys()].filter(i => gradient[i] !== 0);
  return { counted: moving.length, lost: moving.filter(i => before[i] === after[i]).length };
}
