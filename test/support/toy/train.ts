/** Gradients of weighted token losses in the bigram's table. */
import type { Params, Result } from '../../../src/worker/protocol.ts';
import type { TensorData, Tensors } from '../../../src/worker/tensors.ts';
import { type Bigram, distribution } from './bigram.ts';
import {
  type Component,
  components,
  crossEntropy,
  dynamicFineTuning,
  match,
  policyGradient,
  type TokenLoss,
} from './losses.ts';
import { refuse } from './refuse.ts';
import { vocabSize } from './tokens.ts';

export type Weights = Partial<Record<Component, TensorData>>;
type Sums = NonNullable<Result<'forwardBackward'>['ce']>;

/** The running sums of one request. */
export type Accumulation = {
  readonly params: Params<'forwardBackward'>;
  readonly tensors: Tensors;
  readonly weights: Weights;
  /** d loss / d logits [vocabSize × vocabSize]; added to. */
  readonly gradient: Float64Array;
  readonly sums: Partial<Record<Component, Sums>>;
};

/** How a batch is cut: a sequence without any weight is left out unless `isWhole`. */
export type Split = {
  readonly tokenBudget: number;
  readonly isWhole: boolean;
  /** Called before each micro-batch; may throw CANCELLED. */
  readonly pause: () => Promise<void>;
};

/** Add the sequences of one request, micro-batch by micro-batch. Throws NON_FINITE, with part of the gradient added. */
export async function accumulateBatch(
  model: Bigram,
  sequences: readonly Int32Array[],
  into: Accumulation,
  { tokenBudget, isWhole, pause }: Split,
): Promise<{ tokens: number; microBatches: number }> {
  let [start, tokens, microBatches, room] = [0, 0, 0, 0];
  for (const sequence of sequences) {
    if (isWhole || isWeighted(into.weights, start, start + sequence.length)) {
      if (sequence.length > room) {
        await pause();
        microBatches += 1;
        room = tokenBudget;
      }
      accumulate(model, sequence, start, into);
      room -= sequence.length;
      tokens += sequence.length;
    }
    start += sequence.length;
  }
  return { tokens, microBatches };
}

function isWeighted(weights: Weights, start: number, end: number): boolean {
  return Object.values(weights).some(values => values.subarray(start, end).some(weight => weight !== 0));
}

/** Add one sequence, whose first token is token `start` of the batch. */
function accumulate(model: Bigram, sequence: Int32Array, start: number, into: Accumulation): void {
  for (let token = 1; token < sequence.length; token++) {
    const [previous, id] = [sequence[token - 1] ?? 0, sequence[token] ?? 0];
    const after = distribution(model, previous);
    const row = into.gradient.subarray(previous * vocabSize, (previous + 1) * vocabSize);
    for (const [wanted, slope] of slopesOf(after.logprobs, id, start + token, into))
      if (slope !== 0) addToRow(row, slope, wanted, after.probabilities);
  }
}

/** d log p(id) / d logits = onehot(id) - softmax */
function addToRow(row: Float64Array, slope: number, id: number, probabilities: Float64Array): void {
  for (let next = 0; next < row.length; next++)
    row[next] = (row[next] ?? 0) - slope * (probabilities[next] ?? 0);
  row[id] = (row[id] ?? 0) + slope;
}

/** Add one token to the sums; returns the slopes of the normalised loss in log-probabilities, by id. */
function slopesOf(
  logprobs: Float64Array,
  id: number,
  index: number,
  into: Accumulation,
): [id: number, slope: number][] {
  const { params, tensors } = into;
  const slopes: [number, number][] = [];
  for (const component of components) {
    const weight = into.weights[component]?.[index];
    if (weight === undefined || weight === 0) continue;
    const scale = weight / (params[component]?.normalizer ?? 1);
    if (component === 'match') {
      const ids = tableAt(tensors, 'targetIds', index);
      const own = ids.map(candidate => logprobs[candidate] ?? 0);
      const direction = params.match?.direction ?? 'forward';
      const options = { direction, hasRest: ids.length < vocabSize };
      const found = match(own, tableAt(tensors, 'targetLogprobs', index), options);
      addLoss(into, component, { weight, loss: found.loss, index });
      slopes.push(
        ...ids.map((candidate, j): [number, number] => [candidate, scale * (found.slopes[j] ?? 0)]),
      );
    } else {
      const { loss, slope } = lossOf(component, logprobs[id] ?? 0, index, params, tensors);
      addLoss(into, component, { weight, loss, index });
      slopes.push([id, scale * slope]);
    }
  }
  return slopes;
}

function addLoss(
  { sums }: Accumulation,
  component: Component,
  { weight, loss, index }: { readonly weight: number; readonly loss: number; readonly index: number },
): void {
  if (!Number.isFinite(loss))
    throw refuse('NON_FINITE', `the loss of token ${index} of the batch is ${loss}`);
  const { lossSum, weightSum, tokenCount } = sums[component] ?? noLoss;
  sums[component] = {
    lossSum: lossSum + weight * loss,
    weightSum: weightSum + weight,
    tokenCount: tokenCount + 1,
  };
}

/** The values of one token in a table. */
function tableAt(tensors: Tensors, name: 'targetIds' | 'targetLogprobs', index: number): number[] {
  const { data = new Int32Array(), shape = [] } = tensors[name] ?? {};
  const k = shape[1] ?? 0;
  return Array.from(data.subarray(index * k, (index + 1) * k));
}

export const noLoss: Sums = { lossSum: 0, weightSum: 0, tokenCount: 0 };

function lossOf(
  component: Component,
  logprob: number,
  index: number,
  { policyGradient: settings }: Params<'forwardBackward'>,
  tensors: Tensors,
): TokenLoss {
  if (component === 'ce') return crossEntropy(logprob);
  if (component === 'dft' || !settings) return dynamicFineTuning(logprob);
  const values = {
    advantage: tensors.advantages?.data[index] ?? 0,
    oldLogprob: tensors.oldLogprobs?.data[index] ?? null,
    referenceLogprob: tensors.referenceLogprobs?.data[index] ?? 0,
  };
  return policyGradient(logprob, values, settings);
}
