/**
 * The only randomness in TypeScript. Every number is a pure function of (seed, stream, index) and of its place in that sequence:
 * nothing is kept between draws, so neither order nor a resume can change one.
 *
 * Generator: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 */

/** Yields the next number, uniform over the integers in [0, 2^32). */
export type Random = () => number;

/**
 * An independent sequence of numbers for each (seed, stream, index).
 * Streams are names written in code, few enough that their 32-bit hashes differ; number many things by `index` instead.
 * Throws RangeError unless `seed` is an integer in [0, 2^32) and `index` one in [0, 2^53).
 */
export function randomAt(seed: number, stream: string, index = 0): Random {
  if (seed >>> 0 !== seed) throw new RangeError(`seed is ${seed}; it must be an integer in [0, 2^32)`);
  if (!Number.isSafeInteger(index) || index < 0)
    throw new RangeError(`index is ${index}; it must be an integer in [0, 2^53)`);
  const key: Pair = [seed, fnv1a(stream)];
  const [low, high] = [index >>> 0, Math.floor(index / 2 ** 32)];
  let count = 0;
  let numbers: Quad = [0, 0, 0, 0];
  return () => {
    const place = count % 4;
    if (place === 0) numbers = philox([count / 4, 0, low, high], key);
    count += 1;
    return numbers[place] as number;
  };
}

/** A uniform integer in [0, bound), without bias; `bound` is an integer in [1, 2^32]. */
export function below(random: Random, bound: number): number {
  const unbiased = 2 ** 32 - (2 ** 32 % bound); // the largest multiple of bound that fits
  let value = random();
  while (value >= unbiased) value = random();
  return value % bound;
}

/** A uniform number in [0, 1), a multiple of 2^-53. */
export function unit(random: Random): number {
  const high = random() >>> 5;
  const low = random() >>> 6;
  return (high * 2 ** 26 + low) / 2 ** 53;
}

/** One of `values`, each with the same probability. */
export function pick<T>(random: Random, values: readonly T[]): T {
  if (values.length === 0) throw new RangeError('nothing to pick from');
  return values[below(random, values.length)] as T;
}

/** The index of one of `weights`, with probability in proportion to it. */
export function pickWeighted(random: Random, weights: readonly number[]): number {
  let rest = unit(random) * weights.reduce((total, weight) => total + weight, 0);
  const found = weights.findIndex(weight => {
    rest -= weight;
    return rest < 0;
  });
  return found === -1 ? weights.length - 1 : found; // rounding can leave nothing below 0
}

/** The values in random order, each order with the same probability (Fisher–Yates). */
export function shuffled<T>(random: Random, values: readonly T[]): T[] {
  const order = [...values];
  for (let last = order.length - 1; last > 0; last--) {
    const other = below(random, last + 1);
    [order[last], order[other]] = [order[other] as T, order[last] as T];
  }
  return order;
}

type Pair = readonly [number, number];
type Quad = readonly [number, number, number, number];

/** Philox4x32-10: four 32-bit numbers for each counter under a key. */
export function philox(counter: Quad, key: Pair): Quad {
  let [a, b, c, d] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const [highA, lowA] = multiply(0xd2511f53, a);
    const [highC, lowC] = multiply(0xcd9e8d57, c);
    [a, b, c, d] = [(highC ^ b ^ k0) >>> 0, lowC, (highA ^ d ^ k1) >>> 0, lowA];
    k0 = (k0 + 0x9e3779b9) >>> 0;
    k1 = (k1 + 0xbb67ae85) >>> 0;
  }
  return [a, b, c, d];
}

/** The high and low 32 bits of the product of two 32-bit numbers, by halves so that every intermediate fits 32 bits. */
function multiply(x: number, y: number): Pair {
  const [xHigh, xLow, yHigh, yLow] = [x >>> 16, x & 0xffff, y >>> 16, y & 0xffff];
  const middle = xHigh * yLow + ((xLow * yLow) >>> 16);
  const carry = xLow * yHigh + (middle & 0xffff);
  return [xHigh * yHigh + (middle >>> 16) + (carry >>> 16), Math.imul(x, y) >>> 0];
}

/** FNV-1a, 32 bits, over UTF-8. */
export function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of new TextEncoder().encode(text)) hash = Math.imul(hash ^ byte, 0x01000193) >>> 0;
  return hash;
}

// Random numbers that belong to an example: functions of (seed, stream, id, two counters), whatever was drawn before.

/** The first 64 bits of an id as two unsigned words. */
export type IdWords = readonly [high: number, low: number];

/** Four numbers, uniform over the integers in [0, 2^32). */
export type FourNumbers = readonly [number, number, number, number];

/** The numbers of a stream under a seed: other id or counters, other independent numbers. */
export function keyedNumbers(
  seed: number,
  stream: string,
): (id: IdWords, first: number, second: number) => FourNumbers {
  const key = [seed, fnv1a(stream)] as const;
  return ([high, low], first, second) => philox([first, second, high, low], key);
}
