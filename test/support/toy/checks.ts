/** The conditions of py_worker/sequences.py and py_worker/generate.py, each a BAD_PARAMS. */
import type { Params } from '../../../src/worker/protocol.ts';
import type { TensorData, Tensors } from '../../../src/worker/tensors.ts';
import { type Component, components } from './losses.ts';
import { refuse } from './refuse.ts';
import { vocabSize } from './tokens.ts';

export const maxPositions = 512;

/** Ragged ids as rows; checked for everything but their lengths. */
export function readRows(tensors: Tensors): Int32Array[] {
  const ids = data(tensors, 'ids') as Int32Array;
  const offsets = data(tensors, 'offsets');
  const isRising = offsets.every((offset, i) => offset >= (offsets[i - 1] ?? 0));
  if (offsets[0] !== 0 || offsets.at(-1) !== ids.length || !isRising)
    throw refuse('BAD_PARAMS', `offsets must rise from 0 to the number of ids, ${ids.length}`);
  const rows = Array.from({ length: offsets.length - 1 }, (_, i) => ids.subarray(offsets[i], offsets[i + 1]));
  for (const [sequence, row] of rows.entries()) {
    const token = row.findIndex(id => id < 0 || id >= vocabSize);
    if (token === -1) continue;
    const found = `token ${token} of sequence ${sequence} has id ${row[token]}`;
    throw refuse('BAD_PARAMS', `${found}; the vocabulary has ids 0 to ${vocabSize - 1}`, { sequence, token });
  }
  return rows;
}

/** The first token of each sequence that is asked for. */
export function readStarts(tensors: Tensors): number[] {
  const rows = readSequences(tensors);
  return rows.map(({ length }, sequence) => {
    const start = tensors.starts ? (tensors.starts.data[sequence] ?? 0) : 1;
    if (start >= 1 && start <= length) return start;
    throw refuse('BAD_PARAMS', `sequence ${sequence} starts at ${start} and has ${length} tokens`, {
      sequence,
      token: null,
    });
  });
}

/** Rows that the model can take: at least one, none empty, none too long. */
export function readSequences(tensors: Tensors): Int32Array[] {
  const rows = readRows(tensors);
  if (rows.length === 0) throw refuse('BAD_PARAMS', 'at least one sequence is needed');
  rows.forEach((row, sequence) => {
    if (row.length > 0 && row.length <= maxPositions) return;
    const found = `sequence ${sequence} has ${row.length} tokens; 1 to ${maxPositions} can be taken`;
    throw refuse('BAD_PARAMS', found, { sequence, token: null });
  });
  return rows;
}

/** The weights of each component that is asked for. Throws where they, or the other per-token values, cannot make a loss. */
export function readWeights(
  params: Params<'forwardBackward'>,
  tensors: Tensors,
): Partial<Record<Component, TensorData>> {
  const asked = components.filter(component => params[component] !== null);
  if (asked.length === 0) throw refuse('BAD_PARAMS', `one of ${components.join(', ')} must be given`);
  if (params.policyGradient) {
    data(tensors, 'advantages');
    if (params.policyGradient.klCoefficient !== 0) data(tensors, 'referenceLogprobs');
  }
  if (params.match) checkTargets(tensors);
  checkValues(tensors);
  const weights = asked.map(component => [component, data(tensors, `${component}Weights`)] as const);
  for (const [component, values] of weights) checkFirstTokens(component, values, data(tensors, 'offsets'));
  if (weights.every(([, values]) => values.every(weight => weight === 0)))
    throw refuse('BAD_PARAMS', 'every loss weight is 0; at least one token must have a weight');
  return Object.fromEntries(weights);
}

function checkValues(tensors: Tensors): void {
  const tokens = data(tensors, 'ids').length;
  for (const [name, { data: values }] of Object.entries(tensors)) {
    if (['ids', 'offsets', 'targetIds', 'targetLogprobs'].includes(name)) continue;
    if (values.length !== tokens)
      throw refuse(
        'BAD_PARAMS',
        `${name} has ${values.length} values for ${tokens} tokens; one a token is needed`,
      );
    const bad = values.findIndex(value => !Number.isFinite(value));
    if (bad !== -1)
      throw refuse('BAD_PARAMS', `${name} of token ${bad} is ${values[bad]}, not a finite number`);
  }
}

function checkTargets(tensors: Tensors): void {
  const [ids, given] = [data(tensors, 'targetIds'), data(tensors, 'targetLogprobs')];
  const [rows = 0, k = 0] = tensors.targetIds?.shape ?? [];
  const weights = data(tensors, 'matchWeights');
  if (rows !== data(tensors, 'ids').length || given.length !== ids.length || k === 0)
    throw refuse('BAD_PARAMS', `targetIds and targetLogprobs need k values a token`);
  for (const [token, weight] of weights.entries()) {
    if (weight === 0) continue;
    const own = [...ids.subarray(token * k, (token + 1) * k)];
    const sum = [...given.subarray(token * k, (token + 1) * k)].reduce((all, p) => all + Math.exp(p), 0);
    if (own.some(id => id < 0 || id >= vocabSize))
      throw refuse('BAD_PARAMS', `targetIds of token ${token}: the vocabulary has ids 0 to ${vocabSize - 1}`);
    if (new Set(own).size < k) throw refuse('BAD_PARAMS', `targetIds of token ${token}: one stands twice`);
    if (!(sum <= 1.001))
      throw refuse('BAD_PARAMS', `targetLogprobs of token ${token} sum to ${sum}; at most 1 together`);
  }
}

function checkFirstTokens(component: Component, weights: TensorData, offsets: TensorData): void {
  const sequence = offsets.subarray(0, -1).findIndex(first => weights[first] !== 0);
  if (sequence === -1) return;
  const found = `${component} weight of token 0 of sequence ${sequence} is ${weights[offsets[sequence] ?? 0]}`;
  const data = { sequence, token: 0 };
  throw refuse('BAD_PARAMS', `${found}; nothing predicts a first token: its weight must be 0`, data);
}

/** Prompts that leave room for their answers. */
export function readPrompts(params: Params<'generate'>, tensors: Tensors): Int32Array[] {
  const prompts = readRows(tensors);
  const seeds = data(tensors, 'seeds').length;
  if (seeds !== prompts.length)
    throw refuse('BAD_PARAMS', `found ${seeds} seeds for ${prompts.length} prompts`);
  const outside = params.stopIds.find(id => id >= vocabSize);
  if (outside !== undefined)
    throw refuse('BAD_PARAMS', `stop id ${outside} is outside the vocabulary of ${vocabSize}`);
  prompts.forEach((prompt, row) => {
    if (prompt.length === 0)
      throw refuse('BAD_PARAMS', `prompt ${row} is empty: give it at least one id`, { row });
    if (prompt.length + params.maxNewTokens <= maxPositions) return;
    const found = `prompt ${row} has ${prompt.length} ids and maxNewTokens is ${params.maxNewTokens}`;
    throw refuse('BAD_PARAMS', `${found}, but the model has ${maxPositions} positions`, { row });
  });
  return prompts;
}

export function data(tensors: Tensors, name: string): TensorData {
  const found = tensors[name];
  if (!found) throw refuse('BAD_PARAMS', `tensor ${name} is missing`);
  return found.data;
}
