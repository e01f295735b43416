/** What crossed the wire in a run, read as training steps and as answers. */
import type { Reply } from '../../src/worker/channel.ts';
import type { Params, VerbName } from '../../src/worker/protocol.ts';
import type { Tensors } from '../../src/worker/tensors.ts';

/** One request with its answer (null: it failed) and the digest of the weights that it left in the worker. */
export type Recorded<V extends VerbName = VerbName> = {
  readonly id: number;
  readonly verb: V;
  readonly params: Params<V>;
  readonly tensors: Tensors;
  /** Tensors that came before the reply. */
  readonly parts: readonly Tensors[];
  readonly reply: Reply<V> | null;
  readonly weights: string;
};

/** The requests of one verb, in order. */
export function callsOf<V extends VerbName>(calls: readonly Recorded[], verb: V): Recorded<V>[] {
  return calls.filter((call): call is Recorded<V> => call.verb === verb);
}

/** A sequence as it was trained on: its ids, and the weight of each in the loss. */
export type Learned = { readonly ids: readonly number[]; readonly weights: readonly number[] };

/** One optimiser step with the gradients that it was made of. */
export type TrainingStep = {
  readonly sequences: readonly Learned[];
  /** Of each request for gradients. */
  readonly normalizers: readonly (number | null)[];
  readonly dropoutSeeds: readonly (number | null)[];
  readonly lossSum: number;
  readonly tokens: number;
  readonly params: Params<'optimStep'>;
  /** Digests of the weights before and after it. */
  readonly before: string;
  readonly after: string;
};

/** Every optimiser step of a run, in order. Throws where a step does not stand on exactly the gradients asked for since the last one. */
export function stepsOf(calls: readonly Recorded[]): TrainingStep[] {
  const steps: TrainingStep[] = [];
  let gradients: Recorded<'forwardBackward'>[] = [];
  for (const call of calls) {
    if (call.verb === 'forwardBackward') gradients.push(call as Recorded<'forwardBackward'>);
    if (call.verb !== 'optimStep') continue;
    const { params, weights } = call as Recorded<'optimStep'>;
    const ids = gradients.map(({ id }) => id);
    if (String(params.dependsOn) !== String(ids))
      throw new Error(`a step depends on ${params.dependsOn}, not on ${ids}`);
    steps.push(stepOf(gradients, params, weights));
    gradients = [];
  }
  return steps;
}

function stepOf(
  gradients: readonly Recorded<'forwardBackward'>[],
  params: Params<'optimStep'>,
  after: string,
): TrainingStep {
  const only = gradients.flatMap(({ params: { dft, policyGradient } }) => [dft, policyGradient]);
  if (only.some(component => component !== null)) throw new Error('a loss other than cross-entropy');
  return {
    sequences: gradients.flatMap(({ tensors }) => learnedIn(tensors)),
    normalizers: gradients.map(({ params: { ce } }) => ce?.normalizer ?? null),
    dropoutSeeds: gradients.map(({ params: { dropoutSeed } }) => dropoutSeed),
    lossSum: gradients.reduce((sum, { reply }) => sum + (reply?.result.ce?.lossSum ?? Number.NaN), 0),
    tokens: gradients.reduce((sum, { reply }) => sum + (reply?.result.tokens ?? Number.NaN), 0),
    params,
    before: gradients[0]?.weights ?? '',
    after,
  };
}

function learnedIn(tensors: Tensors): Learned[] {
  const weights = rowsOf(tensors, 'ceWeights');
  return rowsOf(tensors, 'ids').map((ids, i) => ({ ids, weights: weights[i] ?? [] }));
}

/** The rows of a ragged tensor. */
export function rowsOf(tensors: Tensors, name: string): number[][] {
  const [values, offsets] = [tensors[name]?.data ?? [], tensors.offsets?.data ?? []];
  return Array.from({ length: offsets.length - 1 }, (_, i) => [...values.slice(offsets[i], offsets[i + 1])]);
}

/** One prompt of a `generate` with its answer. */
export type Asked = {
  readonly weights: string;
  readonly prompt: readonly number[];
  readonly seed: number;
  readonly params: Params<'generate'>;
  readonly answer: readonly number[];
  readonly isFinished: boolean;
  /** It ended because a stop text came; the answer holds it. */
  readonly isStopped: boolean;
};

/** Every prompt that was answered, in order. */
export function askedIn(calls: readonly Recorded[]): Asked[] {
  return callsOf(calls, 'generate').flatMap(({ params, tensors, parts, reply, weights }) => {
    const found = [...parts, reply?.tensors ?? {}].flatMap(part => {
      const ids = rowsOf(part, 'ids');
      return [...(part.rows?.data ?? [])].map(
        (row, i) => [row, { ids: ids[i], finished: part.finished?.data[i] }] as const,
      );
    });
    const answers = new Map(found);
    return rowsOf(tensors, 'ids').map((prompt, i) => ({
      weights,
      prompt,
      seed: tensors.seeds?.data[i] ?? Number.NaN,
      params,
      answer: answers.get(i)?.ids ?? [],
      isFinished: answers.get(i)?.finished !== 0,
      isStopped: answers.get(i)?.finished === 2,
    }));
  });
}
