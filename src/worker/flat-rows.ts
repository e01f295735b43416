/** Between rows of numbers, as callers have them, and the flat tensors of the protocol. */
import type { Params, Result, WireExample, WireMessage } from './protocol.ts';
import {
  allocate,
  type DType,
  packRows,
  type Row,
  type Tensor,
  type Tensors,
  unpackRows,
} from './tensors.ts';
import { WorkerError } from './worker-error.ts';
import {
  type Answer,
  type Component,
  components,
  type Encoded,
  type Example,
  type GradientOptions,
  type Gradients,
  type Message,
  type Top,
  type TrainingSequence,
} from './worker-options.ts';

/** Cross-entropy on what is learned, nothing on what is only read: the one loss mask. */
export function completionOnly({ ids, learned }: Encoded): TrainingSequence {
  return { ids, ce: Float32Array.from(learned) };
}

/** A prompt with another answer behind it, of which alone the loss counts every token. */
export function withAnswer(prompt: Row, answer: Row): Encoded {
  const ids = Int32Array.of(...prompt, ...answer);
  return { ids, promptLength: prompt.length, learned: new Uint8Array(ids.length).fill(1, prompt.length) };
}

/** With every field, as the wire wants them. */
export function wireExample({ prompt, completion, tools }: Example): WireExample {
  const messages = (said: string | readonly Message[], isAnswer: boolean) =>
    typeof said === 'string' ? said : said.map(message => wireMessage(message, isAnswer));
  return {
    prompt: messages(prompt, false),
    completion: completion === null ? null : messages(completion, true),
    tools: tools ?? null,
  };
}

function wireMessage({ role, content, learned, fields }: Message, isAnswer: boolean): WireMessage {
  return {
    role,
    content,
    learned: learned ?? (isAnswer && role === 'assistant'),
    fields: fields ?? null,
  };
}

export function encodedRows(tensors: Tensors): Encoded[] {
  const promptLengths = required(tensors, 'promptLengths').data;
  const learned = rows(tensors, 'learned') as Uint8Array[];
  return rows(tensors, 'ids').map((ids, i) => ({
    ids: ids as Int32Array,
    promptLength: promptLengths[i] ?? 0,
    learned: learned[i] as Uint8Array,
  }));
}

export function pack(sequences: readonly Row[]): { ids: Tensor; offsets: Tensor } {
  const { values, offsets } = packRows('i32', sequences);
  return { ids: values, offsets };
}

const weightTensors = {
  ceWeights: 'ce',
  dftWeights: 'dft',
  policyGradientWeights: 'policyGradient',
  advantages: 'advantages',
  oldLogprobs: 'oldLogprobs',
  referenceLogprobs: 'referenceLogprobs',
  matchWeights: 'match',
} as const;

/** A tensor for every kind of number that some sequence has; sequences without it count as 0. */
export function packWeights(batch: readonly TrainingSequence[]): Tensors {
  const tensors: Record<string, Tensor> = {};
  for (const [name, key] of Object.entries(weightTensors)) {
    if (!batch.some(sequence => sequence[key])) continue;
    const weights = batch.map((sequence, i) => {
      const row = sequence[key] ?? new Float32Array(sequence.ids.length);
      if (row.length === sequence.ids.length) return row;
      const found = `sequence ${i} has ${sequence.ids.length} ids but ${row.length} values of ${key}`;
      throw new WorkerError('BAD_PARAMS', found, { verb: 'forwardBackward' });
    });
    tensors[name] = packRows('f32', weights).values;
  }
  return { ...tensors, ...packTargets(batch) };
}

/** Two tables of k values a token; sequences without them are not weighed by them. */
function packTargets(batch: readonly TrainingSequence[]): Tensors {
  const [first] = batch.filter(({ targetIds }) => targetIds !== undefined);
  if (first === undefined) return {};
  const k = Math.floor((first.targetIds?.length ?? 0) / first.ids.length);
  const table = (dtype: DType, key: 'targetIds' | 'targetLogprobs'): Tensor => {
    const rows = batch.map((sequence, i) => {
      const row = sequence[key] ?? allocate(dtype, sequence.ids.length * k);
      if (row.length === sequence.ids.length * k) return row;
      const found = `sequence ${i} has ${sequence.ids.length} ids but ${row.length} values of ${key}, not ${k} an id`;
      throw new WorkerError('BAD_PARAMS', found, { verb: 'forwardBackward' });
    });
    const { data } = packRows(dtype, rows).values;
    return { dtype, shape: [data.length / k, k], data };
  };
  return { targetIds: table('i32', 'targetIds'), targetLogprobs: table('f32', 'targetLogprobs') };
}

export function gradientParams(tensors: Tensors, options: GradientOptions): Params<'forwardBackward'> {
  const component = (name: Component) => {
    const weights = tensors[`${name}Weights`];
    if (!weights) return null;
    const normalizer = options.normalizers?.[name] ?? sum(weights.data as Float32Array);
    if (normalizer > 0) return { normalizer };
    const found = `the weights of ${name} sum to ${normalizer}: nothing is to be learnt, or give normalizers.${name}`;
    throw new WorkerError('BAD_PARAMS', found, { verb: 'forwardBackward' });
  };
  const [policyGradient, match] = [component('policyGradient'), component('match')];
  const { clipLow = null, clipHigh = null, klCoefficient = 0, direction = 'forward' } = options;
  return {
    ce: component('ce'),
    dft: component('dft'),
    policyGradient: policyGradient && { ...policyGradient, clipLow, clipHigh, klCoefficient },
    match: match && { ...match, direction },
    dropoutSeed: options.dropoutSeed ?? null,
    returnLogprobs: options.returnLogprobs ?? false,
    returnEntropy: options.returnEntropy ?? false,
  };
}

function sum(values: Float32Array): number {
  return values.reduce((total, value) => total + value, 0);
}

export function gradients(
  result: Result<'forwardBackward'>,
  params: Params<'forwardBackward'>,
  out: Tensors,
  sent: { ids: Tensor; offsets: Tensor },
): Gradients {
  const { tokens, paddedTokens, microBatches } = result;
  const sums: Gradients['components'] = {};
  let loss = 0;
  for (const name of components) {
    const [found, given] = [result[name], params[name]];
    if (!found || !given) continue;
    sums[name] = found;
    loss += found.lossSum / given.normalizer;
  }
  const logprobs = optionalPerToken(out, 'logprobs', sent);
  const entropy = optionalPerToken(out, 'entropy', sent);
  return { loss, components: sums, tokens, paddedTokens, microBatches, logprobs, entropy };
}

/** Answers with the row of their prompt. `said` is what the worker wrote before a stop text, else the ids without their stop id. */
export function answersOf(tensors: Tensors): [row: number, answer: Answer][] {
  const reasons = ['length', 'stop', 'stop_text'] as const;
  const finished = required(tensors, 'finished').data;
  const logprobs = rows(tensors, 'logprobs');
  const texts = tensors.textIds && unpackRows(tensors.textIds.data, required(tensors, 'textOffsets').data);
  const places = required(tensors, 'rows').data;
  return rows(tensors, 'ids').map((row, i) => {
    const finishReason = reasons[finished[i] ?? 0] ?? 'length';
    const ids = row as Int32Array;
    const before = finishReason === 'stop' ? ids.subarray(0, -1) : ids;
    const said = finishReason === 'stop_text' && texts ? (texts[i] as Int32Array) : before;
    return [places[i] as number, { ids, logprobs: logprobs[i] as Float32Array, finishReason, said }];
  });
}

function required(tensors: Tensors, name: string): Tensor {
  const tensor = tensors[name];
  if (!tensor) throw new WorkerError('UNSERIALIZABLE', `tensor ${name} is missing in the reply`);
  return tensor;
}

function rows(tensors: Tensors, name: string) {
  return unpackRows(required(tensors, name).data, required(tensors, 'offsets').data);
}

export function perToken(tensors: Tensors, name: string, { offsets }: { offsets: Tensor }): Float32Array[] {
  return unpackRows(required(tensors, name).data as Float32Array, offsets.data) as Float32Array[];
}

/** By sequence; null where they were not asked for. */
export function topPerToken(tensors: Tensors, { offsets }: { offsets: Tensor }): Top[] | null {
  const { topIds, topLogprobs } = tensors;
  if (topIds === undefined || topLogprobs === undefined) return null;
  const k = topIds.shape[1] ?? 0;
  const bounds = Array.from(offsets.data, offset => offset * k);
  const ids = unpackRows(topIds.data as Int32Array, Int32Array.from(bounds));
  const logprobs = unpackRows(topLogprobs.data as Float32Array, Int32Array.from(bounds));
  return ids.map((row, i) => ({ k, ids: row, logprobs: logprobs[i] as Float32Array }));
}

export function optionalPerToken(
  tensors: Tensors,
  name: string,
  sent: { offsets: Tensor },
): Float32Array[] | null {
  return tensors[name] ? perToken(tensors, name, sent) : null;
}
