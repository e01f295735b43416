/**
 * What a run must do, said a second time and slowly: arXiv 2602.03073 as docs/algorithm.md reads it. Nothing here is imported from src/:
 * where the two disagree one of them is wrong.
 */
import { createHash } from 'node:crypto';
import type { Learned } from './recorded-calls.ts';

export type Example = { readonly prompt: string; readonly completion: string };

/** Ids of the toy's tokens: 5 is a new line, printable ASCII follows; those below are special and have no text. */
export const endId = 4;
export const idsOf = (text: string): number[] => [...text].map(letter => letter.charCodeAt(0) - 32 + 6);
export const textOf = (ids: readonly number[]): string =>
  ids.map(id => (id < 5 ? '' : id === 5 ? '\n' : String.fromCharCode(id - 6 + 32))).join('');

/** log π is asked of the answer and its end, nothing of the prompt. What is longer than `maxLength` loses its end. */
export function learned(prompt: readonly number[], answer: readonly number[], maxLength = 512): Learned {
  const ids = [...prompt, ...answer].slice(0, maxLength);
  return { ids, weights: ids.map((_, j) => (j < prompt.length ? 0 : 1)) };
}

export function gold({ prompt, completion }: Example, maxLength?: number): Learned {
  return learned(idsOf(prompt), [...idsOf(completion), endId], maxLength);
}

/** Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), in big integers. */
export function philox(counter: readonly number[], key: readonly number[]): number[] {
  let [a, b, c, d] = counter.map(BigInt) as [bigint, bigint, bigint, bigint];
  let [k, l] = key.map(BigInt) as [bigint, bigint];
  const word = 0xffffffffn;
  for (let round = 0; round < 10; round++) {
    const [p, q] = [a * 0xd2511f53n, c * 0xcd9e8d57n];
    [a, b, c, d] = [(q >> 32n) ^ b ^ k, q & word, (p >> 32n) ^ d ^ l, p & word];
    [k, l] = [(k + 0x9e3779b9n) & word, (l + 0xbb67ae85n) & word];
  }
  return [a, b, c, d].map(Number);
}

/** FNV-1a of a name: the second half of the key of every stream of random numbers; the first is the seed. */
export function fnv(name: string): number {
  return Number(
    [...Buffer.from(name)].reduce(
      (hash, byte) => ((hash ^ BigInt(byte)) * 0x01000193n) & 0xffffffffn,
      0x811c9dc5n,
    ),
  );
}

/** The first 64 bits of the hash of an example's content, as two words: what its draws and seeds hang on. */
export function identity({ prompt, completion }: Example): [high: number, low: number] {
  const digest = createHash('sha256')
    .update(JSON.stringify([prompt, completion]))
    .digest();
  return [digest.readUInt32BE(0), digest.readUInt32BE(4)];
}

/** An order of the examples of an epoch: Fisher–Yates from the end, each place exchanged with one at or before it. */
export function orderOf(seed: number, epoch: number, count: number): number[] {
  let [block, numbers] = [0, [] as number[]];
  const next = (): number => {
    if (numbers.length === 0) numbers = philox([block++, 0, epoch, 0], [seed, fnv('data order')]);
    return numbers.shift() as number;
  };
  const order = Array.from({ length: count }, (_, i) => i);
  for (let last = count - 1; last > 0; last--) {
    let value = next();
    while (value >= 2 ** 32 - (2 ** 32 % (last + 1))) value = next(); // would favour small numbers
    const other = value % (last + 1);
    [order[last], order[other]] = [order[other] as number, order[last] as number];
  }
  return order;
}

export type Visit = { readonly example: number; readonly epoch: number; readonly visit: number };

/** The visits of each step: epochs in fresh orders, cut into batches, the last of an epoch as small as it comes. */
export function batchesOf(
  seed: number,
  { count, batch, steps }: { count: number; batch: number; steps: number },
): Visit[][] {
  const batches: Visit[][] = [];
  for (let epoch = 0; batches.length < steps; epoch++) {
    const visits = orderOf(seed, epoch, count).map((example, i) => ({
      example,
      epoch,
      visit: epoch * count + i,
    }));
    for (let start = 0; start < count; start += batch) batches.push(visits.slice(start, start + batch));
  }
  return batches.slice(0, steps);
}

/** The seed of sample `sample` of the checkpoint at optimiser step `step`. */
export function answerSeed(seed: number, step: number, example: Example, sample: number): number {
  const [high, low] = identity(example);
  return philox([step, sample, high, low], [seed, fnv('sampled answer')])[0] as number;
}

export type Mixture = {
  readonly seed: number;
  readonly alpha: number;
  /** α at the last visit, on a straight line from the first. */
  readonly alphaEnd?: number;
  /** Steps of the checkpoints that answer. */
  readonly checkpoints: readonly number[];
  readonly samples: number;
  readonly order: 'random' | 'early_to_late';
  /** Visits of the whole training. */
  readonly visits: number;
};

/** What a visit draws from q_α = α·gold + (1−α)/T·Σ_k (answers of θ_k): null is gold. */
export function drawOf(
  mixture: Mixture,
  visit: Visit,
  example: Example,
): { step: number; sample: number } | null {
  const { seed, alpha, alphaEnd = alpha, checkpoints, samples, order, visits } = mixture;
  const [high, low] = identity(example);
  const [first = 0, second = 0, third = 0, fourth = 0] = philox(
    [visit.epoch, 0, high, low],
    [seed, fnv('target of a visit')],
  );
  const coin = Number((BigInt(first >>> 5) << 26n) | BigInt(second >>> 6)) / 2 ** 53;
  const share = visits > 1 ? visit.visit / (visits - 1) : 0;
  if (coin < (1 - share) * alpha + share * alphaEnd) return null;
  const index =
    order === 'random' ? third % checkpoints.length : Math.floor((visit.visit * checkpoints.length) / visits);
  return { step: checkpoints[index] as number, sample: fourth % samples };
}
